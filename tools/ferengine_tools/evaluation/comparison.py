"""The rows of ``ferengine compare`` and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.table import Table

from ferengine_tools.evaluation import document
from ferengine_tools.evaluation.speed import BATCHES

Source = Literal["manifest", "measured", "document"]
Part = Literal["accuracy", "cost", "training"]


@dataclass(frozen=True)
class Row:
    """One model. ``public`` to ``ece`` as in the manifest's Accuracy, from ``source``; ``document``: the document's accuracy of
    that network; ``mmac``: millions of multiply-adds a face; ``megabytes`` of the file; ``microseconds`` a face, one thread, by
    batch size; ``epochs``, ``seed`` and ``trained_on`` (the machine) of the training, ``seeds`` that the figures are a mean of.
    ``None`` where it is not known."""

    model: str
    task: str
    network: str
    source: Source
    precision: str | None = None
    public: float | None = None
    private: float | None = None
    private_without_copies: float | None = None
    macro_f1: float | None = None
    ece: float | None = None
    document: float | None = None
    parameters: int | None = None
    mmac: float | None = None
    megabytes: float | None = None
    microseconds: dict[str, float] = field(default_factory=dict)
    epochs: int | None = None
    seed: int | None = None
    seeds: int = 1
    trained_on: str | None = None


def of_document() -> list[Row]:
    """Its accuracies, without saying of which test split, and its one time, of "the proposed model"."""
    rows = [
        Row(f"{each}, document", "expression", each, "document", document=value) for each, value in document.ACCURACY.items()
    ]
    times = {"1": document.MICROSECONDS}
    return [*rows, Row("dscnn, document", "expression", "dscnn", "document", microseconds=times)]


NOTE = (
    "figures: of the manifest, or measured here; doc.: the document's accuracies, of a test split that it does not name, and "
    "its time for one face, on a machine that it does not name. public, private: single crop (gender: UTKFace's validation and "
    "test split); no copies: private without the faces that are, pixel for pixel, training faces; F1: macro; F1, ECE: of "
    "private; epochs, seed: of the last leg of training."
)


@dataclass(frozen=True)
class _Column:
    part: Part
    heading: str
    cell: Callable[[Row], str]
    text: bool = False


def _name(row: Row) -> str:
    extra = ", ".join(each for each in (row.task, row.precision) if each not in ("expression", "fp32", None))
    return f"{row.model} ({extra})" if extra else row.model


def _percent(value: float | None) -> str:
    return _or_dash(value and 100 * value, ".2f")


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _time(batch: int) -> _Column:
    return _Column("cost", f"us at {batch}", lambda row: _or_dash(row.microseconds.get(str(batch)), ".0f"))


def _seeds(row: Row) -> str:
    """The seed of the weights, and how many the figures are a mean of where these are more."""
    seed = _or_dash(row.seed, "d")
    return seed if row.seeds == 1 else f"{seed} (mean of {row.seeds})"


_COLUMNS = (
    _Column("accuracy", "figures", lambda row: row.source, text=True),
    _Column("accuracy", "public %", lambda row: _percent(row.public)),
    _Column("accuracy", "private %", lambda row: _percent(row.private)),
    _Column("accuracy", "no copies %", lambda row: _percent(row.private_without_copies)),
    _Column("accuracy", "F1 %", lambda row: _percent(row.macro_f1)),
    _Column("accuracy", "ECE", lambda row: _or_dash(row.ece, ".3f")),
    _Column("accuracy", "doc. %", lambda row: _percent(row.document)),
    _Column("cost", "params k", lambda row: _or_dash(row.parameters and row.parameters / 1e3, ".0f")),
    _Column("cost", "MMAC", lambda row: _or_dash(row.mmac, ".1f")),
    _Column("cost", "MB", lambda row: _or_dash(row.megabytes, ".1f")),
    *map(_time, BATCHES),
    _Column("training", "epochs", lambda row: _or_dash(row.epochs, "d")),
    _Column("training", "seed", _seeds),
    _Column("training", "trained on", lambda row: row.trained_on or "-", text=True),
)


def to_markdown(rows: Sequence[Row]) -> str:
    """All columns as one table in Markdown."""
    header = ["model", *(column.heading for column in _COLUMNS)]
    rule = ["---", *("---" if column.text else "---:" for column in _COLUMNS)]
    lines = [[_name(row), *(column.cell(row) for column in _COLUMNS)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def to_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """The columns for a terminal, as a table a part: accuracy, cost, training."""
    for part in ("accuracy", "cost", "training"):
        columns = [column for column in _COLUMNS if column.part == part]
        table = Table(box=box.SIMPLE_HEAD, padding=0)  # with the longest shipped name 80 columns
        table.add_column("model", no_wrap=True)
        for column in columns:
            table.add_column(column.heading.replace(" ", "\n"), justify="left" if column.text else "right")
        for row in rows:
            cells = [column.cell(row) for column in columns]
            if set(cells) - {"-", row.source}:  # the document's networks have no training to tell of
                table.add_row(_name(row), *cells)
        yield table
