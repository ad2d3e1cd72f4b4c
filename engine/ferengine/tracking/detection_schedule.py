"""Which frames are searched in full, and which only near the faces that are known."""

from __future__ import annotations

from dataclasses import dataclass, field

from ferengine.results import Box
from ferengine.tracking.face_tracker import FaceTracker

_SCENE_CHANGE = 0.5
"""Fraction of uncertain tracks from which searching near them is not enough: one weak face of several is most likely still
there, but where half of them are gone the scene may have changed."""


@dataclass(slots=True)
class DetectionSchedule:
    """Decides where the detection frames of one camera are searched.

    Without ``near`` every one is searched in full. With it, a full scan is made on the first scheduled frame and then once
    in ``full_scan`` seconds of time stamps (also when these jump back); the other frames are searched near the tracks,
    lost ones included, or in full if there are none. If a track becomes weak or is lost in between, the frame is searched
    near the tracks as long as most of them are confident, else in full. Scheduled full scans depend on the schedule alone,
    so that two runs over a file search alike. After a cut every frame is searched in full until a detection is there.

    Attributes:
        near: Whether to search near the tracks.
        full_scan: Seconds from one full scan to the next.
    """

    near: bool
    full_scan: float
    _last: float | None = None
    _decided: dict[int, bool] = field(default_factory=dict)

    def is_full(self, sequence: int, timestamp: float) -> bool:
        """Return whether a scheduled frame is due for a full scan.

        Args:
            sequence: The number of the frame. Frames must come in ascending order; earlier ones may be repeated.
            timestamp: Its time in seconds.
        """
        if sequence not in self._decided:
            within = self._last is not None and 0 <= timestamp - self._last < self.full_scan
            self._decided[sequence] = not (self.near and within)
            if self._decided[sequence]:
                self._last = timestamp
        return self._decided[sequence]

    def forget(self, sequence: int) -> None:
        """Forget a frame that will not be repeated."""
        self._decided.pop(sequence, None)

    def boxes(self, tracker: FaceTracker) -> tuple[Box, ...] | None:
        """Return the boxes near which a scheduled frame is searched that is not due for a full scan; None for in full."""
        if not self.near or tracker.in_new_scene:
            return None
        return tuple(tracker.places) or None

    def boxes_when_uncertain(self, tracker: FaceTracker) -> tuple[Box, ...] | None:
        """Return the boxes near which a frame is searched because the tracker wants a detection; None for in full."""
        return None if tracker.uncertain_fraction >= _SCENE_CHANGE else self.boxes(tracker)
