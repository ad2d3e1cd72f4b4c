"""``ferengine models``: what ships, with its figures."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ferengine.cli.command import call
from ferengine.errors import ModelError
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, SHIPPED, list_models, load_model


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole manifests as a JSON array.")] = False,
) -> None:
    """List the models that ship with ferengine, with the figures of their manifests.

    Each file is checked against its hash; exit code 1 when one is damaged. A model of your own is given to ``--model``
    as the path of its .onnx file, with its manifest beside it.
    """
    rows = [(manifest, _problem(manifest)) for manifest in list_models()]
    if as_json:
        print(json.dumps([_record(manifest, problem) for manifest, problem in rows], indent=2))
    else:
        _print_table([manifest for manifest, _ in rows])
        for problem in filter(None, (problem for _, problem in rows)):
            Console(stderr=True).print(f"error: {problem}", highlight=False, markup=False, soft_wrap=True)
    sys.exit(1 if any(problem for _, problem in rows) else 0)


def _problem(manifest: Manifest) -> str | None:
    try:
        load_model(manifest.name)
    except ModelError as error:
        return str(error)
    return None


def _record(manifest: Manifest, problem: str | None) -> dict[str, Any]:
    return {**manifest.to_json(), "default": manifest.name == DEFAULT, "bytes": _size(manifest), "problem": problem}


def _size(manifest: Manifest) -> int | None:
    path = SHIPPED / manifest.file
    return path.stat().st_size if path.is_file() else None


def _print_table(manifests: list[Manifest]) -> None:
    table = Table("model", "task", "parameters", "MB", "public %", "private %", "classes", box=SIMPLE_HEAD)
    for column in (2, 3, 4, 5, 6):
        table.columns[column].justify = "right"
    for manifest in manifests:
        size = _size(manifest)
        name = f"{manifest.name} *" if manifest.name == DEFAULT else manifest.name
        table.add_row(
            name, manifest.task, f"{manifest.parameters:,}",
            "missing" if size is None else f"{size / 1e6:.1f}", _percent(manifest.accuracy.public),
            _percent(manifest.accuracy.private), str(len(manifest.labels)),
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        "* the default. NAME-int8: what runs in NAME's place on a CPU with VNNI. public, private: accuracy on FER-2013's "
        "PublicTest, which models are chosen on, and PrivateTest; of gender on UTKFace's validation and test split. "
        "Perceived expression and not inner feeling: --json shows labels, training, licence and intended use.",
        highlight=False,
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def main(arguments: list[str]) -> None:
    call(models, "models", arguments)
