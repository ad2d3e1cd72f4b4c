"""The confusion matrix as an image, beside Table I of Zhao's paper where the classes are the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine_tools.evaluation.figure import new_figure, save_figure, wrapped
from ferengine_tools.evaluation.paper import CLASSES, TABLE_ONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def fractions(confusion: list[list[int]]) -> NDArray[np.float64]:
    """Return the fractions of each actual class, float64 (C, C); rows sum to 1, those of classes without faces are NaN."""
    counts = np.array(confusion, np.float64)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def in_paper_order(matrix: NDArray[np.float64], classes: tuple[str, ...]) -> NDArray[np.float64] | None:
    """Return ``matrix`` (C, C) with rows and columns as in Table I; None where the classes are not the seven of the paper."""
    if set(classes) != set(CLASSES):
        return None
    order = [classes.index(name) for name in CLASSES]
    return matrix[np.ix_(order, order)]


def draw_confusion(path: Path, confusion: list[list[int]], classes: tuple[str, ...], title: str) -> None:
    """Draw a confusion matrix.

    Args:
        path: The image to write.
        confusion: Counts, rows are actual classes, columns predicted ones.
        classes: Their names.
        title: Of the image.

    Raises:
        MissingDependencyError: matplotlib is missing.
        SinkError: The file cannot be written.
    """
    ours = fractions(confusion)
    ordered = in_paper_order(ours, classes)
    side = 1.6 + 0.62 * len(classes)
    title = wrapped(title, side)
    figure = new_figure(side * (1 if ordered is None else 2), side + 0.2 * title.count("\n"))
    if ordered is None:
        _matrix(figure.subplots(), ours, classes, title)
    else:
        left, right = figure.subplots(1, 2)
        _matrix(left, ordered, CLASSES, title)
        _matrix(right, TABLE_ONE, CLASSES, "Table I of Zhao's paper (as printed)")
    save_figure(figure, path)


def _matrix(axes: Axes, matrix: NDArray[np.float64], classes: tuple[str, ...], title: str) -> None:
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=35, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(title, fontsize=10)
    for row, column in np.ndindex(matrix.shape):
        value = matrix[row, column]
        if np.isfinite(value):
            shade = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=shade, fontsize=9)
