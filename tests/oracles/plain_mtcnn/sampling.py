"""From a frame to the networks' input: the image pyramid, the crops, the normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2
from oracles.plain_mtcnn.boxes import Boxes

CELL = 12
"""Side of the window that P-Net judges, pixels."""

_FINENESS = 4  # an image stands in for the frame while it is this many times the level's size
_PADDING = (127, 127, 127)  # beyond the frame: 0 to the networks


def pyramid(frame: NDArray[np.uint8], min_face: float, factor: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """(scale, image) of each level: the first shows faces of ``min_face`` pixels ``CELL`` pixels wide, each further
    one is ``factor`` times the last, until a side falls below ``CELL``.

    Each level is the area average of the frame, or, for small ones, of the frame halved so often that it is still four
    times the level's size: half the time for the same boxes. Levels made each from the last are faster still, but
    blur, and lose faces.
    """
    height, width = frame.shape[:2]
    source = frame
    scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        size = (int(width * scale), int(height * scale))
        while _can_halve(source, 2 * _FINENESS * size[0], 2 * _FINENESS * size[1]):
            half = (source.shape[1] // 2, source.shape[0] // 2)
            source = np.asarray(cv2.resize(source, half, interpolation=cv2.INTER_AREA), np.uint8)
        yield scale, np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale *= factor


def _can_halve(image: NDArray[np.uint8], width: int, height: int) -> bool:
    """Whether an image of at least ``width`` and ``height`` has no odd row or column to lose."""
    rows, columns = image.shape[:2]
    return bool(rows % 2 == columns % 2 == 0 and columns >= width and rows >= height)


def crops(frame: NDArray[np.uint8], boxes: Boxes, size: int) -> NDArray[np.uint8]:
    """The images in ``boxes``, uint8 (n, size, size, 3): sampled bilinearly, the first and last sample on the box's
    edges, grey beyond the frame.

    Coordinates shrink by (H - 1) / H and (W - 1) / W as in TensorFlow's ``crop_and_resize`` over boxes in units of the
    frame, which the ``mtcnn`` package uses: without it landmarks lie up to a pixel beside the package's. Where samples lie
    two pixels or more apart they are taken from the frame halved once or more, at most five times.
    """
    height, width = frame.shape[:2]
    ends = np.array([width, height, width, height])
    corners = boxes * (ends - 1) / ends
    steps = (corners[:, 2:] - corners[:, :2]) / (size - 1)
    result = np.empty((len(boxes), size, size, 3), np.uint8)
    for crop, (x, y, _, _), (step_x, step_y) in zip(result, corners, steps, strict=True):
        source, pixel, step = frame, 1, min(step_x, step_y)
        while step >= 2 and pixel < 32 and min(source.shape[:2]) >= 4:
            rows, columns = source.shape[0] // 2, source.shape[1] // 2
            even = np.ascontiguousarray(source[: 2 * rows, : 2 * columns])
            source = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
            pixel, step = 2 * pixel, step / 2
        x, y = (x + 0.5) / pixel - 0.5, (y + 0.5) / pixel - 0.5
        step_x, step_y = step_x / pixel, step_y / pixel
        cv2.warpAffine(
            source,
            np.array([[step_x, 0, x], [0, step_y, y]]),
            (size, size),
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=_PADDING,
        )
    return result


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR uint8 (n, H, W, 3) -> RGB float32 (n, 3, H, W), (level - 127.5) / 128."""
    planar = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2))
    result = planar.astype(np.float32)
    result -= 127.5
    result *= 1 / 128
    return result
