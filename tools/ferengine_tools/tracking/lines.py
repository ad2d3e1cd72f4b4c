"""Reads who is where from JSON lines: those of ``ferengine run --events``, and truths in the same form.

A truth has the keys ``camera``, ``frame``, ``timestamp`` and ``faces``; of each face ``track``, which names the person, and
``box``. With ``"ignore": true`` a face neither counts as missed nor makes false what a tracker shows there: it is hidden, or
too small. Other keys are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from ferengine.errors import UsageError, describe_invalid
from ferengine.json_text import json_text

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The faces of one frame.

    Attributes:
        timestamp: Seconds.
        tracks: The id of each face; in a truth the person.
        boxes: float64 (n, 4): x, y, w, h in pixels.
        labels: The smoothed label of each face; None where it was not classified.
        ignored: float64 (m, 4): the boxes of faces that count for nothing.
    """

    timestamp: float
    tracks: tuple[int, ...]
    boxes: NDArray[np.float64]
    labels: tuple[str | None, ...]
    ignored: NDArray[np.float64]


Sightings: TypeAlias = dict[int, Sighting]
"""The faces of one camera by the number of the frame, in ascending order."""


class _Labelled(BaseModel):
    label: str


class _Expression(BaseModel):
    smoothed: _Labelled


class _Face(BaseModel):
    track: int
    box: tuple[Finite, Finite, Positive, Positive]
    expression: _Expression | None = None
    ignore: bool = False


class _Line(BaseModel):
    camera: str
    frame: Annotated[int, Field(ge=0)]
    timestamp: Finite
    faces: list[_Face]

    @model_validator(mode="after")
    def _check_tracks(self) -> _Line:
        tracks = [face.track for face in self.faces]
        if len(set(tracks)) < len(tracks):
            raise ValueError("a track is listed twice in one frame")
        return self


class _Event(BaseModel):
    event: str | None = None


def read_lines(path: Path) -> dict[str, Sightings]:
    """Read a file of JSON lines, by camera. Lines of events are passed over.

    Raises:
        UsageError: The file cannot be read, holds no frame, or a line is not one of a frame; the message names the line.
    """
    cameras: dict[str, Sightings] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read {path}: {reason}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            if _Event.model_validate_json(line).event is not None:
                continue
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            item = error.errors(include_url=False)[0]
            where = ".".join(map(str, item["loc"]))
            raise UsageError(f"{path}:{number}: {describe_invalid(item, where) if where else item['msg']}") from None
        frames = cameras.setdefault(read.camera, {})
        if read.frame in frames:
            raise UsageError(f"{path}:{number}: frame {read.frame} of {read.camera} is there twice: evaluate one run at a time")
        frames[read.frame] = _sighting(read)
    if not cameras:
        raise UsageError(f"{path} holds no frame: give the lines that ferengine run --events writes, or a truth in that form")
    return {camera: dict(sorted(frames.items())) for camera, frames in cameras.items()}


def write_truth(path: Path, camera: str, frames: Mapping[int, Sighting]) -> None:
    """Write a truth, which ``read_lines`` reads.

    Raises:
        UsageError: The file exists, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            for number, seen in frames.items():
                file.write(truth_line(camera, number, seen) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def truth_line(camera: str, number: int, seen: Sighting) -> str:
    """One frame of a truth as a JSON line. What is ignored gets ids below 0."""
    faces: list[dict[str, object]] = [
        {"track": track, "box": [round(value, 2) for value in box]}
        for track, box in zip(seen.tracks, seen.boxes.tolist(), strict=True)
    ]
    for index, box in enumerate(seen.ignored.tolist()):
        faces.append({"track": -1 - index, "box": [round(value, 2) for value in box], "ignore": True})
    line = {"camera": camera, "frame": number, "timestamp": round(seen.timestamp, 6), "faces": faces}
    return json_text(line, separators=(",", ":"), ensure_ascii=False)


def as_boxes(boxes: Iterable[Iterable[float]]) -> NDArray[np.float64]:
    """Boxes as float64 (n, 4), also where there is none."""
    return np.array([tuple(box) for box in boxes], np.float64).reshape(-1, 4)


def _sighting(line: _Line) -> Sighting:
    known = [face for face in line.faces if not face.ignore]
    return Sighting(
        line.timestamp,
        tuple(face.track for face in known),
        as_boxes(face.box for face in known),
        tuple(None if face.expression is None else face.expression.smoothed.label for face in known),
        as_boxes(face.box for face in line.faces if face.ignore),
    )
