"""``ferengine compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ferengine.errors import UsageError
from ferengine.json_text import json_text


def compare(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Names of shipped models, or .onnx files.", show_default="all shipped models"),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure the accuracies on both test splits of --data, --gender-data or both. Models of other classes keep "
            "the metrics of their manifests, and each row says which it has.",
        ),
    ] = False,
    data: Annotated[Path | None, typer.Option(help="FER-2013, for --measure.")] = None,
    gender_data: Annotated[
        Path | None, typer.Option(metavar="UTKFACE", help="UTKFace, for --measure of models of gender.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of UTKFace's crops.", show_default="the user's cache")
    ] = None,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Do not measure the time of a face.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of tables.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print one table in Markdown.")] = False,
) -> None:
    """Compare all models with the published results in one table."""
    if measure != (data is not None or gender_data is not None):
        raise UsageError("--measure needs --data (FER-2013), --gender-data (UTKFace) or both, and they need --measure")
    if cache is not None and gender_data is None:
        raise UsageError("--cache is for the crops of --gender-data")
    if as_json and markdown:
        raise UsageError("choose either --json or --markdown")
    from ferengine.models.registry import list_models
    from ferengine_tools.evaluation import paper
    from ferengine_tools.evaluation.comparison import compare_models, measuring
    from ferengine_tools.evaluation.comparison_table import NOTE, to_markdown, to_tables
    from ferengine_tools.evaluation.speed import machine

    names = models or [manifest.name for manifest in list_models()]
    rows = compare_models(names, measuring(data, gender_data, cache), timed=not no_speed)
    if as_json:
        written = {
            "models": [asdict(row) for row in rows if row.source != "paper"],
            "paper": {"accuracy": paper.ACCURACY, "microseconds": paper.MICROSECONDS},
            "machine": machine(),
        }
        print(json_text(written, indent=2))
        return
    notes = f"{NOTE}\nus: microseconds per face, one thread, at that batch, on {machine()}."
    if markdown:
        print(f"{to_markdown(rows)}\n\n{notes}")
        return
    console = Console(highlight=False, markup=False)
    for table in to_tables(rows):
        console.print(table)
    console.print(notes)
