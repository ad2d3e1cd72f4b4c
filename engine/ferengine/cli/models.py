"""``ferengine models``: the shipped models with their accuracy, and the card of one model."""

from __future__ import annotations

import sys
from itertools import chain, repeat
from textwrap import wrap
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ferengine.errors import ModelError
from ferengine.inference.precision import int8_variant, unavailable_reason
from ferengine.json_text import json_text
from ferengine.models.card import model_card
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, SHIPPED, Model, list_models, load_model

_MAX_WIDTH = 100
"""Maximum columns of a card: longer lines are hard to read."""


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show this model's card: a shipped model's name, or a .onnx file.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifests as a JSON array, or the manifest of one model.")
    ] = False,
) -> None:
    """List the shipped models with their accuracy, or show the card of one.

    The card gives its accuracy, how it was trained, its intended use and its known limits. Each file is checked against its
    hash; the exit code is 1 if one is damaged. Name a model of your own, here and to --model, by the path of its .onnx file
    with its manifest beside it.
    """
    if name is not None:
        _show(load_model(name), as_json)
        return
    rows = [(manifest, _problem(manifest)) for manifest in list_models()]
    if as_json:
        print(json_text([_record(manifest, problem) for manifest, problem in rows], indent=2))
    else:
        _print_table([manifest for manifest, _ in rows])
        for problem in filter(None, (problem for _, problem in rows)):
            Console(stderr=True).print(f"error: {problem}", highlight=False, markup=False, soft_wrap=True)
    sys.exit(1 if any(problem for _, problem in rows) else 0)


def _show(model: Model, as_json: bool) -> None:
    if as_json:
        print(json_text(model.manifest.to_json(), indent=2))
        return
    sections, console = model_card(model, _int8_sentence(model)), Console(highlight=False)
    labels = max(len(label) for section in sections for label, _ in section.rows)
    width = max(20, min(console.width, _MAX_WIDTH) - labels - 4)
    console.print(Text(model.manifest.name, "bold"))
    for section in sections:
        console.print(Text(f"\n{section.title}", "bold"))
        for label, text in section.rows:
            lines = wrap(text, width, break_long_words=False, break_on_hyphens=False)
            for start, line in zip(chain([label], repeat("")), lines, strict=False):
                console.print(Text(f"  {start:{labels}}  {line}"), soft_wrap=True)
        if section.command:
            console.print(Text(f"  $ {section.command}"), soft_wrap=True)  # not wrapped, so that it can be copied


def _int8_sentence(model: Model) -> str:
    variant = int8_variant(model)
    if variant is None:
        return ""
    reason = unavailable_reason(model, variant)
    use = "runs in its place on a CPU with VNNI" if reason is None else f"does not run unasked: {reason}"
    return f"{variant.path.name}, {_percent(variant.manifest.accuracy.public)} % on the split to choose on; {use}"


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
    table = Table("model", "task", "parameters", "MB", "public %", "private %", "classes", box=SIMPLE_HEAD, pad_edge=False)
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
        "* the default. NAME-int8 replaces NAME on a CPU with VNNI. public, private: accuracy on FER-2013's PublicTest, on "
        "which models are chosen, and PrivateTest; for gender, on UTKFace's validation and test splits. Models read perceived "
        "expression, not feelings. ferengine models NAME shows a model's card: accuracy, training, licence and intended use.",
        highlight=False,
    )


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"
