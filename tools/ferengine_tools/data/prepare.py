"""``ferengine data prepare``: a folder of one's own pictures as faces to evaluate or train on.

As the document's preprocessing: detection (MTCNN), alignment by the eyes, grey crops of 48 x 48 pixels. Names and sub-folders
are kept: with a sub-folder a class ``ferengine evaluate --split folder`` measures on the faces; pictures laid out as FER-2013's
image folders (see ``load_fer2013``) become faces for ``ferengine train --data``.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.errors import FerengineError, UsageError
from ferengine.vision import cv2
from ferengine_tools.data.cutting import decode

LISTING = "faces.csv"
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_COLUMNS = ("picture", "outcome", "faces", "x", "y", "w", "h", "score", "file")

Outcome = Literal["one face", "largest of several", "no face", "unreadable"]
OUTCOMES: tuple[Outcome, ...] = ("one face", "largest of several", "no face", "unreadable")


class Cutter(Protocol):
    """What ``prepare`` asks of a FaceCutter."""

    def detect(self, image: NDArray[np.uint8]) -> Detections: ...

    def cut(self, image: NDArray[np.uint8], faces: Detections, index: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Prepared:
    """How many pictures had which outcome."""

    pictures: int
    outcomes: dict[Outcome, int]

    @property
    def faces(self) -> int:
        """Files written."""
        return self.outcomes["one face"] + self.outcomes["largest of several"]


def find_pictures(folder: Path) -> list[Path]:
    """The pictures of ``folder`` and its sub-folders, in order of their paths. Raises UsageError where there are none."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the one that holds the pictures")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        raise UsageError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)})")
    return found


def prepare(
    folder: Path, out: Path, cutter: Cutter, pictures: Iterable[Path], done: Callable[[], None] = lambda: None
) -> Prepared:
    """Cut the largest face of each of ``pictures``, which lie in ``folder``, into the same sub-folder of ``out``, as PNG.

    ``out``/faces.csv gets a row for each picture as soon as it is done: its outcome, the number of faces, the box of the one
    taken (x, y, w, h in pixels) with its score, and the file written; then ``done`` is called. A picture that cannot be read
    is counted, not fatal. Raises UsageError when ``out`` holds something already or lies in ``folder``, FerengineError when it
    cannot be written to.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} lies in {folder}: the next run would take its faces for pictures, choose another --out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder: choose another --out")
    names = _names(folder, pictures)
    outcomes: Counter[Outcome] = Counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / LISTING).open("w", newline="") as handle:
            listing = csv.DictWriter(handle, _COLUMNS)
            listing.writeheader()
            for picture, name in names.items():
                found = _largest_face(picture, cutter)
                if found.crop is not None:
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    (out / name).write_bytes(_png(found.crop))
                    found.row["file"] = name.as_posix()
                listing.writerow({"picture": picture.relative_to(folder).as_posix(), "outcome": found.outcome, **found.row})
                handle.flush()
                outcomes[found.outcome] += 1
                done()
    except OSError as error:
        raise FerengineError(
            f"{out} cannot be written to: {error.strerror}; {outcomes.total()} of {len(names)} pictures are done"
        ) from None
    return Prepared(len(names), {outcome: outcomes[outcome] for outcome in OUTCOMES})


@dataclass(frozen=True)
class _Found:
    outcome: Outcome
    row: dict[str, object]
    crop: NDArray[np.uint8] | None = None


def _largest_face(picture: Path, cutter: Cutter) -> _Found:
    try:
        image = decode(picture.read_bytes(), str(picture))
    except (OSError, UsageError):
        return _Found("unreadable", {"faces": 0})
    faces = cutter.detect(image)
    if not len(faces):
        return _Found("no face", {"faces": 0})
    largest = int((faces.boxes[:, 2] * faces.boxes[:, 3]).argmax())
    box = dict(zip("xywh", (f"{value:.1f}" for value in faces.boxes[largest]), strict=True))
    row = {"faces": len(faces), **box, "score": f"{faces.scores[largest]:.3f}"}
    return _Found("one face" if len(faces) == 1 else "largest of several", row, cutter.cut(image, faces, largest))


def _names(folder: Path, pictures: Iterable[Path]) -> dict[Path, Path]:
    """Where each picture's face goes: its own name with .png, or with both endings where two names differ in these alone."""
    relative = {picture: picture.relative_to(folder) for picture in pictures}
    stems = Counter(name.with_suffix("") for name in relative.values())
    return {
        picture: name.with_suffix(".png") if stems[name.with_suffix("")] == 1 else name.with_name(f"{name.name}.png")
        for picture, name in relative.items()
    }


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", crop)[1].tobytes()
