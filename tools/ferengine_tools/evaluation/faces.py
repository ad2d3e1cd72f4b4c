"""Labelled faces to measure a model on, and those of any folder with a sub-folder a class."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.files import files_below, is_hidden, read_image, why_no_image

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm", ".tif", ".tiff")


@dataclass(frozen=True)
class LabelledFaces:
    """N faces with their labels.

    Attributes:
        images: Grayscale, uint8 (N, S, S).
        labels: Into ``classes``, int64 (N,).
        classes: The names of the classes.
        names: Where each face comes from, N names.
        groups: By grouping the group of each face, str (N,); "" for none.
        wide: The images with m pixels more of the photograph on each side, uint8 (N, S + 2 m, S + 2 m), or None.
        prior: The class frequencies that the labels were drawn by, by their name in ``priors``, or None.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    wide: NDArray[np.uint8] | None = None
    prior: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> LabelledFaces:
        """Return the faces of ``rows``, int64, in that order."""
        groups = {name: values[rows] for name, values in self.groups.items()}
        names = tuple(self.names[row] for row in rows)
        wide = None if self.wide is None else self.wide[rows]
        return replace(self, images=self.images[rows], labels=self.labels[rows], names=names, groups=groups, wide=wide)

    def with_groups(self, groups: Mapping[str, NDArray[np.str_]]) -> LabelledFaces:
        """Return the same faces in other groups."""
        return replace(self, groups=groups)

    def renamed(self, label_map: LabelMap) -> LabelledFaces:
        """Return the faces with the classes that ``label_map`` gives, without those that it leaves out.

        Raises:
            UsageError: Nothing remains, or a name in the map is no class.
        """
        targets = label_map.classes(self.classes)
        classes = tuple(dict.fromkeys(name for name in targets if name is not None))
        new = np.array([-1 if name is None else classes.index(name) for name in targets], np.int64)[self.labels]
        rows = np.flatnonzero(new >= 0)
        if not len(rows):
            raise UsageError("the map leaves out all faces")
        kept = self.take(rows)
        return replace(kept, labels=new[rows], classes=classes)

    def ordered(self, classes: tuple[str, ...]) -> LabelledFaces:
        """Return the faces with their classes in another order, such as that of a model's labels.

        Raises:
            UsageError: These are other classes.
        """
        if set(classes) != set(self.classes):
            raise UsageError(f"the model knows {', '.join(classes)}; the classes of the data are {', '.join(self.classes)}")
        new = np.array([classes.index(name) for name in self.classes], np.int64)
        return replace(self, labels=new[self.labels], classes=classes)

    def sized(self, side: int) -> LabelledFaces:
        """Return the faces with images of ``side`` x ``side`` pixels."""
        if side == self.images.shape[1]:
            return self
        return replace(self, images=resize(self.images, side), wide=None)


def resize(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return grayscale images uint8 (N, S, S) as (N, side, side): area-averaged where they shrink, else bilinear."""
    if images.shape[1] == side:
        return images
    how = cv2.INTER_AREA if images.shape[1] > side else cv2.INTER_LINEAR
    resized = np.empty((len(images), side, side), np.uint8)
    for index, image in enumerate(images):
        resized[index] = cv2.resize(image, (side, side), interpolation=how)
    return resized


def folder_faces(folder: Path, side: int, label_map: LabelMap) -> LabelledFaces:
    """Load the square crops of a folder with a sub-folder for each class, searched to its depth.

    Hidden files are left out; so are, with a warning, images beside the sub-folders, and files in these that are no images.

    Args:
        folder: The folder.
        side: Side of the crops, pixels; others are resized.
        label_map: The class of each sub-folder, or that it is left out.

    Raises:
        UsageError: A folder has no classes or cannot be listed, a class no images, a file is no square image, or a name in the
            map is no sub-folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name one with a sub-folder of faces for each class")
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not paths:
        raise UsageError(f"{folder} holds no classes: a sub-folder of faces for each is expected")
    chosen = dict(zip(paths, label_map.classes([path.name for path in paths]), strict=True))
    classes = tuple(dict.fromkeys(name for name in chosen.values() if name is not None))
    if not classes:
        raise UsageError("the map leaves out all faces")
    images, labels, names = [], [], []
    others = [path for path in sorted(folder.iterdir()) if path.is_file() and _is_image(path)]  # they have no class
    for path, name in chosen.items():
        if name is None:
            continue
        found = [file for file in files_below(path) if not is_hidden(file, path)]
        files = [file for file in found if file.suffix.lower() in SUFFIXES]
        others += [file for file in found if file.suffix.lower() not in SUFFIXES]
        if not files:
            raise UsageError(f"{path} holds no images ({', '.join(SUFFIXES)})")
        for file in files:
            images.append(_read(file, side))
            labels.append(classes.index(name))
            names.append(file.relative_to(folder).as_posix())
    if others:
        log.warning("%s: %d files are in no class or are no images (%s), and are left out, such as %s",
                    folder, len(others), ", ".join(SUFFIXES), others[0])  # fmt: skip
    return LabelledFaces(np.stack(images), np.array(labels, np.int64), classes, tuple(names))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read(path: Path, side: int) -> NDArray[np.uint8]:
    image = read_image(path, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UsageError(f"{path} {why_no_image(path)}")
    height, width = image.shape
    if height != width:
        raise UsageError(f"{path} is {width} x {height} pixels: faces must be cropped square first (ferengine data prepare)")
    resized: NDArray[np.uint8] = resize(image[None], side)[0]
    return resized
