"""Where a face that is out of sight may have gone: as far along its way as it would have come by now.

What passes behind something moves on meanwhile, and comes out at the other side, further from where it was last seen than a
face that only turned away.
"""

from __future__ import annotations

import math
from collections import deque

from ferengine.results import Box

_STEP = 0.1
"""Seconds from one place that is remembered to the next, at least: a detector's box errs by some pixels."""

_STEPS = 2
"""From how many of these steps the speed comes: the last place may already be half hidden."""

_WINDOW = 1.3
"""Seconds over which faces are taken to keep their speed: a little more than six frames of 5 a second."""

_FURTHEST = 2.0
"""How far a face is followed out of sight, in longer sides of its box: behind a face of its size it comes out after 1 or 2."""


class Motion:
    """The way of one face, from where it was detected. Not thread-safe.

    Args:
        box: x, y, w, h in pixels.
        timestamp: When it was there, seconds.
    """

    __slots__ = ("_box", "_places", "_seen_at")

    def __init__(self, box: Box, timestamp: float) -> None:
        self._places: deque[tuple[float, float, float]] = deque(maxlen=_STEPS + 1)
        self.restart(box, timestamp)

    def restart(self, box: Box, timestamp: float) -> None:
        """Begin at a place that has nothing to do with those before, as after a cut."""
        self._places.clear()
        self.add(box, timestamp)

    def add(self, box: Box, timestamp: float) -> None:
        """Note where the face is detected; a clock that goes back begins anew."""
        self._box, self._seen_at = box, timestamp
        if self._places and timestamp < self._places[-1][0]:
            self._places.clear()
        if not self._places or timestamp - self._places[-1][0] >= _STEP:
            x, y = _centre(box)
            self._places.append((timestamp, x, y))
        while timestamp - self._places[0][0] > _WINDOW:
            self._places.popleft()

    def nearest(self, box: Box, timestamp: float) -> Box:
        """Return the place on the way of the face, as far as it may have come, that is nearest to a box.

        Args:
            box: x, y, w, h in pixels.
            timestamp: When, seconds.

        Returns:
            The box of the last detection, moved on; not moved if the face stood still, or the clock has gone back.
        """
        (since, x, y), (until, last_x, last_y) = self._places[0], self._places[-1]
        way_x, way_y = last_x - x, last_y - y
        length = math.hypot(way_x, way_y)
        if until <= since or length == 0:
            return self._box
        furthest = min(length * (timestamp - self._seen_at) / (until - since), _FURTHEST * max(self._box[2:]))
        (to_x, to_y), (from_x, from_y) = _centre(box), _centre(self._box)
        along = ((to_x - from_x) * way_x + (to_y - from_y) * way_y) / length
        gone = max(0.0, min(along, furthest)) / length
        return (self._box[0] + gone * way_x, self._box[1] + gone * way_y, *self._box[2:])


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
