"""What every detector asks of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError


def checked_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``frame``, or a copy of it where OpenCV could not read it in place (it reads padded rows, not reversed ones).

    Raises UsageError for anything but BGR uint8 (H, W, 3).
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        given = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise UsageError(f"a frame is a BGR uint8 array of shape (H, W, 3), not {given}")
    in_place = frame.strides[1:] == (3, 1) and frame.strides[0] >= 3 * frame.shape[1]
    return frame if in_place else np.ascontiguousarray(frame)
