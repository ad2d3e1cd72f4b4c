"""The public sets as labelled faces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine_tools.data import LabelSet, fer2013, utkface
from ferengine_tools.data import wild_faces as wild
from ferengine_tools.data.protocol import unseen_rows
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.groups import age_group

Copies = Literal["exact", "near"]


def fer2013_faces(
    path: Path, split: fer2013.Split, *, labels: LabelSet = "fer2013", without_copies: Copies | None = None
) -> LabelledFaces:
    """Load a split of FER-2013.

    Args:
        path: As for ``load_fer2013``.
        split: The split.
        labels: As for ``load_fer2013``.
        without_copies: As for ``split_faces``.

    Raises:
        UsageError: The data cannot be read, or the split is empty.
    """
    faces = split_faces(fer2013.load_fer2013(path, labels), split, without_copies)
    if not len(faces):
        raise UsageError(f"{path} has no faces of the split {split}")
    return faces


def split_faces(data: fer2013.Fer2013, split: fer2013.Split, without_copies: Copies | None = None) -> LabelledFaces:
    """Return a split of FER-2013.

    Args:
        data: FER-2013.
        split: The split.
        without_copies: "exact" leaves out the images that are, byte for byte, training images as well, "near" also those that
            show the same photograph (found in half a minute).
    """
    rows = data.indices(split)
    if without_copies == "exact":
        rows = rows[~copies(data.images[rows], data.images[data.indices("training")])]
    elif without_copies == "near":
        rows = unseen_rows(data, split)
    names = tuple(f"row {row}" for row in rows)
    return LabelledFaces(data.images[rows], data.labels[rows], data.classes, names, prior="fer2013")


def wild_faces(path: Path, split: wild.Split) -> LabelledFaces:
    """Load a split of wild_faces, with what lies around the crops.

    Raises:
        UsageError: The data cannot be read, or the split is empty.
    """
    data = wild.load_wild_faces(path)
    rows = data.indices(split)
    if not len(rows):
        raise UsageError(f"{path} has no faces of the split {split}")
    names = tuple(data.names[row] for row in rows)
    groups = {"annotator": data.annotators[rows]}
    return LabelledFaces(
        data.crops[rows], data.labels[rows], data.classes, names, groups, wide=data.images[rows], prior="everyday"
    )


def copies(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``images`` (N, S, S) are, byte for byte, among ``others`` (M, S, S): bool (N,)."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in images], bool)


def utkface_faces(path: Path, split: utkface.Split, cache: Path | None = None) -> LabelledFaces:
    """Load a split of UTKFace. Its genders are the classes; the groups are age, ethnicity, gender, and the last two together.

    Args:
        path: As for ``load_utkface``.
        split: The split.
        cache: Folder of the crops; the user's cache if None.

    Raises:
        UsageError: The data cannot be read, or the split is empty.
    """
    data = utkface.load_utkface(path, cache or utkface.user_cache())
    rows = data.indices(split)
    if not len(rows):
        raise UsageError(f"{path} has no faces of the split {split}")
    ethnicity = np.array(utkface.ETHNICITIES)[data.ethnicity[rows]]
    gender = np.array(utkface.GENDERS)[data.gender[rows]]
    groups = {
        "age": np.array([age_group(int(age)) for age in data.age[rows]]),
        "ethnicity": ethnicity,
        "gender": gender,
        "ethnicity and gender": np.array([f"{first} {second}" for first, second in zip(ethnicity, gender, strict=True)]),
    }
    return LabelledFaces(
        data.images[rows], data.gender[rows], utkface.GENDERS, tuple(map(str, data.names[rows])), groups, prior="utkface"
    )
