"""A record as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich import box
from rich.table import Table

from ferengine_tools.bench.record import OWN, Figure, Record, compared, own_of, ratio

_TITLES = {
    "crop": "crop, resize, normalise",
    "kcf": "KCF, one update",
    "mtcnn": "MTCNN, one frame",
    "classifier": "classifier, one face",
    "hand-over": "hand-over to another process, processor time of both",
    "engine": "whole engine",
}


def tables(record: Record) -> Iterator[Table]:
    """One table a stage; the last column says how many times better ferengine is than each other way."""
    for stage, figures in groupby(record.figures, key=lambda figure: figure.stage):
        table = _table(_TITLES.get(stage, stage), "case", "way", "value", "unit", "ferengine is")
        last = None
        for figure in _by_case(figures):
            own = own_of(record.figures, figure)
            better = None if own is None or figure.way.startswith(OWN) else ratio(own, figure)
            table.add_row(
                figure.case if figure.case != last else "", figure.way, shown(figure), figure.unit, _times(better, "better")
            )
            last = figure.case
        yield table


def _by_case(figures: Iterable[Figure]) -> list[Figure]:
    """All ways of a case together, cases in the order of their first figures."""
    cases: dict[str, list[Figure]] = {}
    for figure in figures:
        cases.setdefault(figure.case, []).append(figure)
    return [figure for case in cases.values() for figure in case]


def comparison(now: Record, earlier: Record) -> Table:
    """Each figure that both records hold, and how many times better it is now."""
    table = _table("compared with the earlier record", "stage", "case", "way", "earlier", "now", "unit", "now is")
    for figure, before, better in compared(now, earlier):
        table.add_row(
            figure.stage, figure.case, figure.way, shown(before), shown(figure), figure.unit, _times(better, "better")
        )
    return table


def shown(figure: Figure) -> str:
    """Its value with three significant digits or more."""
    digits = 0 if abs(figure.value) >= 100 else 1 if abs(figure.value) >= 10 else 2
    return f"{figure.value:.{digits}f}"


def _times(better: float | None, word: str) -> str:
    return "" if better is None else f"{better:.3g} x {word}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("value", "earlier", "now", "ferengine is", "now is") else "left")
    return table
