"""The native kernelised correlation filter, and how the trackers of one frame are updated together.

J. F. Henriques et al., "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015: the linear kernel over
histograms of oriented gradients (P. Felzenszwalb et al., PAMI 2010, the unsigned orientations) and intensities, with a patch
of fixed size whatever the size of the face, and the responses at three scales for its size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine import _native
from ferengine.errors import UsageError
from ferengine.frames import readable_frame
from ferengine.results import Box
from ferengine.tracking.base import Tracker, TrackerUpdate

MAX_COORDINATE = 1e9
"""Pixels: a box further away than this is invalid."""


class KcfTracker:
    """Follows one object from frame to frame, at a cost that hardly grows with its size. Not thread-safe.

    Frames are uint8, BGR (H, W, 3) or grey (H, W). They are read in place, also with padded rows and read-only; only
    other layouts (mirrored, every second column) are copied.

    The box moves by fractions of a pixel and follows the object's size; its aspect ratio stays. The confidence is the
    normalised cross-correlation of the object's intensities at ``init`` and now, times how clearly the filter's response
    peaks (peak-to-sidelobe ratio 5: 0, 20: 1; D. S. Bolme et al., "Visual Object Tracking using Adaptive Correlation
    Filters", CVPR 2010, section 3.5). It is 0 when the centre of the box has left the frame, and when the frame is not of
    the size that ``init`` saw.

    Example:
        >>> tracker = KcfTracker()
        >>> frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
        >>> tracker.init(frame, (60.0, 40.0, 32.0, 32.0))
        >>> tracker.update(frame).confidence > 0.9
        True
    """

    __slots__ = ("_filter", "_started")

    def __init__(self) -> None:
        self._filter = _native.Kcf()
        self._started = False

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        """Learn an object.

        Args:
            frame: The frame that shows it.
            box: x, y, w, h in pixels; may be partly or completely outside the frame.

        Raises:
            UsageError: If the box is not finite, more than 1e9 pixels away or empty, or ``frame`` is not a frame.
        """
        if len(box) != 4 or not all(abs(value) <= MAX_COORDINATE for value in box) or min(box[2:]) <= 0:  # also for NaN
            raise UsageError(
                f"a box to track must be finite with a positive width and height, within 1e9 pixels of the frame, not {box}"
            )
        self._filter.init(readable_frame(frame, grey=True), *box)
        self._started = True

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        """Find the object in the next frame.

        Raises:
            UsageError: Before ``init``, or if ``frame`` is not a frame.
        """
        return _update_native([self], frame)[0]


def update_all(trackers: Sequence[Tracker], frame: NDArray[np.uint8]) -> list[TrackerUpdate]:
    """Update the trackers of one frame together.

    All KcfTrackers are updated in one native call with the GIL released, others one by one.

    Args:
        trackers: The trackers, each once.
        frame: The next frame, as ``KcfTracker`` takes it.

    Returns:
        Where each tracker's object is, in the order of ``trackers``.

    Raises:
        UsageError: For a tracker without an object or listed twice, or if ``frame`` is not a frame.
    """
    native = [tracker for tracker in trackers if isinstance(tracker, KcfTracker)]
    answers = iter(_update_native(native, frame) if native else ())
    return [next(answers) if isinstance(tracker, KcfTracker) else tracker.update(frame) for tracker in trackers]


def _update_native(trackers: Sequence[KcfTracker], frame: NDArray[np.uint8]) -> list[TrackerUpdate]:
    if not all(tracker._started for tracker in trackers):
        raise UsageError("the tracker has no object yet: call init() before update()")
    if len(set(map(id, trackers))) < len(trackers):
        raise UsageError("a tracker is listed twice: each is updated once a frame")
    boxes, confidences = _native.kcf_update([tracker._filter for tracker in trackers], readable_frame(frame, grey=True))
    return [
        TrackerUpdate((x, y, w, h), confidence)
        for (x, y, w, h), confidence in zip(boxes.tolist(), confidences.tolist(), strict=True)
    ]
