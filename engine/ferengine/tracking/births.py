"""Which detections that continue no track start one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ferengine.detection.birth import BirthScores
from ferengine.results import Box
from ferengine.tracking.matching import assign, iou_matrix

_MEMORY = 1 / 3
"""Seconds for which a detection that was not believed waits for a second one of its place."""

_SETTLED = 0.15
"""Seconds after which a face that may be one that comes back is a new one if it still cannot be recognised."""

_MIN_IOU = 0.3


@dataclass(slots=True)
class _Seen:
    """A face that was not believed at once: the best score of its place so far, and when it was first seen."""

    box: Box
    score: float
    timestamp: float


class Births:
    """Believes a detection at once, or when a second one of its place confirms it within a third of a second. Where a source
    is slower than that, the next detection frame counts. Not thread-safe.

    Args:
        scores: From which scores.
    """

    def __init__(self, scores: BirthScores) -> None:
        self._scores = scores
        self._waiting: list[_Seen] = []
        self._wants_look = False

    @property
    def places(self) -> list[Box]:
        """Where faces may be that were seen once."""
        return [seen.box for seen in self._waiting]

    @property
    def wants_look(self) -> bool:
        """Whether the last detection frame showed a face that is to be looked for again at once: each asks only once."""
        return self._wants_look

    def is_sure(self, score: float) -> bool:
        """Whether one detection with this score is believed."""
        return score >= self._scores.once

    def is_likely(self, score: float) -> bool:
        """Whether two detections with this score are believed."""
        return score >= self._scores.twice

    def choose(
        self, boxes: Sequence[Box], scores: Sequence[float], timestamp: float, returning: Sequence[bool] | None = None
    ) -> list[bool]:
        """Judge the detections of a frame that continue no track.

        Args:
            boxes: x, y, w, h of each.
            scores: Of each.
            timestamp: Of the frame, seconds.
            returning: Whether it may be a face that was lost there and cannot be recognised yet, being half hidden: it waits
                for a later detection, whatever its score.

        Returns:
            For each whether it starts a track.
        """
        if not boxes and not self._waiting:
            self._wants_look = False
            return []
        returning = [False] * len(boxes) if returning is None else returning
        likely = [index for index, score in enumerate(scores) if self.is_likely(score)]
        overlap = iou_matrix([boxes[index] for index in likely], self.places)
        seen_before, unseen, _ = assign(np.where(overlap >= _MIN_IOU, overlap, 0.0))
        born = [self.is_sure(score) and not back for score, back in zip(scores, returning, strict=True)]
        for row, column in seen_before:
            seen, index = self._waiting[column], likely[row]
            settled = not returning[index] or abs(timestamp - seen.timestamp) >= _SETTLED
            born[index] |= settled and (seen.score + scores[index]) / 2 >= self._scores.mean
            seen.score = max(seen.score, scores[index])
        taken = {column for row, column in seen_before if born[likely[row]]}
        fresh = [likely[row] for row in unseen if not born[likely[row]]]
        self._wants_look = any(not returning[index] for index in fresh)
        self._waiting = [
            waiting
            for column, waiting in enumerate(self._waiting)
            if column not in taken and abs(timestamp - waiting.timestamp) <= _MEMORY
        ] + [_Seen(boxes[index], scores[index], timestamp) for index in fresh]
        return born

    def clear(self) -> None:
        """Forget what was seen once: the scene has changed."""
        self._waiting, self._wants_look = [], False
