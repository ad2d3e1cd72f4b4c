"""wild_faces: faces of news and film photographs with their expression, from the public collection muxspace/facial_expressions.

Its classes are as unequal as those of ordinary faces are: half are neutral, 41 % happy, 2 % each angry, sad and disgusted.
"""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.tracking.cropper import FaceCropper
from ferengine_tools.data.cropping import SIDE, decode
from ferengine_tools.data.fer2013 import LABELS

ROOM = 6
"""Pixels around a crop, at the crop's own scale, that the images hold beside it."""

CROP_SIDE = 112
"""Pixels a side of an image in the archive: the engine's square and a quarter more."""

SPLITS = ("training", "validation")
Split = Literal["training", "validation"]

_COLUMNS = {"file", "label", "annotator", "person"}
_VALIDATION = 5
"""Every fifth person is for validation."""


@dataclass(frozen=True)
class WildFaces:
    """N faces in the order of ``labels.csv``.

    Attributes:
        images: uint8 (N, 60, 60): the crop as the engine makes it is the middle, 48 x 48, and ``ROOM`` pixels of the photograph
            lie around it.
        labels: Into ``classes``, int64 (N,).
        split: Into SPLITS, int64 (N,).
        persons: str (N,).
        annotators: str (N,).
        names: The files.
        classes: The names of the classes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: NDArray[np.int64]
    persons: NDArray[np.str_]
    annotators: NDArray[np.str_]
    names: tuple[str, ...]
    classes: tuple[str, ...] = LABELS

    @property
    def crops(self) -> NDArray[np.uint8]:
        """What the classifier sees, uint8 (N, 48, 48)."""
        return np.ascontiguousarray(self.images[:, ROOM:-ROOM, ROOM:-ROOM])

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Rows of one of the splits, which share no person."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def split_of(person: str) -> int:
    """Into SPLITS, by a person's hexadecimal hash: 1 (validation) where it is 0 modulo 5, else 0. Raises ValueError where it is
    no such number, without sign or prefix."""
    if not re.fullmatch(r"[0-9a-fA-F]+", person):
        raise ValueError(person)
    return int(int(person, 16) % _VALIDATION == 0)


def is_wild_faces(path: Path) -> bool:
    """Whether ``path`` looks like a source of ``load_wild_faces``."""
    return (path / "labels.csv").is_file() and (path / "faces.zip").is_file()


def load_wild_faces(folder: Path) -> WildFaces:
    """The faces of ``folder``/faces.zip, colour images of 112 x 112 pixels, by ``folder``/labels.csv (file, label, annotator,
    person and more).

    Args:
        folder: holds both files.

    Returns:
        The faces, grayscale and area-averaged to 60 x 60 as the engine's cropper does it, split by person.

    Raises:
        UsageError: names file and row, for anything missing, damaged, of another size or with a label that is none of LABELS.
    """
    rows = _rows(folder / "labels.csv")
    images = np.empty((len(rows), SIDE + 2 * ROOM, SIDE + 2 * ROOM), np.uint8)
    cropper, square = FaceCropper(SIDE + 2 * ROOM), [(CROP_SIDE / 2, CROP_SIDE / 2, float(CROP_SIDE), 0.0)]
    try:
        with zipfile.ZipFile(folder / "faces.zip") as archive:
            for number, row in enumerate(rows):
                image = decode(archive.read(row["file"]), f"{folder / 'faces.zip'}: {row['file']}")
                if image.shape != (CROP_SIDE, CROP_SIDE, 3):
                    raise UsageError(f"{folder / 'faces.zip'}: {row['file']} is not {CROP_SIDE} x {CROP_SIDE} pixels")
                images[number] = cropper.crop(image, square)[0]
    except KeyError as error:
        raise UsageError(f"{folder / 'faces.zip'} lacks a file that labels.csv names: {error.args[0]}") from None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it is encrypted
        raise UsageError(f"{folder / 'faces.zip'} cannot be read: {error}") from None
    return WildFaces(
        images,
        np.array([LABELS.index(row["label"]) for row in rows], np.int64),
        np.array([split_of(row["person"]) for row in rows], np.int64),
        np.array([row["person"].lower() for row in rows]),
        np.array([row["annotator"] or "" for row in rows]),
        tuple(row["file"] for row in rows),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """Of the table, each with a label and a person that can be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = _COLUMNS - set(reader.fieldnames or ())
            rows = [] if missing else list(reader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a table of comma-separated values ({error})") from None
    if missing:
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}")
    if not rows:
        raise UsageError(f"{path} names no faces")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row["file"] in seen:
            raise UsageError(f"{path}, row {number + 2}: {row['file']} is named twice")
        seen.add(row["file"])
        if row["label"] not in LABELS:
            raise UsageError(f"{path}, row {number + 2}: label must be one of {', '.join(LABELS)}, not {row['label']!r}")
        try:
            split_of(row["person"] or "")
        except ValueError:
            raise UsageError(f"{path}, row {number + 2}: person must be a hexadecimal number, not {row['person']!r}") from None
    return rows
