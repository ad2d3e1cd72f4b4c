"""FER-2013: I. Goodfellow et al., "Challenges in Representation Learning", ICML 2013 workshop; with the FER+ votes of
E. Barsoum et al., ICMI 2016, where the folder has them."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data import LabelSet
from ferengine_tools.files import files_below, is_hidden, read_image

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
LABELS8 = (*LABELS, "contempt")
SIDE = 48
Split = Literal["training", "public", "private"]
_USAGES = {"Training": 0, "PublicTest": 1, "PrivateTest": 2}
SPLITS: tuple[Split, ...] = ("training", "public", "private")
_EMOTIONS = {str(number): number for number in range(len(LABELS))}
_VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
_ABSTENTIONS = ("unknown", "not_face")
_TILES_A_ROW = 64
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FACES = {"training": 28_709, "public": 3_589, "private": 3_589}
"""Of the competition's table, by split."""
_TRAINING = (3_995, 436, 4_097, 7_215, 4_830, 3_171, 4_965)
"""Of the competition's training split, by class."""
NAME = "FER-2013"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fer2013:
    """N faces of FER-2013.

    Attributes:
        images: uint8 (N, 48, 48).
        labels: Into ``classes``, int64 (N,).
        usage: 0 training, 1 public test, 2 private test; int64 (N,).
        votes: The FER+ votes for the classes, float32 (N, classes), or None.
        classes: The names of the classes.
        name: What a manifest calls them: FER-2013 only where they are as many in each split, and in each class of the training
            split, as the competition's; else the name of the file or folder. Other faces in its layout are not FER-2013.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    usage: NDArray[np.int64]
    votes: NDArray[np.float32] | None
    classes: tuple[str, ...] = LABELS
    name: str = NAME

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Rows of one of the competition's splits."""
        return np.flatnonzero(self.usage == SPLITS.index(split))


def load_fer2013(path: Path, labels: LabelSet = "fer2013") -> Fer2013:
    """Load FER-2013, or faces in its layout.

    A table that was cut between two rows looks like a small one: where it has not as many faces as the competition's, a
    warning is logged.

    Args:
        path: The competition's ``fer2013.csv`` (emotion, pixels, Usage), with the votes of FER+ where its ``fer2013new.csv``
            lies beside it; a folder with ``labels.csv`` (with votes) and ``tiles-N.webp``; or the image folders ``train`` and
            ``test`` of ``<emotion>/<Usage>_<number>.png``, ``.jpg`` or ``.jpeg``. Hidden files are left out, other files
            with a warning.
        labels: "ferplus8" adds the eighth class of FER+: an image is labelled contempt when more of the crowd chose contempt
            than any other answer, "unknown" and "not a face" included (212 images: 162, 24 and 26 of the three splits). All
            others keep FER-2013's label. The votes then have the eighth column.

    Raises:
        UsageError: Something is missing, truncated or out of range (the message names file and row), or "ferplus8" without
            votes.
    """
    if labels not in ("fer2013", "ferplus8"):
        raise UsageError(f"the labels are fer2013 or ferplus8, not {labels}")
    data, crowd = _load(path)
    data = replace(data, name=NAME if _is_the_competitions(data) else f"own faces ({path.resolve().name})")
    if labels == "fer2013":
        return data if crowd is None else replace(data, votes=crowd.votes(_VOTES[: len(LABELS)]))
    if crowd is None:
        raise UsageError(f"{path} has no FER+ votes, from which contempt is labelled: put fer2013new.csv beside fer2013.csv")
    votes, abstentions = crowd.votes(_VOTES), crowd.votes(_ABSTENTIONS)
    contempt = LABELS8.index("contempt")
    rivals = np.maximum(np.delete(votes, contempt, axis=1).max(axis=1), abstentions.max(axis=1))
    return replace(data, labels=np.where(votes[:, contempt] > rivals, contempt, data.labels), votes=votes, classes=LABELS8)


Row = dict[str, str]


@dataclass(frozen=True)
class _Crowd:
    """A table of FER+ votes, one row a face."""

    path: Path
    rows: list[Row]

    def votes(self, columns: tuple[str, ...]) -> NDArray[np.float32]:
        """float32 (N, columns). FER+'s own file calls ``not_face`` NF."""
        names = ["NF" if name == "not_face" and "NF" in self.rows[0] else name for name in columns]
        missing = [name for name in names if name not in self.rows[0]]
        if missing:
            raise UsageError(f"{self.path} has no column {', '.join(missing)}")
        votes = np.empty((len(self.rows), len(names)), np.float32)
        for number, row in enumerate(self.rows):
            try:
                votes[number] = [float(row[name] or "") for name in names]
            except ValueError:
                raise UsageError(f"{self.path}, row {number + 2}: the votes must be numbers") from None
        wrong = np.flatnonzero(~(votes >= 0).all(axis=1) | np.isinf(votes).any(axis=1))
        if len(wrong):
            raise UsageError(f"{self.path}, row {wrong[0] + 2}: the votes must be numbers from 0 on")
        return votes


def _load(path: Path) -> tuple[Fer2013, _Crowd | None]:
    """The faces, yet without votes, and the votes where there are any."""
    if path.is_dir() and (path / "labels.csv").is_file():
        if (path / "faces.zip").is_file():
            raise UsageError(f"{path} is wild_faces, not FER-2013: ferengine train takes it as a second --data")
        return _from_tiles(path)
    if path.is_file() and path.suffix == ".csv":
        return _from_csv(path)
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _from_folders(path), None
    raise UsageError(
        f"{path} is neither fer2013.csv, nor a folder with labels.csv and tiles-*.webp, nor one with train and test; other "
        "folders of faces are read by ferengine evaluate --split folder"
    )


def _rows(path: Path, columns: set[str]) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = columns - set(reader.fieldnames or ())
            if missing:
                raise UsageError(f"{path} has no column {', '.join(sorted(missing))}")
            return list(reader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a table of comma-separated values ({error})") from None


def _classes(path: Path, rows: list[Row], usage: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels, usages = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for number, row in enumerate(rows):
        value = row["emotion"] or ""
        if value not in _EMOTIONS:
            raise UsageError(f"{path}, row {number + 2}: emotion must be 0 to {len(LABELS) - 1}, not {value!r}")
        if row[usage] not in _USAGES:
            raise UsageError(f"{path}, row {number + 2}: {usage} must be one of {', '.join(_USAGES)}, not {row[usage]!r}")
        labels[number], usages[number] = _EMOTIONS[value], _USAGES[row[usage]]
    return labels, usages


def _from_csv(path: Path) -> tuple[Fer2013, _Crowd | None]:
    rows = _rows(path, {"emotion", "pixels", "Usage"})
    if not rows:
        raise UsageError(f"{path} holds no faces")
    images = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for number, row in enumerate(rows):
        try:
            pixels = np.array((row["pixels"] or "").split(), np.int64)
        except ValueError:
            raise UsageError(f"{path}, row {number + 2}: pixels must be numbers") from None
        except OverflowError:
            raise UsageError(f"{path}, row {number + 2}: pixels must be 0 to 255") from None
        if pixels.size != SIDE * SIDE:
            raise UsageError(
                f"{path}, row {number + 2}: {SIDE * SIDE} pixels expected, found {pixels.size}: is the file truncated?"
            )
        if pixels.min() < 0 or pixels.max() > 255:
            raise UsageError(f"{path}, row {number + 2}: pixels must be 0 to 255")
        images[number] = pixels.reshape(SIDE, SIDE)
    labels, usage = _classes(path, rows, "Usage")
    data, votes = Fer2013(images, labels, usage, None), path.with_name("fer2013new.csv")
    _warn_of_other_counts(path, data)
    if not votes.is_file():
        return data, None
    crowd_rows = _rows(votes, {"Usage"})
    if [row["Usage"] for row in crowd_rows] != [row["Usage"] for row in rows]:
        raise UsageError(
            f"{votes} has {len(crowd_rows)} rows that do not follow the {len(rows)} of {path.name}: is one truncated?"
        )
    return data, _Crowd(votes, crowd_rows)


def _warn_of_other_counts(path: Path, data: Fer2013) -> None:
    counts = {split: len(data.indices(split)) for split in SPLITS}
    if counts != _FACES:
        held, usual = (", ".join(f"{number:,} {split}" for split, number in each.items()) for each in (counts, _FACES))
        log.warning("%s holds %s faces, where the competition's has %s: is it truncated?", path, held, usual)


def _is_the_competitions(data: Fer2013) -> bool:
    counts = {split: len(data.indices(split)) for split in SPLITS}
    return counts == _FACES and tuple(np.bincount(data.labels[data.indices("training")], minlength=len(LABELS))) == _TRAINING


def _from_folders(folder: Path) -> Fer2013:
    paths, others = _faces_and_others(folder)
    if not paths:
        raise UsageError(f"{folder} holds no faces: train/<emotion> and test/<emotion> of .png or .jpg files expected")
    if others:
        log.warning(
            "%s: %d files are left out, such as %s: faces are %s files right in train/<emotion> and test/<emotion>",
            folder, len(others), others[0], ", ".join(_SUFFIXES),
        )  # fmt: skip
    images = np.empty((len(paths), SIDE, SIDE), np.uint8)
    labels, usages = np.empty(len(paths), np.int64), np.empty(len(paths), np.int64)
    for number, path in enumerate(paths):
        emotion, usage = path.parent.name, path.name.partition("_")[0]
        if emotion not in LABELS:
            raise UsageError(f"{path}: the folder must be one of {', '.join(LABELS)}")
        if usage not in _USAGES:
            raise UsageError(f"{path}: the name must begin with one of {', '.join(_USAGES)} and _, which gives the split")
        image = read_image(path, cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (SIDE, SIDE):
            raise UsageError(f"{path} is not an image of {SIDE} x {SIDE} pixels: is it truncated?")
        images[number], labels[number], usages[number] = image, LABELS.index(emotion), _USAGES[usage]
    return Fer2013(images, labels, usages, None)


def _faces_and_others(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files that should be faces, and the other ones that are not hidden."""
    paths: list[Path] = []
    others: list[Path] = []
    for part in (folder / "train", folder / "test"):
        for place in sorted(part.iterdir()):
            for path in files_below(place) if place.is_dir() else [place]:
                if not is_hidden(path, part):
                    (paths if path.parent == place and path.suffix.lower() in _SUFFIXES else others).append(path)
    return sorted(paths), others


def _from_tiles(folder: Path) -> tuple[Fer2013, _Crowd]:
    listing = folder / "labels.csv"
    rows = _rows(listing, {"emotion", "usage"})
    sheets = []
    for path in sorted(folder.glob("tiles-*.webp")):
        sheet = read_image(path, cv2.IMREAD_GRAYSCALE)
        if sheet is None or sheet.shape[1] != _TILES_A_ROW * SIDE or sheet.shape[0] % SIDE:
            raise UsageError(f"{path} is not a sheet of {_TILES_A_ROW} faces a row: is it truncated?")
        tiles = sheet.reshape(-1, SIDE, _TILES_A_ROW, SIDE).swapaxes(1, 2)
        sheets.append(tiles.reshape(-1, SIDE, SIDE))
    images = np.concatenate(sheets) if sheets else np.empty((0, SIDE, SIDE), np.uint8)
    if not rows or len(images) < len(rows):
        raise UsageError(f"{folder}: labels.csv names {len(rows)} faces, the sheets hold {len(images)}")
    labels, usage = _classes(listing, rows, "usage")
    return Fer2013(np.asarray(images[: len(rows)], np.uint8), labels, usage, None), _Crowd(listing, rows)
