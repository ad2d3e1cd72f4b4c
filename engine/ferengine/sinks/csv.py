"""Writes faces as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ferengine.errors import UsageError, shown
from ferengine.models.manifest import Head
from ferengine.results import Face, FrameResult, HeadReading
from ferengine.sinks.lines import LineWriter

_COLUMNS = ("camera", "frame", "timestamp", "latency_ms", "track", "x", "y", "width", "height", "score",
            "track_confidence", "origin", "label", "smoothed_label", "reason", "changed_from", "yaw", "pitch", "roll",
            "pose_age", "size", "sharpness", "brightness", "contrast", "zones")  # fmt: skip
_END = "\r\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a formula, or what spreadsheets skip before one, begins with."""


class CsvWriter(LineWriter):
    """Writes one row per face, comma-separated (RFC 4180, except that lines end in ``\\n``), below a header.

    The first columns are the values of a line of ``--events``; then come the scores of each label, as ``score_happy`` and
    ``smoothed_happy``. If a face was not classified they are empty and ``reason`` says why; it also says why a label is
    uncertain. ``zones`` are the names of its zones, with semicolons between them. A text that a spreadsheet would take for a
    formula, such as a camera's name that begins with ``=``, has an apostrophe before it. It has no landmarks and no scene cuts,
    and a frame without faces has no row. See ``LineWriter`` for how lines are written and which errors are raised.

    Args:
        path: The file, or "-" for standard output.
        labels: The labels of the expression model.
        overwrite: Replace a file that exists.
        clock: Monotonic seconds.
        prior: The name of the class prior in force: the last column, ``prior``, of every row.
        gender_labels: The labels of the gender model, if it is on: they add the columns ``gender``, ``smoothed_gender``,
            ``gender_reason`` and those of their scores.
        heads: The further heads of the model: each adds ``heads.NAME.values.LABEL`` and ``heads.NAME.smoothed.LABEL`` for each
            of its labels, and ``heads.NAME.label`` if these are classes, as the fields are called in a line of ``--events``.

    Raises:
        UsageError: If labels are no sequence of different texts, or the file exists, without ``overwrite``.
        SinkError: If the file cannot be created.
    """

    def __init__(
        self,
        path: str | Path,
        labels: Sequence[str],
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
        gender_labels: Sequence[str] = (),
        prior: str | None = None,
        heads: Sequence[Head] = (),
    ) -> None:
        self._labels, self._gender_labels = _checked_labels(labels), _checked_labels(gender_labels)
        super().__init__(path, overwrite, clock)
        columns = [*_COLUMNS, *_score_names("", self._labels)]
        if gender_labels:
            columns += ["gender", "smoothed_gender", "gender_reason", *_score_names("gender_", self._gender_labels)]
        self._heads = tuple(heads)
        columns += [column for head in heads for column in head_columns(head)]
        self._prior = [] if prior is None else [prior]
        self.write_line(_joined(columns + ["prior"] * len(self._prior)))

    def write(self, result: FrameResult) -> None:
        """Append a row for each face.

        Args:
            result: The result of a frame.

        Raises:
            UsageError: It is something else, or a face has been read by a model of other labels.
            SinkError: It cannot be written, or the writer has been closed.
        """
        if not isinstance(result, FrameResult):
            raise UsageError(f"rows hold the faces of the result of a frame, not {type(result).__name__}")
        for number, face in enumerate(result.faces, 1):
            self.write_line(_joined(self._row(result, face)), ends_result=number == len(result.faces))

    def _row(self, result: FrameResult, face: Face) -> list[object]:
        values = face.to_dict()
        frame = [result.camera, result.frame, round(result.timestamp, 6), round(result.latency_ms, 3)]
        names, scores = _cells(values["expression"], self._labels)
        row = [*frame, face.track, *values["box"], values["score"], values["track_confidence"], face.origin,
               *names, _reason(face), face.changed_from, *_values(values.get("pose"), 4), *_values(values.get("quality"), 4),
               ";".join(face.zones), *scores]  # fmt: skip
        if self._gender_labels:
            names, scores = _cells(values.get("gender"), self._gender_labels)
            row += [*names, face.gender and face.gender.reason, *scores]
        row += [cell for head in self._heads for cell in _head_cells(head, face.heads.get(head.name))]
        return [*row, *self._prior]


def _checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    several = isinstance(labels, Sequence) and not isinstance(labels, str | bytes)
    if not several or not all(isinstance(each, str) for each in labels) or len(set(labels)) < len(labels):
        raise UsageError(f"labels are a sequence of different texts, not {shown(labels)}")
    return tuple(labels)


def _reason(face: Face) -> str | None:
    """Why it was not classified, or why it is uncertain."""
    return face.reason if face.expression is None else face.expression.reason


def _values(measured: dict[str, float] | None, count: int) -> Sequence[object]:
    return [""] * count if measured is None else list(measured.values())


def _score_names(prefix: str, labels: Sequence[str]) -> list[str]:
    return [f"{kind}_{prefix}{label}" for kind in ("score", "smoothed") for label in labels]


def _cells(reading: dict[str, Any] | None, labels: Sequence[str]) -> tuple[Sequence[object], Sequence[object]]:
    """Raw and smoothed label, and the scores of both; empty cells if there is no reading."""
    if reading is None:
        return [""] * 2, [""] * 2 * len(labels)
    parts = (reading, reading["smoothed"])
    for part in parts:
        if part["scores"].keys() != set(labels):
            raise UsageError(f"the columns are of {', '.join(labels)}, and a face has scores of {', '.join(part['scores'])}")
    return [part["label"] for part in parts], [part["scores"][label] for part in parts for label in labels]


def head_columns(head: Head) -> list[str]:
    """The columns of a further head of a model, in order."""
    label = [f"heads.{head.name}.label"] * (head.kind == "classes")
    return label + [f"heads.{head.name}.{part}.{each}" for part in ("values", "smoothed") for each in head.labels]


def _head_cells(head: Head, reading: HeadReading | None) -> Sequence[object]:
    if reading is None:
        return [""] * len(head_columns(head))
    said = reading.to_dict()
    label = [said["label"]] if head.kind == "classes" else []
    return [*label, *(said[part][name] for part in ("values", "smoothed") for name in head.labels)]


def _joined(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator=_END).writerow(map(_inert, values))  # what an end of a line holds is quoted
    return text.getvalue().removesuffix(_END)


def _inert(value: object) -> object:
    """A cell that no spreadsheet computes: who may name a camera may not run something where the rows are opened."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
