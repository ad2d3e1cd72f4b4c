"""Faces as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ferengine.results import Face, FrameResult
from ferengine.sinks.lines import LineWriter

_COLUMNS = ("camera", "frame", "timestamp", "latency_ms", "track", "x", "y", "width", "height", "score",
            "track_confidence", "origin", "label", "smoothed_label", "reason")  # fmt: skip


class RowWriter(LineWriter):
    """One row a face, comma-separated (RFC 4180 but for the line ends, which are ``\\n``), below a header.

    After the columns that a line of ``--events`` has too come the scores of each of ``labels``, as ``score_happy`` and
    ``smoothed_happy``; they are empty, and ``reason`` says why, where a face was not classified. ``gender_labels``: of
    the gender model, if it is on; they bring the columns ``gender``, ``smoothed_gender`` and those of their scores. A
    frame without faces has no row. How it is written, and what is raised when that fails: see ``LineWriter``.
    """

    def __init__(
        self,
        path: str | Path,
        labels: Sequence[str],
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
        gender_labels: Sequence[str] = (),
    ) -> None:
        super().__init__(path, overwrite, clock)
        self._labels = tuple(labels)
        self._gender_labels = tuple(gender_labels)
        columns = [*_COLUMNS, *_score_names("", self._labels)]
        if gender_labels:
            columns += ["gender", "smoothed_gender", *_score_names("gender_", self._gender_labels)]
        self.write_line(_joined(columns))

    def write(self, result: FrameResult) -> None:
        """Append a row for each face."""
        for face in result.faces:
            self.write_line(_joined(self._row(result, face)))

    def _row(self, result: FrameResult, face: Face) -> list[object]:
        values = face.to_dict()
        seen = [result.camera, result.frame, round(result.timestamp, 6), round(result.latency_ms, 3)]
        names, scores = _read(values["expression"], self._labels)
        row = [*seen, face.track, *values["box"], values["score"], values["track_confidence"], face.origin,
               *names, face.reason, *scores]  # fmt: skip
        if self._gender_labels:
            names, scores = _read(values.get("gender"), self._gender_labels)
            row += [*names, *scores]
        return row


def _score_names(prefix: str, labels: Sequence[str]) -> list[str]:
    return [f"{kind}_{prefix}{label}" for kind in ("score", "smoothed") for label in labels]


def _read(told: dict[str, Any] | None, labels: Sequence[str]) -> tuple[Sequence[object], Sequence[object]]:
    """Raw and smoothed label, and the scores of both; empty cells where nothing was read."""
    if told is None:
        return [""] * 2, [""] * 2 * len(labels)
    parts = (told, told["smoothed"])
    return [part["label"] for part in parts], [part["scores"][label] for part in parts for label in labels]


def _joined(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
