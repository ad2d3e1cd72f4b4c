"""Images that callers hand in: what is accepted, and how it becomes the BGR that detection and tracking read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError

MAX_SIDE = 16384
"""Pixels."""

_SHAPES = "(H, W, 3) BGR, (H, W, 4) BGRA or (H, W) grey"


def check_image(image: NDArray[np.uint8], what: str = "an image") -> NDArray[np.uint8]:
    """``image`` as (H, W, channels) with 1, 3 or 4 channels, a view; rows and pixels may lie anywhere in memory.

    Accepted are uint8 arrays of the shapes (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored), and (H, W) or (H, W, 1)
    grey, from 1 to 16384 pixels on a side. Raises UsageError, with the hint, for everything else. ``what``: its name
    in the message.
    """
    if not isinstance(image, np.ndarray):
        raise UsageError(f"{what} is a NumPy array of uint8, {_SHAPES}, not {type(image).__name__}")
    if image.dtype != np.uint8:
        hint = ": scale it to 0..255 and convert it with .astype(np.uint8)" if image.dtype.kind == "f" else ""
        raise UsageError(f"{what} has the dtype uint8, not {image.dtype}{hint}")
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise UsageError(f"{what} has the shape {_SHAPES}, not {image.shape}")
    if not image.size:
        raise UsageError(f"{what} is empty: its shape is {image.shape}")
    if max(image.shape[:2]) > MAX_SIDE:
        raise UsageError(f"{what} has at most {MAX_SIDE} pixels on a side, not {image.shape[1]}x{image.shape[0]}: shrink it")
    return image


def copy_as_bgr(image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write ``image``, as ``check_image`` gives it, into ``out``, BGR uint8 (H, W, 3)."""
    channels = image.shape[2]
    if channels == 3 and image.strides[1:] == (3, 1):
        np.copyto(out, image)
        return
    for plane in range(3):  # NumPy copies pixels of another layout 25 times faster so
        out[:, :, plane] = image[:, :, plane if channels > 1 else 0]


def as_bgr(image: NDArray[np.uint8], what: str = "an image") -> NDArray[np.uint8]:
    """``image`` as BGR uint8 (H, W, 3) with contiguous pixels; itself where it already is that. Raises as
    ``check_image``."""
    checked = check_image(image, what)
    if checked.shape[2] == 3 and checked.strides[1:] == (3, 1) and checked.strides[0] >= 3 * checked.shape[1]:
        return checked
    out = np.empty((*checked.shape[:2], 3), np.uint8)
    copy_as_bgr(checked, out)
    return out


def readable_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``frame``, or a copy of it where OpenCV could not read it in place (it reads padded rows, not reversed ones).

    Raises UsageError for anything but BGR uint8 (H, W, 3).
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        given = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise UsageError(f"a frame is a BGR uint8 array of shape (H, W, 3), not {given}")
    in_place = frame.strides[1:] == (3, 1) and frame.strides[0] >= 3 * frame.shape[1]
    return frame if in_place else np.ascontiguousarray(frame)
