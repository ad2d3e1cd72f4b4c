"""From a frame to the networks' input: the image pyramid, the crops, the normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2
from oracles.plain_mtcnn.boxes import Boxes

CELL = 12
"""Side of the window that P-Net judges, pixels."""

_FINENESS = 2  # an image stands in for the frame while it is this many times the level's size
_PADDING = (127, 127, 127)  # beyond the frame: 0 to the networks


def pyramid(frame: NDArray[np.uint8], min_face: float, factor: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """(scale, image) of each level: the first shows faces of ``min_face`` pixels ``CELL`` pixels wide, each further
    one is ``factor`` times the last, until a side falls below ``CELL``.

    Each level is the area average of the frame, or, for small ones, of the frame halved so often that it is still twice
    the level's size: half the time, and one face more in 467. Levels made each from the last are faster still, but
    blur, and lose faces.
    """
    height, width = frame.shape[:2]
    source = frame
    scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        size = (int(width * scale), int(height * scale))
        source = _halved(source, size)
        yield scale, np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale *= factor


def parts_near(
    frame: NDArray[np.uint8], near: Boxes, min_face: float, factor: float
) -> Iterator[tuple[float, int, int, NDArray[np.uint8]]]:
    """(scale, x, y, image) of the parts of the levels in which faces near the boxes are sought.

    A face is sought at the levels at which the window is 0.7 to 1.4 times its box's side, else at the nearest level, in a
    square three times as large around it.
    """
    height, width = frame.shape[:2]
    scales = [scale for scale, _ in pyramid(frame, min_face, factor)]
    for index, scale in enumerate(scales):
        for x1, y1, x2, y2 in near.astype(np.float64):
            side = np.sqrt((x2 - x1) * (y2 - y1)) if x2 > x1 and y2 > y1 else 0.0
            if side == 0:
                continue
            distances = np.abs(np.log([CELL / each / side for each in scales]))
            others = np.delete(distances, index)
            if not 0.7 <= CELL / scale / side <= 1.4 and (others <= distances[index]).any():
                continue
            x, columns, across = _interval((x1 + x2) / 2, 3 * side, width, scale)
            y, rows, down = _interval((y1 + y2) / 2, 3 * side, height, scale)
            part = _halved(frame[y : y + rows, x : x + columns], (across, down))
            yield scale, x, y, np.asarray(cv2.resize(part, (across, down), interpolation=cv2.INTER_AREA), np.uint8)


def _interval(centre: float, wanted: float, length: int, scale: float) -> tuple[int, int, int]:
    """Where a part of an axis begins, how long it is, and how many pixels of the level it becomes."""
    size = max(np.ceil(wanted * scale), CELL)
    pixels = np.floor(size / scale + 0.5)
    if size >= np.floor(length * scale) or pixels >= length:
        return 0, length, int(length * scale)
    return int(np.clip(np.floor(centre - pixels / 2 + 0.5), 0, length - pixels)), int(pixels), int(size)


def _halved(source: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What a level of ``size`` (width, height) is made of."""
    while _can_halve(source, 2 * _FINENESS * size[0], 2 * _FINENESS * size[1]):
        half = (source.shape[1] // 2, source.shape[0] // 2)
        source = np.asarray(cv2.resize(source, half, interpolation=cv2.INTER_AREA), np.uint8)
    return source


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
