"""The faces of an image that are explained."""

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
from ferengine_tools.files import read_image, why_no_image


@dataclass(frozen=True)
class ImageFaces:
    """The N faces of an image.

    Attributes:
        crops: Grayscale, uint8 (N, S, S).
        image: The image that they were cropped from, BGR uint8 (H, W, 3); None where the image is a crop itself.
        squares: Where, float32 (N, 4): centre x, y, side (pixels) and angle (radians).
    """

    crops: NDArray[np.uint8]
    image: NDArray[np.uint8] | None
    squares: NDArray[np.float32]


def find_faces(path: Path, side: int, *, min_face: float, max_faces: int) -> ImageFaces:
    """Crop the most confident faces of an image as ``ferengine run`` does.

    Args:
        path: The image.
        side: Side of the crops, pixels.
        min_face: Minimum size of a face, pixels.
        max_faces: Maximum number of faces.

    Raises:
        SourceError: The file is no image, or no face is found.
    """
    image = _read(path, cv2.IMREAD_COLOR)
    config = make_config(min_face=min_face)
    detections = create_detector("mtcnn", min_face=config.min_face, thresholds=config.mtcnn_thresholds(tracked=False)).detect(
        image
    )
    if not len(detections):
        raise SourceError(f"{path}: no face found: try --min-face 20, or --crop if the image is a crop of a face already")
    cropper = FaceCropper(side, align=config.align_eyes)
    squares = cropper.regions(detections)[:max_faces]
    return ImageFaces(cropper.crop(image, squares), image, squares)


def cut_face(path: Path, side: int) -> ImageFaces:
    """Read an image that is one face.

    Raises:
        SourceError: The file is no image.
        UsageError: It is not square.
    """
    grayscale = _read(path, cv2.IMREAD_GRAYSCALE)
    height, width = grayscale.shape
    if height != width:
        raise UsageError(
            f"{path} is {width} x {height} pixels: --crop takes a square crop of a face; leave it out to find the faces"
        )
    return ImageFaces(resize(grayscale[None], side), None, np.array([[side / 2, side / 2, side, 0]], np.float32))


def _read(path: Path, mode: int) -> NDArray[np.uint8]:
    if not path.is_file():
        raise SourceError(f"{path} does not exist")
    image = read_image(path, mode)
    if image is None:
        raise SourceError(f"{path} {why_no_image(path)}")
    return image
