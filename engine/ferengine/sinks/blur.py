"""Makes faces unrecognisable in an image."""

from __future__ import annotations

from collections.abc import Iterable

from ferengine.frames import AnyImage, drawable_image
from ferengine.results import Box, Face
from ferengine.sinks.blur_plan import blur_region
from ferengine.vision import cv2

_CELLS = 6
"""A region keeps this many times as many mean colours: over a face with its margin they leave no eye or mouth of its own."""


def blur_faces(image: AnyImage, faces: Iterable[Face]) -> None:
    """Blur the faces of a still image, in place.

    Args:
        image: BGR uint8 (H, W, 3).
        faces: The faces found in it.

    Raises:
        UsageError: The image is another array, or read-only.
    """
    blur_boxes(image, [blur_region(face.box) for face in faces])


def blur_boxes(image: AnyImage, boxes: Iterable[Box]) -> None:
    """Blur regions of an image, in place: what is inside gives way to 6x6 mean colours and what lies between them, or to as
    many fewer as lie beyond the border.

    Args:
        image: BGR uint8 (H, W, 3).
        boxes: x, y, w, h in pixels; they may reach beyond the border.

    Raises:
        UsageError: The image is another array, or read-only.
    """
    blurred = drawable_image(image)
    height, width = blurred.shape[:2]
    for x, y, w, h in boxes:
        left, top = max(0, int(x)), max(0, int(y))
        right, bottom = min(width, int(x + w) + 1), min(height, int(y + h) + 1)
        if left < right and top < bottom:
            region = blurred[top:bottom, left:right]
            cells = cv2.resize(region, (_cells(right - left, w), _cells(bottom - top, h)), interpolation=cv2.INTER_AREA)
            region[:] = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC)


def _cells(visible: float, whole: float) -> int:
    return max(1, min(_CELLS, round(_CELLS * visible / whole)))
