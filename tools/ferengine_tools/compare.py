"""``ferengine compare``: one table of all models beside the document's figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ferengine.classify.choose import AS_NAMED
from ferengine.classify.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.manifest import Manifest
from ferengine.models.registry import list_models, load_model
from ferengine_tools.data.fer2013 import LABELS
from ferengine_tools.evaluation import document
from ferengine_tools.evaluation.evaluation import evaluate_faces
from ferengine_tools.evaluation.graph_cost import multiply_adds
from ferengine_tools.evaluation.sets import fer2013_faces
from ferengine_tools.evaluation.speed import BATCHES, machine, speeds

SOURCES = ("manifest", "measured", "document")


@dataclass(frozen=True)
class Row:
    """One model. ``public``, ``private``: shares of correct labels, single crop (UTKFace: validation, test); ``document``: the
    document's accuracy of that network; ``mmac``: millions of multiply-adds a face; ``megabytes`` of the
    file; ``microseconds`` a face, one thread, by batch size; ``source``: of the accuracies. ``None`` where it is not known."""

    model: str
    task: str
    network: str
    precision: str | None
    public: float | None
    private: float | None
    document: float | None
    parameters: int | None
    mmac: float | None
    megabytes: float | None
    microseconds: dict[str, float]
    source: str


def compare(models: Sequence[str], data: Path | None, *, timed: bool = True) -> list[Row]:
    """A row for each of ``models`` (names or ``.onnx`` files), then one for each network of the document.

    With ``data`` (FER-2013) the accuracies of models of its classes are measured on both test splits, else they are those of
    the manifests. Raises what ``load_model`` and ``fer2013_faces`` raise.
    """
    tests = None if data is None else (fer2013_faces(data, "public"), fer2013_faces(data, "private"))
    rows = []
    for name in track(models, "models", console=Console(stderr=True), transient=True):
        loaded = load_model(name)
        manifest, classifier = loaded.manifest, Classifier(name, backend=AS_NAMED)
        public, private, source = manifest.accuracy.public, manifest.accuracy.private, "manifest"
        if tests is not None and set(LABELS) <= set(manifest.labels):
            public, private = (
                evaluate_faces(classifier, faces, split)[0].accuracy
                for faces, split in zip(tests, ("public", "private"), strict=True)
            )
            source = "measured"
        rows.append(
            Row(
                model=manifest.name,
                task=manifest.task,
                network=manifest.network,
                precision=manifest.precision,
                public=public,
                private=private,
                document=_documented(manifest),
                parameters=manifest.parameters,
                mmac=round(multiply_adds(loaded.onnx) / 1e6, 2),
                megabytes=round(len(loaded.onnx) / 1e6, 2),
                microseconds=speeds(classifier) if timed else {},
                source=source,
            )
        )
    return rows + _of_document()


def _documented(manifest: Manifest) -> float | None:
    return document.ACCURACY.get(manifest.network) if manifest.task == "expression" else None


def _of_document() -> list[Row]:
    """Its accuracies, without saying of which test split, and its one time, of "the proposed model"."""
    rows = [Row(f"{each}, document", "expression", each, None, None, None, value, None, None, None, {}, "document")
            for each, value in document.ACCURACY.items()]  # fmt: skip
    times = {"1": document.MICROSECONDS}
    return [*rows, Row("dscnn, document", "expression", "dscnn", None, None, None, None, None, None, None, times, "document")]


NOTE = (
    "document: its accuracies, of a test split that it does not name, and its time for one face, on a machine that it does "
    "not name; public, private: single crop (gender: UTKFace's validation and test split)."
)


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the table, as text."""
    header = [
        "model",
        "public %",
        "private %",
        "document %",
        "params k",
        "MMAC",
        "MB",
        *(f"us at {batch}" for batch in BATCHES),
    ]
    lines = []
    for row in rows:
        extra = ", ".join(each for each in (row.task, row.precision) if each not in ("expression", "fp32", None))
        shares = [_or_dash(value and 100 * value, ".2f") for value in (row.public, row.private, row.document)]
        size = [
            _or_dash(row.parameters and row.parameters / 1e3, ".0f"),
            _or_dash(row.mmac, ".1f"),
            _or_dash(row.megabytes, ".1f"),
        ]
        times = [_or_dash(row.microseconds.get(str(batch)), ".0f") for batch in BATCHES]
        lines.append([f"{row.model} ({extra})" if extra else row.model, *shares, *size, *times])
    return header, lines


def to_markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    header, lines = cells(rows)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def to_table(rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    header, lines = cells(rows)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name.replace(" ", "\n", 1), justify="right" if index else "left", no_wrap=not index)
    for line in lines:
        table.add_row(*line)
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine compare", description=(__doc__ or "").partition(": ")[2])
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="shipped models' names or .onnx files (default: all that are shipped)")
    add("--data", type=Path, help="FER-2013, for --measure")
    add("--measure", action="store_true", help="measure the accuracies on both test splits instead of reading the manifests")
    add("--no-speed", action="store_true", help="do not measure the time of a face")
    add("--json", action="store_true", help="print a JSON object instead of a table")
    add("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args(arguments)
    if options.measure and options.data is None:
        raise UsageError("--measure needs --data, FER-2013")
    if options.json and options.markdown:
        raise UsageError("choose either --json or --markdown")
    models = options.models or [manifest.name for manifest in list_models()]
    rows = compare(models, options.data if options.measure else None, timed=not options.no_speed)
    if options.json:
        written = {
            "models": [asdict(row) for row in rows if row.source != "document"],
            "document": {"accuracy": document.ACCURACY, "microseconds": document.MICROSECONDS},
            "machine": machine(),
        }
        print(json.dumps(written, indent=2))
        return
    notes = f"{NOTE}\nus: microseconds a face, one thread, at that batch, on {machine()}."
    if options.markdown:
        print(f"{to_markdown(rows)}\n\n{notes}")
        return
    console = Console(highlight=False)
    console.print(to_table(rows))
    console.print(notes)


if __name__ == "__main__":
    main()
