"""A record as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich import box
from rich.table import Table

from ferengine_tools.bench.record import OWN, Metric, Record, compared, own_of, ratio

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
    for stage, metrics in groupby(record.metrics, key=lambda metric: metric.stage):
        table = _table(_TITLES.get(stage, stage), "case", "way", "value", "unit", "ferengine is")
        last = None
        for metric in _by_case(metrics):
            own = own_of(record.metrics, metric)
            better = None if own is None or metric.way.startswith(OWN) else ratio(own, metric)
            table.add_row(
                metric.case if metric.case != last else "", metric.way, shown(metric), metric.unit, _times(better, "better")
            )
            last = metric.case
        yield table


def _by_case(metrics: Iterable[Metric]) -> list[Metric]:
    """All ways of a case together, cases in the order of their first metrics."""
    cases: dict[str, list[Metric]] = {}
    for metric in metrics:
        cases.setdefault(metric.case, []).append(metric)
    return [metric for case in cases.values() for metric in case]


def comparison(now: Record, earlier: Record) -> Table:
    """Each metric that both records hold, and how many times better it is now."""
    table = _table("compared with the earlier record", "stage", "case", "way", "earlier", "now", "unit", "now is")
    for metric, before, better in compared(now, earlier):
        table.add_row(
            metric.stage, metric.case, metric.way, shown(before), shown(metric), metric.unit, _times(better, "better")
        )
    return table


def shown(metric: Metric) -> str:
    """Its value with three significant digits or more."""
    digits = 0 if abs(metric.value) >= 100 else 1 if abs(metric.value) >= 10 else 2
    return f"{metric.value:.{digits}f}"


def _times(better: float | None, word: str) -> str:
    return "" if better is None else f"{better:.3g} x {word}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("value", "earlier", "now", "ferengine is", "now is") else "left")
    return table
