"""The native kernelised correlation filter, and how the trackers of one frame are updated together.

J. F. Henriques et al., "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015: the linear kernel over
histograms of oriented gradients (P. Felzenszwalb et al., PAMI 2010, the orientations without sign) and grey levels, with
a patch of fixed size whatever the face's, and the responses at three scales for its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine import _native
from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.tracking.base import Tracker, TrackerUpdate

_FARTHEST = 1e9
"""Pixels: beyond it no box makes sense, and none is needed."""


class KcfTracker:
    """Follows one object from frame to frame, at a cost that hardly grows with its size. Not thread-safe.

        tracker = KcfTracker()
        tracker.init(frame, (x, y, w, h))
        update = tracker.update(next_frame)  # update.box, update.confidence

    Frames are uint8, BGR (H, W, 3) or grey (H, W), and read where they lie, also with padded rows and read-only; only
    other layouts (mirrored, every second column) are copied.

    The box moves by fractions of a pixel and follows the object's size; its shape stays. The confidence is the
    normalised cross-correlation of the object's grey levels at ``init`` and now, times how clearly the filter's
    response peaks (peak-to-sidelobe ratio 5: not at all, 20: fully); 0 when the centre of the box has left the frame,
    and when the frame is not of the size that ``init`` saw.
    """

    __slots__ = ("_filter", "_started")

    def __init__(self) -> None:
        self._filter = _native.Kcf()
        self._started = False

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        """Learn the object inside ``box``: x, y, w, h in pixels, floats, also partly or wholly outside the frame.

        Raises UsageError when the box is not finite, lies beyond 1e9 pixels or has no area, and for what is no frame.
        """
        if len(box) != 4 or not all(math.isfinite(value) and abs(value) <= _FARTHEST for value in box) or min(box[2:]) <= 0:
            raise UsageError(
                f"a box to track must be finite with a positive width and height, within 1e9 pixels of the frame, not {box}"
            )
        self._filter.init(_readable(frame), *box)
        self._started = True

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        """Where the object is in the next ``frame``. Raises UsageError before ``init`` and for what is no frame."""
        return _update_native([self], frame)[0]


def update_all(trackers: Sequence[Tracker], frame: NDArray[np.uint8]) -> list[TrackerUpdate]:
    """Where each tracker's object is in ``frame``, in their order.

    All KcfTrackers are updated in one native call with the GIL released, others one by one. Raises UsageError for a
    tracker without an object or listed twice, and for what is no frame.
    """
    native = [tracker for tracker in trackers if isinstance(tracker, KcfTracker)]
    answers = iter(_update_native(native, frame) if native else ())
    return [next(answers) if isinstance(tracker, KcfTracker) else tracker.update(frame) for tracker in trackers]


def _update_native(trackers: Sequence[KcfTracker], frame: NDArray[np.uint8]) -> list[TrackerUpdate]:
    if not all(tracker._started for tracker in trackers):
        raise UsageError("update() of a tracker that has no object yet: call init() first")
    if len(set(map(id, trackers))) < len(trackers):
        raise UsageError("a tracker is listed twice: each is updated once a frame")
    boxes, confidences = _native.kcf_update([tracker._filter for tracker in trackers], _readable(frame))
    return [
        TrackerUpdate((x, y, w, h), confidence)
        for (x, y, w, h), confidence in zip(boxes.tolist(), confidences.tolist(), strict=True)
    ]


def _readable(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame itself where its pixels lie side by side and its rows in order, else a copy."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim not in (2, 3):
        raise _no_frame(frame)
    height, width, channels = (*frame.shape, 1)[:3]
    if channels not in (1, 3) or (frame.ndim == 3 and channels == 1) or not 0 < height <= 65536 or not 0 < width <= 65536:
        raise _no_frame(frame)
    row, pixel, *level = frame.strides
    in_place = (width == 1 or pixel == channels) and level in ([], [1]) and (height == 1 or row >= width * channels)
    return frame if in_place else np.ascontiguousarray(frame)


def _no_frame(given: object) -> UsageError:
    what = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
    return UsageError(f"a frame is a uint8 array, BGR (H, W, 3) or grey (H, W), of 1 to 65536 pixels a side, not {what}")
