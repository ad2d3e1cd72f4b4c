"""Which detections that continue no track start one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ferengine.detection.birth import BirthScores
from ferengine.results import Box
from ferengine.tracking.matching import assign, iou_matrix

_MEMORY = 1 / 3
"""Seconds for which a detection that was not believed waits for a second one of its place."""

_MIN_IOU = 0.3


class Births:
    """Believes a detection at once, or when a second one of its place confirms it within a third of a second. Where a source
    is slower than that, the next detection frame counts. Not thread-safe.

    Args:
        scores: From which scores.
    """

    def __init__(self, scores: BirthScores) -> None:
        self._scores = scores
        self._waiting: list[tuple[Box, float]] = []
        self._fresh: list[Box] = []

    @property
    def places(self) -> list[Box]:
        """Where faces may be that were seen once."""
        return [box for box, _ in self._waiting]

    @property
    def wants_look(self) -> bool:
        """Whether the last detection frame showed a face that is to be looked for again at once: each asks only once."""
        return bool(self._fresh)

    def is_sure(self, score: float) -> bool:
        """Whether one detection with this score is believed."""
        return score >= self._scores.once

    def is_likely(self, score: float) -> bool:
        """Whether two detections with this score are believed."""
        return score >= self._scores.twice

    def choose(self, boxes: Sequence[Box], scores: Sequence[float], timestamp: float) -> list[bool]:
        """Judge the detections of a frame that continue no track.

        Args:
            boxes: x, y, w, h of each.
            scores: Of each.
            timestamp: Of the frame, seconds.

        Returns:
            For each whether it starts a track.
        """
        born = [self.is_sure(score) for score in scores]
        likely = [index for index, score in enumerate(scores) if self.is_likely(score)]
        overlap = iou_matrix([boxes[index] for index in likely], self.places)
        confirmed, unseen, _ = assign(np.where(overlap >= _MIN_IOU, overlap, 0.0))
        for row, _ in confirmed:
            born[likely[row]] = True
        self._fresh = [boxes[likely[row]] for row in unseen if not born[likely[row]]]
        taken = {column for _, column in confirmed}
        self._waiting = [
            waiting
            for column, waiting in enumerate(self._waiting)
            if column not in taken and abs(timestamp - waiting[1]) <= _MEMORY
        ] + [(box, timestamp) for box in self._fresh]
        return born

    def clear(self) -> None:
        """Forget what was seen once: the scene has changed."""
        self._waiting, self._fresh = [], []
