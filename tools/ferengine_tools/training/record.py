"""The record of a run: a CSV row an epoch, and the curves as an image (Figures 2 to 4 of Zhao's paper)."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

from ferengine.errors import UsageError
from ferengine_tools.evaluation.figure import new_figure, save_figure
from ferengine_tools.files import written_whole
from ferengine_tools.training.trainer import EpochMetrics

_FIRST = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy")


class RunRecord:
    """The log of a run, ``log.csv`` in its folder.

    Args:
        folder: Of the run.
        epoch: Rows after it are dropped: those of a run that was killed after its last checkpoint.

    Raises:
        UsageError: There is another file of that name.
        FerengineError: It cannot be written.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._path = folder / "log.csv"
        self._rows: list[dict[str, float]] = []
        if self._path.exists():
            self._rows = [row for row in _read(self._path) if row["epoch"] <= epoch]
        self._write()

    def add(self, epoch: int, metrics: EpochMetrics, seconds: float) -> None:
        """Write the row of an epoch."""
        written = asdict(metrics)
        others = written.pop("others")
        self._rows.append({"epoch": epoch, **written, **others, "seconds": seconds})
        self._write()

    def _write(self) -> None:
        with written_whole(self._path) as beside, beside.open("w", newline="") as handle:
            others = (name for row in self._rows for name in row if name not in (*_FIRST, "seconds"))
            writer = csv.DictWriter(handle, [*_FIRST, *dict.fromkeys(others), "seconds"], restval="nan")
            writer.writeheader()
            for row in self._rows:
                writer.writerow({name: int(v) if name == "epoch" else f"{v:.5f}" for name, v in row.items()})

    def draw(self, path: Path, title: str) -> None:
        """Accuracy and loss of training and validation against the epochs, as PNG."""
        figure = new_figure(9, 3.6)
        epochs = [row["epoch"] for row in self._rows]
        for axes, name, unit in zip(figure.subplots(1, 2), ("accuracy", "loss"), (100, 1), strict=True):
            for column, label in ((name, "training (augmented)"), (f"validation_{name}", "validation")):
                axes.plot(epochs, [unit * row[column] for row in self._rows], label=label)
            axes.set_xlabel("epoch")
            axes.set_ylabel("accuracy, %" if name == "accuracy" else "cross-entropy")
            axes.grid(alpha=0.3)
            axes.legend()
        figure.suptitle(title)
        save_figure(figure, path)


def _read(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as handle:
        try:
            reader = csv.DictReader(handle)
            names, rows = set(reader.fieldnames or ()), [{name: float(value) for name, value in row.items()} for row in reader]
        except (TypeError, ValueError, AttributeError, csv.Error):
            names, rows = set(), []
    if not names >= {*_FIRST, "seconds"}:
        raise UsageError(f"{path} is not the log of a run: move it away (a checkpoint holds all that resuming needs)")
    return rows
