"""How well faces are read under a prior, as it is tempered from a uniform one to the full class frequencies and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ferengine_tools.evaluation.figure import new_figure, save_figure
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
        neutral: Recall of neutral faces, in [0, 1]; None where there are none.
    """

    power: float
    accuracy: float
    macro_f1: float | None
    mean_recall: float | None
    neutral: float | None = None


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
    rest = np.array([name == "neutral" for name in classes])[labels]
    for power in powers:
        read = (logits + power * log_prior).argmax(axis=1)
        f1, recall = of_five(confusion_matrix(labels, read, len(classes)).tolist(), tuple(classes)) or (None, None)
        neutral = float(np.mean(read[rest] == labels[rest])) if rest.any() else None
        points.append(CurvePoint(power, float(np.mean(read == labels)), f1, recall, neutral))
    return points


def best(points: Sequence[CurvePoint]) -> CurvePoint:
    """Return the point of the highest macro F1, of equals the first; of the highest accuracy where there is none."""
    return max(points, key=lambda point: point.accuracy if point.macro_f1 is None else point.macro_f1)


def curve_table(points: Sequence[CurvePoint], prior: str) -> Table:
    """Return the points as a table; the best power is bold."""
    columns: dict[str, list[float | None]] = {
        "accuracy %": [point.accuracy for point in points],
        "macro F1 %": [point.macro_f1 for point in points],
        "mean recall %": [point.mean_recall for point in points],
        "neutral recall %": [point.neutral for point in points],
    }
    columns = {name: values for name, values in columns.items() if values[0] is not None}  # gender has no expressions
    table = Table("power", *columns, title=f"under the class frequencies {prior} to a power", title_justify="left")
    chosen = best(points)
    for point, *values in zip(points, *columns.values(), strict=True):
        cells = [f"{point.power:.1f}", *(_percent(value) for value in values)]
        table.add_row(*cells, style="bold" if point is chosen else None)
    return table


def draw_curve(path: Path, points: Sequence[CurvePoint], title: str) -> None:
    """Draw ``accuracy``, ``macro_f1``, ``mean_recall`` and ``neutral`` over the power, and mark the best.

    Raises:
        MissingDependencyError: matplotlib is missing.
        SinkError: The file has a suffix or a folder that will not do.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    powers, chosen = [point.power for point in points], best(points)
    lines: dict[str, list[float | None]] = {
        "accuracy": [point.accuracy for point in points],
        "recall of neutral": [point.neutral for point in points],
        "mean recall of the five": [point.mean_recall for point in points],
        "macro F1 of the five": [point.macro_f1 for point in points],
    }
    for label, values in lines.items():
        shown = [np.nan if value is None else 100 * value for value in values]
        axes.plot(powers, shown, marker="o", markersize=3, linewidth=2.2 if "F1" in label else 1.2, label=label)
    axes.axvline(chosen.power, color="0.6", linestyle="--", linewidth=1)
    axes.set(xlabel="power of the class frequencies (0: uniform prior, 1: in full)", ylabel="%", title=title)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    save_figure(figure, path)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
