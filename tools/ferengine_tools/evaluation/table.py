"""The text and tables of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ferengine_tools.evaluation.confusion_matrix import fractions, in_paper_order
from ferengine_tools.evaluation.evaluation import Evaluation
from ferengine_tools.evaluation.groups import group_table
from ferengine_tools.evaluation.metrics import FIVE, Metrics, of_five
from ferengine_tools.evaluation.paper import CLASSES, TABLE_ONE
from ferengine_tools.evaluation.prior_curve import curve_table


def renderables(result: Evaluation) -> Iterator[RenderableType]:
    """Yield lines and tables, in order, for a rich console."""
    calibrated = result.calibrated
    uniform = None if result.prior == "uniform" else result.uniform  # all of it is under that one then
    yield f"{result.model} on {result.split}: {result.faces} faces"
    if len(result.models) > 1:
        yield f"  the mean of {len(result.models)} models' probabilities, each at its own temperature"
    yield f"  single crop      {_text(result.metrics)}, ECE {result.metrics.ece:.3f}, NLL {result.metrics.nll:.3f}"
    if calibrated.temperature is not None:
        yield f"  temperature {calibrated.temperature:.2f} ECE {calibrated.ece:.3f}, NLL {calibrated.nll:.3f}"
    if result.averaged is not None:
        name = "with its mirror" if result.views == 2 else f"mean of {result.views} crops"
        yield f"  {name:<17}{_text(result.averaged)}"
    if result.prior is not None:
        yield f"  all of it under the class frequencies {result.prior}"
    if uniform is not None:
        yield f"  uniform prior    {_text(uniform)}"
    for title, metrics in ((f"prior {result.prior}", result.metrics), ("uniform prior", uniform)):
        five = None if metrics is None or result.prior is None else of_five(metrics.confusion, result.classes)
        if five is not None:
            f1, recall = (100 * value for value in five)
            yield f"  {title}, of {', '.join(FIVE)} alone: macro F1 {f1:.2f} %, mean recall {recall:.2f} %"
    if result.stability is not None:
        shift, mirror = 100 * result.stability.shift, 100 * result.stability.mirror
        yield f"  the label changes in {shift:.2f} % under a shift of one pixel, in {mirror:.2f} % in the mirror"
    if result.curve and result.prior is not None:
        yield curve_table(result.curve, result.prior)
    yield confusion_table(result)
    for grouping, rows in result.groups.items():
        yield group_table(grouping, rows) + "\n"


def confusion_table(result: Evaluation) -> Table:
    """Fractions of each actual class; below each, where the classes are those of Zhao's paper, its Table I."""
    matrix, classes = fractions(result.metrics.confusion), result.classes
    ordered = in_paper_order(matrix, classes)
    title = "Fractions of each actual class"
    if ordered is not None:
        matrix, classes, title = ordered, CLASSES, f"{title}; below, Table I of Zhao's paper as printed"
    table = Table("actual", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title=title, title_justify="left")
    for name in ("faces", *classes):
        table.add_column(name, justify="right", no_wrap=True)
    counts = dict(zip(result.classes, np.sum(result.metrics.confusion, axis=1).tolist(), strict=True))
    for row, name in enumerate(classes):
        own = [Text("-" if np.isnan(value) else f"{value:.2f}") for value in matrix[row]]
        own[row].stylize("bold")
        table.add_row(name, str(counts[name]), *own)
        if ordered is not None:
            table.add_row("", "Table I", *(f"{value:.2f}" for value in TABLE_ONE[row]), style="dim")
    return table


def _text(metrics: Metrics) -> str:
    return f"accuracy {100 * metrics.accuracy:.2f} %, macro F1 {100 * metrics.macro_f1:.2f} %"
