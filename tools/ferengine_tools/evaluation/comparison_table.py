"""The tables of ``ferengine compare``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table

from ferengine_tools.evaluation.comparison import Row
from ferengine_tools.evaluation.speed import BATCHES

Part = Literal["accuracy", "cost", "training"]

NOTE = (
    "metrics: from the manifest, or measured here; paper: the accuracies in Zhao's paper, on an unnamed test split, and "
    "its time for one face, on an unnamed machine. public, private: single crop (gender: UTKFace's validation "
    "and test split); no copies: private without the faces that are, pixel for pixel, training faces; F1: macro; F1, ECE: of "
    "private; epochs, seed: of the last stage of training."
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


def _or_dash(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def _time(batch: int) -> _Column:
    return _Column("cost", f"us at {batch}", lambda row: _or_dash(row.microseconds.get(str(batch)), ".0f"))


def _seeds(row: Row) -> str:
    """The seed of the weights, and how many the metrics are a mean of where these are more."""
    seed = _or_dash(row.seed, "d")
    return seed if row.seeds == 1 else f"{seed} (mean of {row.seeds})"


_COLUMNS = (
    _Column("accuracy", "metrics", lambda row: row.source, text=True),
    _Column("accuracy", "public %", lambda row: _percent(row.public)),
    _Column("accuracy", "private %", lambda row: _percent(row.private)),
    _Column("accuracy", "no copies %", lambda row: _percent(row.private_without_copies)),
    _Column("accuracy", "F1 %", lambda row: _percent(row.macro_f1)),
    _Column("accuracy", "ECE", lambda row: _or_dash(row.ece, ".3f")),
    _Column("accuracy", "paper %", lambda row: _percent(row.paper)),
    _Column("cost", "params k", lambda row: _or_dash(row.parameters and row.parameters / 1e3, ".0f")),
    _Column("cost", "MMAC", lambda row: _or_dash(row.mmac, ".1f")),
    _Column("cost", "MB", lambda row: _or_dash(row.megabytes, ".1f")),
    *map(_time, BATCHES),
    _Column("training", "epochs", lambda row: _or_dash(row.epochs, "d")),
    _Column("training", "seed", _seeds),
    _Column("training", "trained on", lambda row: row.trained_on or "-", text=True),
)


def to_markdown(rows: Sequence[Row]) -> str:
    """Return all columns as one table in Markdown."""
    header = ["model", *(column.heading for column in _COLUMNS)]
    rule = ["---", *("---" if column.text else "---:" for column in _COLUMNS)]
    lines = [[_name(row), *(column.cell(row) for column in _COLUMNS)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def to_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield the columns for a terminal in three tables: accuracy, cost, training."""
    for part in ("accuracy", "cost", "training"):
        columns = [column for column in _COLUMNS if column.part == part]
        table = Table(box=box.SIMPLE_HEAD, padding=0)  # with the longest shipped name 80 columns
        table.add_column("model", no_wrap=True)
        for column in columns:
            table.add_column(column.heading.replace(" ", "\n"), justify="left" if column.text else "right")
        for row in rows:
            cells = [column.cell(row) for column in columns]
            if set(cells) - {"-", row.source}:  # the paper reports no training for some
                table.add_row(_name(row), *cells)
        yield table
