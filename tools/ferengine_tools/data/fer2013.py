"""FER-2013: I. Goodfellow et al., "Challenges in Representation Learning", ICML 2013 workshop; with the FER+ votes of
E. Barsoum et al., ICMI 2016, where the folder has them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.vision import cv2

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 48
Split = Literal["training", "public", "private"]
_USAGES = {"Training": 0, "PublicTest": 1, "PrivateTest": 2}
_SPLITS: tuple[Split, ...] = ("training", "public", "private")
_VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_TILES_A_ROW = 64
_SUFFIXES = (".png", ".jpg")


@dataclass(frozen=True)
class Fer2013:
    """``images`` uint8 (N, 48, 48), ``labels`` int64 (N,) into LABELS, ``usage`` int64 (N,): 0 training, 1 public test,
    2 private test; ``votes`` float32 (N, 7), the FER+ votes for these classes, or ``None``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    usage: NDArray[np.int64]
    votes: NDArray[np.float32] | None

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Rows of one of the competition's splits."""
        return np.flatnonzero(self.usage == _SPLITS.index(split))


def load_fer2013(path: Path) -> Fer2013:
    """The competition's ``fer2013.csv`` (emotion, pixels, Usage), a folder with ``labels.csv`` and ``tiles-N.webp``, or the
    image folders ``train`` and ``test`` of ``<emotion>/<Usage>_<number>.png`` or ``.jpg``.

    Raises UsageError, which names file and row, for anything missing, truncated or out of range.
    """
    if path.is_dir() and (path / "labels.csv").is_file():
        return _from_tiles(path)
    if path.is_file() and path.suffix == ".csv":
        return _from_csv(path)
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _from_folders(path)
    raise UsageError(
        f"{path} is neither fer2013.csv, nor a folder with labels.csv and tiles-*.webp, nor one with train and test"
    )


def _rows(path: Path, columns: set[str]) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        reader = csv.DictReader(handle)
        missing = columns - set(reader.fieldnames or ())
        if missing:
            raise UsageError(f"{path} has no column {', '.join(sorted(missing))}")
        return list(reader)


def _classes(path: Path, rows: list[dict[str, str]], usage: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels, usages = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for number, row in enumerate(rows):
        value = row["emotion"] or ""
        if not value.isdigit() or int(value) >= len(LABELS):
            raise UsageError(f"{path}, row {number + 2}: emotion must be 0 to {len(LABELS) - 1}, not {value!r}")
        if row[usage] not in _USAGES:
            raise UsageError(f"{path}, row {number + 2}: {usage} must be one of {', '.join(_USAGES)}, not {row[usage]!r}")
        labels[number], usages[number] = int(value), _USAGES[row[usage]]
    return labels, usages


def _from_csv(path: Path) -> Fer2013:
    rows = _rows(path, {"emotion", "pixels", "Usage"})
    if not rows:
        raise UsageError(f"{path} holds no faces")
    images = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for number, row in enumerate(rows):
        try:
            pixels = np.array((row["pixels"] or "").split(), np.int64)
        except ValueError:
            raise UsageError(f"{path}, row {number + 2}: pixels must be numbers") from None
        if pixels.size != SIDE * SIDE:
            raise UsageError(
                f"{path}, row {number + 2}: {SIDE * SIDE} pixels expected, found {pixels.size}: is the file truncated?"
            )
        if pixels.min() < 0 or pixels.max() > 255:
            raise UsageError(f"{path}, row {number + 2}: pixels must be 0 to 255")
        images[number] = pixels.reshape(SIDE, SIDE)
    labels, usage = _classes(path, rows, "Usage")
    return Fer2013(images, labels, usage, None)


def _from_folders(folder: Path) -> Fer2013:
    files = (path for part in ("train", "test") for path in (folder / part).glob("*/*"))
    paths = sorted(path for path in files if path.suffix in _SUFFIXES)
    if not paths:
        raise UsageError(f"{folder} holds no faces: train/<emotion> and test/<emotion> of .png or .jpg files expected")
    images = np.empty((len(paths), SIDE, SIDE), np.uint8)
    labels, usages = np.empty(len(paths), np.int64), np.empty(len(paths), np.int64)
    for number, path in enumerate(paths):
        emotion, usage = path.parent.name, path.name.partition("_")[0]
        if emotion not in LABELS:
            raise UsageError(f"{path}: the folder must be one of {', '.join(LABELS)}")
        if usage not in _USAGES:
            raise UsageError(f"{path}: the name must begin with one of {', '.join(_USAGES)} and _, which tells the split")
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (SIDE, SIDE):
            raise UsageError(f"{path} is not an image of {SIDE} x {SIDE} pixels: is it truncated?")
        images[number], labels[number], usages[number] = image, LABELS.index(emotion), _USAGES[usage]
    return Fer2013(images, labels, usages, None)


def _from_tiles(folder: Path) -> Fer2013:
    listing = folder / "labels.csv"
    rows = _rows(listing, {"emotion", "usage", *_VOTES})
    sheets = []
    for path in sorted(folder.glob("tiles-*.webp")):
        sheet = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if sheet is None or sheet.shape[1] != _TILES_A_ROW * SIDE or sheet.shape[0] % SIDE:
            raise UsageError(f"{path} is not a sheet of {_TILES_A_ROW} faces a row: is it truncated?")
        tiles = sheet.reshape(-1, SIDE, _TILES_A_ROW, SIDE).swapaxes(1, 2)
        sheets.append(tiles.reshape(-1, SIDE, SIDE))
    images = np.concatenate(sheets) if sheets else np.empty((0, SIDE, SIDE), np.uint8)
    if not rows or len(images) < len(rows):
        raise UsageError(f"{folder}: labels.csv names {len(rows)} faces, the sheets hold {len(images)}")
    labels, usage = _classes(listing, rows, "usage")
    return Fer2013(np.asarray(images[: len(rows)], np.uint8), labels, usage, _crowd(listing, rows))


def _crowd(path: Path, rows: list[dict[str, str]]) -> NDArray[np.float32]:
    votes = np.empty((len(rows), len(_VOTES)), np.float32)
    for number, row in enumerate(rows):
        try:
            votes[number] = [float(row[name] or "") for name in _VOTES]
        except ValueError:
            raise UsageError(f"{path}, row {number + 2}: the votes must be numbers") from None
    return votes
