"""``ferengine models``: all models with their accuracy, the card of one, and models of one's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ferengine.errors import ModelError
from ferengine.inference.precision import int8_variant, unavailable_reason
from ferengine.json_text import json_text
from ferengine.models.card import model_card
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, SHIPPED, Model, added_models, list_models, load_model, model_names, user_models

_MAX_WIDTH = 100
"""Maximum columns of a card: longer lines are hard to read."""


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show this model's card: a model's name, or a .onnx file.",
            show_default=False,
            autocompletion=lambda incomplete: _starting_with(incomplete, model_names()),
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifests as a JSON array, or the manifest of one model.")
    ] = False,
) -> None:
    """List the models with their accuracy, or show the card of one.

    The card gives its accuracy, how it was trained, its intended use and its known limits. Each file is checked against its
    hash; the exit code is 1 if one is damaged. The word show may be left out. Name a model of your own, here and to --model, by
    the name that it was added under, or by the path of its .onnx file with its manifest beside it.
    """
    if name is not None:
        _show(load_model(name), as_json)
        return
    rows = [_row(manifest.name, SHIPPED, manifest) for manifest in list_models()]
    rows += [_row(each, user_models() or SHIPPED) for each in added_models()]
    if as_json:
        print(json_text([_record(row) for row in rows if row.manifest is not None], indent=2))
    else:
        _print_table(rows)
        for row in rows:
            if row.problem:
                Console(stderr=True).print(f"error: {row.problem}", highlight=False, markup=False, soft_wrap=True)
    sys.exit(1 if any(row.problem for row in rows) else 0)


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The network.")],
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Its manifest.", show_default="the .json beside FILE.onnx")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Add it under this name.", show_default="the manifest's name, else the file's")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an added model of that name.")] = False,
) -> None:
    """Check a model of your own and add it to the user's folder.

    The manifest describes its input and heads; name, file and sha256 may be left out. The network is run on black, white, noisy
    and face-like crops, and refused if its outputs are not what the manifest says. Afterwards --model NAME finds it everywhere.
    """
    from ferengine.classification.add_model import add_model

    added = add_model(file, manifest, name=name, overwrite=overwrite)
    heads = ", ".join(f"{head.name} ({len(head.labels)} {head.kind})" for head in added.model.manifest.outputs)
    print(f"added {added.model.called}: {heads}")
    for note in added.notes:
        print(f"note: {note}")


def remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The name that it was added under.",
            autocompletion=lambda incomplete: _starting_with(incomplete, added_models()),
        ),
    ],
) -> None:
    """Remove an added model."""
    from ferengine.classification.add_model import remove_model

    remove_model(name)
    print(f"removed {name}")


def _starting_with(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


@dataclass(frozen=True, slots=True)
class _Row:
    """A model in the list: its manifest, unless that cannot be read, the folder that it lies in, and what is wrong with it."""

    name: str
    folder: Path
    manifest: Manifest | None
    problem: str | None

    @property
    def size(self) -> int | None:
        """Bytes of the network."""
        path = self.folder / (self.manifest.file if self.manifest else f"{self.name}.onnx")
        return path.stat().st_size if path.is_file() else None


def _row(name: str, folder: Path, manifest: Manifest | None = None) -> _Row:
    try:
        manifest = load_model(name).manifest
    except ModelError as error:
        return _Row(name, folder, manifest, str(error))
    return _Row(name, folder, manifest, None)


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
    use = "runs in its place on a CPU with AVX2" if reason is None else f"does not run unasked: {reason}"
    return f"{variant.path.name}, {_percent(variant.manifest.accuracy.public)} % on the split to choose on; {use}"


def _record(row: _Row) -> dict[str, Any]:
    assert row.manifest is not None
    more = {"default": row.name == DEFAULT, "added": row.folder != SHIPPED, "bytes": row.size, "problem": row.problem}
    return {**row.manifest.to_json(), **more}


_TEXTS = ("model", "task")
"""The columns of the list that are aligned to the left."""
_LEFT_OUT = ("parameters", "classes", "MB", "task")
"""What the list does not show on a narrow terminal, the first of these first."""


def _print_table(rows: list[_Row]) -> None:
    console, cells = Console(), [_cells(row) for row in rows]
    shown = ["model", "task", "parameters", "MB", "public %", "private %", "classes"]
    if not console.is_terminal:  # what a program or a file reads is cut nowhere
        console.width = max(console.width, _width(console, _table(shown, cells)))
    for column in _LEFT_OUT:
        if _width(console, _table(shown, cells)) <= console.width:
            break
        shown.remove(column)
    console.print(_table(shown, cells))
    console.print(
        "* the default. NAME-int8 replaces NAME on a CPU with AVX2. public, private: accuracy on FER-2013's PublicTest, on "
        "which models are chosen, and PrivateTest; for gender, on UTKFace's validation and test splits. Models read perceived "
        "expression, not feelings. ferengine models NAME shows a model's card: accuracy, training, licence and intended use.",
        highlight=False,
        soft_wrap=not console.is_terminal,
    )


def _cells(row: _Row) -> dict[str, str]:
    manifest, size = row.manifest, row.size
    cells = {
        "model": f"{row.name} *" if row.name == DEFAULT else row.name,
        "MB": "missing" if size is None else f"{size / 1e6:.1f}",
    }
    if manifest is None:
        return cells
    return cells | {
        "task": ", ".join(head.name for head in manifest.outputs),
        "parameters": "-" if manifest.parameters is None else f"{manifest.parameters:,}",
        "public %": _percent(manifest.accuracy.public),
        "private %": _percent(manifest.accuracy.private),
        "classes": str(len(manifest.labels) or "-"),
    }


def _table(columns: list[str], rows: list[dict[str, str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in _TEXTS else "right", no_wrap=column != "task")
    for row in rows:
        table.add_row(*(row.get(column, "") for column in columns))
    return table


def _width(console: Console, table: Table) -> int:
    """The columns of the terminal that ``table`` takes where nothing in it is cut."""
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"
