"""How well faces are read under a prior, as it is tempered from a uniform one to the full class frequencies and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ferengine_tools.evaluation.metrics import confusion_matrix, of_five

POWERS = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class CurvePoint:
    """How well faces are read under class frequencies to a power, made to sum to 1.

    Attributes:
        power: 0 is a uniform prior, 1 the frequencies themselves.
        accuracy: Of all faces, in [0, 1].
        macro_f1: Over FIVE, in [0, 1]; None where one of them has no faces.
        mean_recall: Likewise.
    """

    power: float
    accuracy: float
    macro_f1: float | None
    mean_recall: float | None


def prior_curve(
    logits: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    powers: Sequence[float] = POWERS,
) -> list[CurvePoint]:
    """Measure logits under a prior to several powers.

    Logits that are too unsure, as label smoothing makes them, are read best under a power below 1.

    Args:
        logits: (N, C), under a uniform prior.
        log_prior: (C,), logarithm of the full frequencies.
        labels: (N,), into the C ``classes``.
        classes: their names.
        powers: of the frequencies.

    Returns:
        A point for each power, in their order.
    """
    points = []
    for power in powers:
        read = (logits + power * log_prior).argmax(axis=1)
        five = of_five(confusion_matrix(labels, read, len(classes)).tolist(), tuple(classes)) or (None, None)
        points.append(CurvePoint(power, float(np.mean(read == labels)), *five))
    return points


def best(points: Sequence[CurvePoint]) -> CurvePoint:
    """Return the point of the highest macro F1, of equals the first; of the highest accuracy where there is none."""
    return max(points, key=lambda point: point.accuracy if point.macro_f1 is None else point.macro_f1)


def curve_table(points: Sequence[CurvePoint], prior: str) -> Table:
    """Return the points as a table; the best power is bold."""
    table = Table("power", "accuracy %", "macro F1 %", "mean recall %", title=f"under {prior} to a power", title_justify="left")
    chosen = best(points)
    for point in points:
        cells = [f"{point.power:.1f}", *(_percent(value) for value in (point.accuracy, point.macro_f1, point.mean_recall))]
        table.add_row(*cells, style="bold" if point is chosen else None)
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
