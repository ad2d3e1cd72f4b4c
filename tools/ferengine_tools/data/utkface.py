"""UTKFace: Z. Zhang, Y. Song, H. Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017.

Its aligned images are cropped again with the engine's own crop. Names state the label: ``age_gender_ethnicity_datetime``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine import __version__
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn_weights import cache_folder
from ferengine.errors import UsageError
from ferengine.tracking.crop_geometry import region_from_landmarks
from ferengine.tracking.cropper import FaceCropper
from ferengine_tools.data.cropping import SIDE, PhotoCropper, decode
from ferengine_tools.data.duplicates import Thresholds, find_duplicates
from ferengine_tools.files import files_below

GENDERS = ("male", "female")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
SPLITS = ("training", "validation", "test")
Split = Literal["training", "validation", "test"]

THRESHOLDS = Thresholds(plain=0.95, mirrored=0.96)
"""By eye: above them nearly all pairs show one photograph, 0.01 below nearly none do, for aligned faces resemble each other."""

_CROPPING = 2
"""Raise it with every change of detection, cropping or splitting between two versions: it invalidates the caches."""

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_[^_]+\.\w+")  # a few dates are odd, such as "20170116220224657 .jpg"
_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")
_MOST_MISNAMED = 0.01
_FEWEST_FOUND = 0.5

_MEAN_LANDMARKS = np.array([[0.297, 0.288], [0.685, 0.288], [0.488, 0.516], [0.315, 0.687], [0.664, 0.687]])
"""MTCNN's five points in units of the image, mean of the 23,592 images in which it finds a face at once."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UtkFace:
    """N faces in the order of their names.

    Attributes:
        images: uint8 (N, 48, 48).
        gender: Into GENDERS, int64 (N,).
        age: Years, int64 (N,).
        ethnicity: Into ETHNICITIES, int64 (N,).
        split: Into SPLITS, int64 (N,).
        names: File names, str (N,).
        detected: Whether MTCNN found the face, bool (N,); others are cropped at the mean place.
        moved: Whether a near-duplicate decided the split, bool (N,).
        skipped: Names without a full label, which are left out.
    """

    images: NDArray[np.uint8]
    gender: NDArray[np.int64]
    age: NDArray[np.int64]
    ethnicity: NDArray[np.int64]
    split: NDArray[np.int64]
    names: NDArray[np.str_]
    detected: NDArray[np.bool_]
    moved: NDArray[np.bool_]
    skipped: tuple[str, ...]

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Rows of one of the splits."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def split_of(name: str) -> int:
    """Into SPLITS, by the CRC-32 of the file's name: 2 (test) where it is 0 modulo 10, 1 (validation) where it is 1, else 0."""
    return {0: 2, 1: 1}.get(zlib.crc32(os.fsencode(name)) % 10, 0)


def is_utkface(path: Path) -> bool:
    """Whether ``path`` looks like a source of ``load_utkface``: a zip file, or a folder with such names."""
    if not path.is_dir():
        return path.suffix.lower() == ".zip"
    return any(_NAME.fullmatch(file.name) for file in path.rglob("*_*_*_*.*"))


def user_cache() -> Path | None:
    """The default folder of cropped faces: beside the engine's networks in the user's cache."""
    networks = cache_folder()
    return None if networks is None else networks.parent


def load_utkface(path: Path, cache: Path | None = None) -> UtkFace:
    """Load the images of UTKFace, cropped to 48 x 48.

    Near-duplicates stay together: all take the split of the first by name. Cropping and comparing 23,704 images takes some
    three minutes.

    Args:
        path: A folder (searched to its depth) or a zip file.
        cache: A folder that keeps the result under a hash of the source; None keeps nothing.

    Raises:
        UsageError: The source has no faces, or one twice; images cannot be read; more than 1 % of the names are no labels; or
            the faces are not aligned.
    """
    data = _load(path, cache)
    _warn_of_skipped(path, data.skipped)
    return data


def _load(path: Path, cache: Path | None) -> UtkFace:
    if cache is None:
        return _crop_all(path)
    kept = cache / f"utkface-{_fingerprint(path)}.npz"
    if kept.is_file():
        return _read(kept)
    try:
        cache.mkdir(parents=True, exist_ok=True)  # refused now, not after minutes of cropping
    except OSError as error:
        raise _unwritable(cache, error) from None
    data = _crop_all(path)
    try:
        _write(kept, data)
    except OSError as error:
        raise _unwritable(cache, error) from None
    return data


def _warn_of_skipped(path: Path, names: Sequence[str]) -> None:
    if names:
        images = "1 image without a full label is" if len(names) == 1 else f"{len(names)} images without a full label are"
        log.warning("%s: %s left out, such as %s", path, images, names[0])


def _unwritable(cache: Path, error: OSError) -> UsageError:
    return UsageError(f"{cache} cannot be written to ({error.strerror}): choose another folder for the crops")


def _crop_all(path: Path) -> UtkFace:
    labelled: list[tuple[str, tuple[int, ...]]] = []
    skipped: list[str] = []
    for name in _names(path):
        match = _NAME.fullmatch(PurePosixPath(name).name)
        if match:
            labelled.append((name, tuple(map(int, match.groups()))))
        else:
            skipped.append(name)
    total = len(labelled) + len(skipped)
    if len(skipped) > max(3, _MOST_MISNAMED * total) or not labelled:
        raise UsageError(
            f"{path}: {len(skipped)} of {total} names are not age_gender_ethnicity_datetime (gender 0 or 1, ethnicity 0 to 4), "
            f"such as {skipped[0]}: is this UTKFace?"
        )
    labelled.sort(key=lambda item: PurePosixPath(item[0]).name)
    cropper = PhotoCropper()
    images, detected = np.empty((len(labelled), SIDE, SIDE), np.uint8), np.empty(len(labelled), bool)
    for number, image in enumerate(_images(path, (name for name, _ in labelled))):
        images[number], detected[number] = crop_aligned(cropper, image)
    if detected.mean() < _FEWEST_FOUND:
        raise UsageError(
            f"{path}: a face was found in only {detected.sum()} of {len(detected)} images: are these UTKFace's aligned faces?"
        )
    names = np.array([PurePosixPath(name).name for name, _ in labelled])
    age, gender, ethnicity = np.array([label for _, label in labelled], np.int64).T
    own = np.array([split_of(str(name)) for name in names], np.int64)
    split = own[find_duplicates(images, THRESHOLDS).cluster]
    return UtkFace(images, gender, age, ethnicity, split, names, detected, split != own, tuple(skipped))


@dataclass(frozen=True)
class ColourFaces:
    """N faces of UTKFace in colour, in the order of their names.

    Attributes:
        images: RGB planes, uint8 (N, 3, S, S), cropped at the mean place of all faces.
        gender: Into GENDERS, int64 (N,).
        age: Years, int64 (N,).
        split: Into SPLITS by ``split_of``, int64 (N,): near-duplicates are not kept together.
    """

    images: NDArray[np.uint8]
    gender: NDArray[np.int64]
    age: NDArray[np.int64]
    split: NDArray[np.int64]


def load_colours(path: Path, side: int) -> ColourFaces:
    """Load the images of UTKFace in colour, ``side`` x ``side`` pixels; images without a full label are left out.

    Raises:
        UsageError: The source has no labelled faces, or one twice, or images cannot be read.
    """
    every = _names(path)
    matches = ((name, _NAME.fullmatch(PurePosixPath(name).name)) for name in every)
    labelled = {name: (int(match[1]), int(match[2])) for name, match in matches if match}
    names = sorted(labelled, key=lambda name: PurePosixPath(name).name)
    if not names:
        raise UsageError(f"{path}: no name is age_gender_ethnicity_datetime: is this UTKFace?")
    _warn_of_skipped(path, [name for name in every if name not in labelled])
    cropper, images = FaceCropper(side, planes="rgb"), np.empty((len(names), 3, side, side), np.uint8)
    for number, image in enumerate(_images(path, names)):
        height, width = image.shape[:2]
        square = region_from_landmarks(_MEAN_LANDMARKS * [width, height], align=False)
        images[number] = cropper.crop(image, [square])[0]
    age, gender = np.array([labelled[name] for name in names], np.int64).T
    return ColourFaces(images, gender, age, np.array([split_of(PurePosixPath(name).name) for name in names], np.int64))


def crop_aligned(cropper: PhotoCropper, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
    """Crop the face in the middle of an aligned image. A face that MTCNN does not find is cropped at the mean place.

    Args:
        cropper: Finds and crops faces.
        image: BGR uint8 (H, W, 3).

    Returns:
        The crop, grayscale uint8 (48, 48), and whether MTCNN found the face.
    """
    height, width = image.shape[:2]
    faces = cropper.detect(image)
    if len(faces):
        return cropper.crop(image, faces, _middle(faces, width, height)), True
    return cropper.crop_square(image, region_from_landmarks(_MEAN_LANDMARKS * [width, height], align=False)), False


def _middle(faces: Detections, width: int, height: int) -> int:
    centers = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
    return int(np.hypot(*(centers - [width / 2, height / 2]).T).argmin())


def _names(path: Path) -> list[str]:
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in files_below(path)]
    elif path.is_file():
        with _open(path) as archive:
            names = archive.namelist()
    else:
        raise UsageError(f"{path} does not exist: name UTKFace's folder or zip file")
    names = [name for name in names if name.lower().endswith(_SUFFIXES) and not PurePosixPath(name).name.startswith(".")]
    if not names:
        raise UsageError(f"{path} holds no images ({', '.join(_SUFFIXES)})")
    places: dict[str, str] = {}
    for name in names:
        other = places.setdefault(PurePosixPath(name).name, name)
        if other != name:
            raise UsageError(f"{path} holds an image twice, as {other} and {name}: name the one folder with the aligned faces")
    return names


def _images(path: Path, names: Iterable[str]) -> Iterator[NDArray[np.uint8]]:
    if path.is_dir():
        for name in names:
            yield decode((path / name).read_bytes(), str(path / name))
        return
    with _open(path) as archive:
        for name in names:
            try:
                encoded = archive.read(name)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it is encrypted
                raise UsageError(f"{path}: {name} is damaged ({error})") from None
            yield decode(encoded, f"{path}: {name}")


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UsageError(f"{path} is neither a folder nor a zip file: is it truncated?") from None


def _fingerprint(path: Path) -> str:
    """Of names and contents, and of what crops them."""
    digest = hashlib.sha256(f"{__version__} {_CROPPING}".encode())
    for name in sorted(_names(path)) if path.is_dir() else ():
        content = (path / name).read_bytes()
        digest.update(os.fsencode(f"{name} {len(content)} "))
        digest.update(content)
    if path.is_file():
        with path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    elif not path.is_dir():
        raise UsageError(f"{path} does not exist: name UTKFace's folder or zip file")
    return digest.hexdigest()[:16]


def _write(path: Path, data: UtkFace) -> None:
    """Whole or not at all: a reader never sees half a file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as handle:
            np.savez(handle, **{**vars(data), "skipped": np.array(data.skipped, np.str_)})
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> UtkFace:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in UtkFace.__dataclass_fields__}
        faces = len(values["images"])
        if values["images"].shape != (faces, SIDE, SIDE) or any(
            len(each) != faces for name, each in values.items() if name != "skipped"
        ):
            raise ValueError("its parts do not fit together")
    except PermissionError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): choose another folder for the crops") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        # TypeError: it is a single array; RuntimeError: the archive seems to be encrypted, or of another kind
        raise UsageError(f"{path} is damaged ({error}): delete it, and the faces are cropped again") from None
    return UtkFace(**{**values, "skipped": tuple(map(str, values["skipped"]))})
