"""Faces as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ferengine.results import Face, FrameResult
from ferengine.sinks.lines import LineWriter

_COLUMNS = ("camera", "frame", "timestamp", "latency_ms", "track", "x", "y", "width", "height", "score",
            "track_confidence", "origin", "label", "smoothed_label", "reason")  # fmt: skip


class RowWriter(LineWriter):
    """One row a face, comma-separated (RFC 4180 but for the line ends, which are ``\\n``), below a header.

    After the columns that a line of ``--events`` has too come the scores of each of ``labels``, as ``score_happy`` and
    ``smoothed_happy``; they are empty, and ``reason`` says why, where a face was not classified. A frame without faces
    has no row. How it is written, and what is raised when that fails: see ``LineWriter``.
    """

    def __init__(
        self,
        path: str | Path,
        labels: Sequence[str],
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path, overwrite, clock)
        self._labels = tuple(labels)
        scores = [f"{kind}_{label}" for kind in ("score", "smoothed") for label in self._labels]
        self.write_line(_joined([*_COLUMNS, *scores]))

    def write(self, result: FrameResult) -> None:
        """Append a row for each face."""
        for face in result.faces:
            self.write_line(_joined(self._row(result, face)))

    def _row(self, result: FrameResult, face: Face) -> list[object]:
        values = face.to_dict()
        seen = [result.camera, result.frame, round(result.timestamp, 6), round(result.latency_ms, 3)]
        read = ["", "", face.reason, *[""] * 2 * len(self._labels)]
        expression = values["expression"]
        if expression is not None:
            smoothed = expression["smoothed"]
            scores = [part["scores"][label] for part in (expression, smoothed) for label in self._labels]
            read = [expression["label"], smoothed["label"], face.reason, *scores]
        return [*seen, face.track, *values["box"], values["score"], values["track_confidence"], face.origin, *read]


def _joined(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
