"""``ferengine data prepare``: a folder of one's own images as faces to evaluate or train on.

As in Zhao's paper: detection (MTCNN), alignment by the eyes, grayscale crops of 48 x 48 pixels. Names and sub-folders are
kept: with a sub-folder a class ``ferengine evaluate --split folder`` measures on the faces; images laid out as FER-2013's
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
from ferengine_tools.data.cropping import decode
from ferengine_tools.files import files_below

LISTING = "faces.csv"
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_COLUMNS = ("image", "outcome", "faces", "x", "y", "w", "h", "score", "file")

Outcome = Literal["one face", "largest of several", "no face", "unreadable"]
OUTCOMES: tuple[Outcome, ...] = ("one face", "largest of several", "no face", "unreadable")


class Cropper(Protocol):
    """What ``write_crops`` asks of a PhotoCropper."""

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of an image."""
        ...

    def crop(self, image: NDArray[np.uint8], faces: Detections, index: int) -> NDArray[np.uint8]:
        """Crop one of them."""
        ...


@dataclass(frozen=True)
class Prepared:
    """What was done.

    Attributes:
        images: Number of images read.
        outcomes: How many had which outcome.
    """

    images: int
    outcomes: dict[Outcome, int]

    @property
    def faces(self) -> int:
        """Number of crops written."""
        return self.outcomes["one face"] + self.outcomes["largest of several"]


def find_images(folder: Path) -> list[Path]:
    """Return the images of a folder and its sub-folders, in the order of their paths.

    Raises:
        UsageError: There are none, or a folder cannot be listed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the one that holds the images")
    found = [path for path in files_below(folder) if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise UsageError(f"{folder} holds no images ({', '.join(_SUFFIXES)})")
    return found


def write_crops(
    folder: Path, out: Path, cropper: Cropper, images: Iterable[Path], done: Callable[[], None] = lambda: None
) -> Prepared:
    """Crop the largest face of each image and write it as PNG.

    ``faces.csv`` gets a row for each image as soon as it is done: its outcome, the number of faces, the box of the one taken
    (x, y, w, h in pixels) with its score, and the file written. An image that cannot be read is counted, not fatal.

    Args:
        folder: Where the images lie, in sub-folders or not.
        out: A new or empty folder; crops go to the same sub-folders.
        cropper: Finds and crops faces.
        images: What to read.
        done: Called after each image.

    Returns:
        How many images had which outcome.

    Raises:
        UsageError: ``out`` is not empty, or lies in ``folder``.
        FerengineError: ``out`` cannot be written to.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} lies in {folder}: the next run would take its faces for images, choose another --out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder: choose another --out")
    names = _names(folder, images)
    outcomes: Counter[Outcome] = Counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / LISTING).open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            listing = csv.DictWriter(handle, _COLUMNS)
            listing.writeheader()
            for image, name in names.items():
                found = _largest_face(image, cropper)
                if found.crop is not None:
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    (out / name).write_bytes(_png(found.crop))
                    found.row["file"] = name.as_posix()
                listing.writerow({"image": image.relative_to(folder).as_posix(), "outcome": found.outcome, **found.row})
                handle.flush()
                outcomes[found.outcome] += 1
                done()
    except OSError as error:
        raise FerengineError(
            f"{out} cannot be written to: {error.strerror}; {outcomes.total()} of {len(names)} images are done"
        ) from None
    return Prepared(len(names), {outcome: outcomes[outcome] for outcome in OUTCOMES})


@dataclass(frozen=True)
class _Found:
    outcome: Outcome
    row: dict[str, object]
    crop: NDArray[np.uint8] | None = None


def _largest_face(path: Path, cropper: Cropper) -> _Found:
    try:
        image = decode(path.read_bytes(), str(path))
    except (OSError, UsageError):
        return _Found("unreadable", {"faces": 0})
    faces = cropper.detect(image)
    if not len(faces):
        return _Found("no face", {"faces": 0})
    largest = int((faces.boxes[:, 2] * faces.boxes[:, 3]).argmax())
    box = dict(zip("xywh", (f"{value:.1f}" for value in faces.boxes[largest]), strict=True))
    row = {"faces": len(faces), **box, "score": f"{faces.scores[largest]:.3f}"}
    return _Found("one face" if len(faces) == 1 else "largest of several", row, cropper.crop(image, faces, largest))


def _names(folder: Path, images: Iterable[Path]) -> dict[Path, Path]:
    """Where each image's face goes, each another file: its own name with .png, or with both endings where two names differ in
    these alone, or where that is another's."""
    relative = {image: image.relative_to(folder) for image in images}
    stems = Counter(name.with_suffix("") for name in relative.values())
    places: dict[Path, Path] = {}
    taken: set[Path] = set()
    for image, name in relative.items():
        place = name.with_suffix(".png") if stems[name.with_suffix("")] == 1 else name.with_name(f"{name.name}.png")
        while place in taken:
            place = place.with_name(f"{place.name}.png")
        taken.add(place)
        places[image] = place
    return places


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", crop)[1].tobytes()
