"""The faces of a picture that are explained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.config import make_config
from ferengine.detection import create_detector
from ferengine.errors import SourceError, UsageError
from ferengine.tracking.cropper import FaceCropper
from ferengine.vision import cv2
from ferengine_tools.evaluation.faces import resize


@dataclass(frozen=True)
class PictureFaces:
    """``crops`` grey uint8 (N, S, S), cut from ``picture``, BGR uint8 (H, W, 3), at ``squares`` float32 (N, 4): cx, cy, side,
    angle. ``picture`` is ``None`` where the picture is a cut face itself."""

    crops: NDArray[np.uint8]
    picture: NDArray[np.uint8] | None
    squares: NDArray[np.float32]


def find_faces(path: Path, side: int, *, min_face: float, most: int) -> PictureFaces:
    """The ``most`` surest faces of a picture, cut as ``ferengine run`` cuts them.

    Raises SourceError for what is no picture, and where no face is found.
    """
    picture = _read(path, cv2.IMREAD_COLOR)
    config = make_config(min_face=min_face)
    detections = create_detector("mtcnn", min_face=config.min_face, thresholds=config.thresholds).detect(picture)
    if not len(detections):
        raise SourceError(f"{path}: no face found: try --min-face 20, or --crop where the picture is a cut face already")
    cropper = FaceCropper(side, align=config.align_eyes)
    squares = cropper.regions(detections)[:most]
    return PictureFaces(cropper.crop(picture, squares), picture, squares)


def cut_face(path: Path, side: int) -> PictureFaces:
    """The picture itself as one face. Raises SourceError for what is no picture, UsageError where it is not square."""
    grey = _read(path, cv2.IMREAD_GRAYSCALE)
    height, width = grey.shape
    if height != width:
        raise UsageError(
            f"{path} is {width} x {height} pixels: --crop takes a face cut square; leave it away to find the faces"
        )
    return PictureFaces(resize(grey[None], side), None, np.array([[side / 2, side / 2, side, 0]], np.float32))


def _read(path: Path, mode: int) -> NDArray[np.uint8]:
    if not path.is_file():
        raise SourceError(f"{path} does not exist")
    image = cv2.imread(str(path), mode)
    if image is None:
        raise SourceError(f"{path} cannot be read as a picture")
    return np.asarray(image, np.uint8)
