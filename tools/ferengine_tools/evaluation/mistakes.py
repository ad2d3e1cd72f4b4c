"""The most confident mistakes of each class: as files and as a contact sheet (Figure 6 of Zhao's paper)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError, UsageError
from ferengine.vision import cv2
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.figure import new_figure, save_figure, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CLASS = 8
SHEET = "mistakes.png"
LISTING = "mistakes.csv"


@dataclass(frozen=True)
class Mistake:
    """A face that was not read as it is labelled.

    Attributes:
        row: The face.
        actual: Its label.
        predicted: The label that the model gave.
        confidence: Its probability.
    """

    row: int
    actual: str
    predicted: str
    confidence: float


def find_mistakes(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: tuple[str, ...], per_class: int = PER_CLASS
) -> list[Mistake]:
    """Return the mistakes of each actual class, most confident first.

    Args:
        probabilities: float64 (N, C).
        labels: Into ``classes``, int64 (N,).
        classes: The C names.
        per_class: The maximum for a class.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = []
    for index, name in enumerate(classes):
        rows = np.flatnonzero((labels == index) & (predicted != index))
        for row in rows[np.argsort(-confidence[rows], kind="stable")][:per_class]:
            found.append(Mistake(int(row), name, classes[predicted[row]], float(confidence[row])))
    return found


def write_mistakes(folder: Path, mistakes: list[Mistake], faces: LabelledFaces, title: str) -> None:
    """Write ``folder``/<actual>/<rank>_<predicted>_<percent>.png, ``mistakes.csv`` and the sheet ``mistakes.png``.

    Args:
        folder: A new or empty folder.
        mistakes: What to write, as ``find_mistakes`` returns it.
        faces: The faces that were read.
        title: Of the sheet.

    Raises:
        UsageError: The folder is not empty.
        SinkError: It cannot be written.
        MissingDependencyError: matplotlib is missing.
    """
    check_empty(folder)
    sheet = _sheet(mistakes, faces, title) if mistakes else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LISTING).open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            rows = csv.writer(handle)
            rows.writerow(["file", "actual", "predicted", "confidence", "source"])
            for rank, each in _ranked(mistakes):
                file = Path(_as_name(each.actual)) / f"{rank + 1:02}_{_as_name(each.predicted)}_{100 * each.confidence:.0f}.png"
                (folder / file).parent.mkdir(exist_ok=True)
                done, data = cv2.imencode(".png", faces.images[each.row])
                if not done:
                    raise SinkError(f"{folder / file} cannot be encoded")
                (folder / file).write_bytes(data.tobytes())
                rows.writerow([file.as_posix(), each.actual, each.predicted, f"{each.confidence:.4f}", faces.names[each.row]])
    except OSError as error:
        raise SinkError(f"{folder} cannot be written: {error.strerror}") from None
    if sheet is not None:
        save_figure(sheet, folder / SHEET)


def check_empty(folder: Path) -> None:
    """Check that ``folder`` is empty or does not exist: mistakes of two models must not mix.

    Raises:
        UsageError: It is not.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder: choose another for the mistakes")


def check_outside(folder: Path, data: Path) -> None:
    """Check that the mistakes do not come to lie in the folder of the data, where the next run would take them for a class.

    Raises:
        UsageError: They would.
    """
    if folder.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"--errors {folder} lies in {data}, and would be taken for a class of it: choose a folder elsewhere")


def _as_name(label: str) -> str:
    """A label as the name of a file or folder: one may hold a slash, or be called as the folder above."""
    return label.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")


def _ranked(mistakes: list[Mistake]) -> list[tuple[int, Mistake]]:
    """Each with its place within its class, from 0."""
    counts: dict[str, int] = {}
    ranked = []
    for each in mistakes:
        ranked.append((counts.setdefault(each.actual, 0), each))
        counts[each.actual] += 1
    return ranked


def _sheet(mistakes: list[Mistake], faces: LabelledFaces, title: str) -> Figure:
    names = list(dict.fromkeys(each.actual for each in mistakes))
    columns = 1 + max(rank for rank, _ in _ranked(mistakes))
    width = 0.9 + 1.25 * max(3, columns)
    figure = new_figure(width, 0.5 + 1.5 * len(names))
    grid = figure.subplots(len(names), columns, squeeze=False)
    figure.suptitle(wrapped(title, width), fontsize=11)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for row, name in enumerate(names):
        grid[row, 0].set_ylabel(name, fontsize=11)
    for rank, each in _ranked(mistakes):
        axes = grid[names.index(each.actual), rank]
        axes.imshow(faces.images[each.row], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{each.predicted} {100 * each.confidence:.0f} %", fontsize=9)
    return figure
