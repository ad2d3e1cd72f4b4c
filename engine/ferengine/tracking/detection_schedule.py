"""Where the next detection looks: everywhere, or only near the faces that are known."""

from __future__ import annotations

from dataclasses import dataclass, field

from ferengine.results import Box
from ferengine.tracking.face_tracker import FaceTracker

_SCENE_CHANGE = 0.5
"""Share of the tracks in doubt from which looking near them is not enough: one weak face of several is most likely still
about, but where half of them are gone the image may be another one."""


@dataclass(slots=True)
class SearchPolicy:
    """Which of one camera's detection frames are searched in full.

    With ``near`` that is the first of those that are scheduled, and then one in ``full_scan`` seconds of timestamps (also
    when these jump back); the others are searched near the tracks, lost ones included, or in full where there are none.
    Where a track turned weak or was lost in between, the frame is searched near the tracks as long as most of them are
    sure, else in full: the scene may have changed. Without ``near`` all are searched in full. Scheduled full scans depend
    on the schedule alone, so that two runs over a file search alike.
    """

    near: bool
    full_scan: float
    _last: float | None = None
    _decided: dict[int, bool] = field(default_factory=dict)

    def is_full(self, sequence: int, timestamp: float) -> bool:
        """Whether the scheduled frame ``sequence``, of ``timestamp`` seconds, is due for a full scan. Frames must be
        named in ascending order; those named before may be named again."""
        if sequence not in self._decided:
            within = self._last is not None and 0 <= timestamp - self._last < self.full_scan
            self._decided[sequence] = not (self.near and within)
            if self._decided[sequence]:
                self._last = timestamp
        return self._decided[sequence]

    def forget(self, sequence: int) -> None:
        """The frame ``sequence`` will not be named again."""
        self._decided.pop(sequence, None)

    def boxes(self, tracker: FaceTracker) -> tuple[Box, ...] | None:
        """What a scheduled frame that is not due for a full scan is searched near; None: in full after all."""
        return tuple(tracker.snapshot().boxes.values()) or None if self.near else None

    def boxes_in_doubt(self, tracker: FaceTracker) -> tuple[Box, ...] | None:
        """What a frame is searched near where the tracker wants a detection; None: in full."""
        return None if tracker.doubt >= _SCENE_CHANGE else self.boxes(tracker)
