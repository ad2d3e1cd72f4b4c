"""Which label a face is given: it holds against small changes of the scores, and gives way to ``uncertain``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.track_memory import TrackMemory
from ferengine.results import Pose, Quality, UncertainReason

MAX_YAW = 40.0
MAX_PITCH = 35.0
"""Degrees beyond which a face is turned away. On ordinary faces ``standard`` is right on 82 % up to 30 degrees of yaw, 71 %
from 30 to 40 and 49 % beyond; too few are beyond 35 degrees of pitch (9) to say more than that it looks no better there."""

MIN_SIZE = 20.0
"""Pixels. Faces of 20 pixels are read as well as larger ones but for 2 points, of 10 pixels 15 points worse."""

MIN_SHARPNESS = 0.1
"""A Gaussian blur of 2 pixels of the 48x48 crop has this in the median; it costs 8 points, one of 3 pixels 28."""

MIN_CONTRAST = 10.0
"""At a quarter of the light the contrast is 11 and the loss 7 points; at a tenth it is 5 and the loss 50."""

_GENDER_CONFIDENCE = 0.6
"""Smoothed probability below which gender is uncertain."""

_RETURN = 0.1
"""A face is read again when it is better than a threshold by this fraction of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``label`` is the index of a class, or None where the face is uncertain for ``reason``; where it has ``changed``,
    ``before`` is the label of the track's last answer."""

    label: int | None
    reason: UncertainReason | None = None
    changed: bool = False
    before: int | None = None


def unreadable(pose: Pose | None, quality: Quality | None, strict: float = 1.0) -> UncertainReason | None:
    """Why a face should not be read, or None; thresholds are tightened by ``strict`` (1.1: 10 % tighter)."""
    if pose is not None and max(abs(pose.yaw) / MAX_YAW, abs(pose.pitch) / MAX_PITCH) * strict > 1:
        return "turned"
    if quality is None:
        return None
    if quality.size < MIN_SIZE * strict:
        return "small"
    if quality.contrast < MIN_CONTRAST * strict:
        return "dark"
    return "blurred" if quality.sharpness < MIN_SHARPNESS * strict else None


def gender_confidence(min_confidence: float) -> float:
    """The threshold for gender where that for expressions is ``min_confidence``: none where that is off."""
    return _GENDER_CONFIDENCE if min_confidence > 0 else 0.0


class Labeller:
    """Chooses the label of each face along its track.

    A class is held until another leads it by ``lead``. A track becomes uncertain when the largest score is more than a
    quarter of ``lead`` below ``min_confidence``, and has a label again when it is as much above it. Without a track's history
    the largest score decides. A track with a new id, or whose time runs backwards, starts anew.

    Args:
        lead: Difference of smoothed probabilities, in [0, 1); 0 turns this off.
        min_confidence: Smoothed probability below which a face is uncertain, in [0, 1); 0 turns this off.
        check_quality: Whether faces that are turned away, small, dark or blurred are uncertain.

    Example:
        >>> labeller = Labeller(lead=0.1)
        >>> labeller.update(1, 0.0, np.array([0.6, 0.4], np.float32)).label
        0
        >>> labeller.update(1, 0.1, np.array([0.48, 0.52], np.float32)).label
        0
        >>> labeller.update(1, 0.2, np.array([0.4, 0.6], np.float32)).label
        1
    """

    def __init__(self, lead: float = 0.0, min_confidence: float = 0.0, *, check_quality: bool = False) -> None:
        self._lead = lead
        self._threshold = min_confidence
        self._check_quality = check_quality
        self._tracks: TrackMemory[Answer] = TrackMemory()

    def __len__(self) -> int:
        return len(self._tracks)

    def update(
        self,
        track: int,
        timestamp: float,
        smoothed: NDArray[np.float32],
        pose: Pose | None = None,
        quality: Quality | None = None,
    ) -> Answer:
        """Choose the label of a face.

        Args:
            track: The track's id.
            timestamp: Media time, seconds.
            smoothed: Its smoothed scores, float32 (classes,).
            pose: Its pose, if it is known.
            quality: Its quality, if it is known.
        """
        last = self._tracks.get(track, timestamp)
        before = None if last is None else last[1]
        answer = self._answer(before, smoothed, pose, quality)
        if before is not None and before.label != answer.label:
            answer = replace(answer, changed=True, before=before.label)
        self._tracks.put(track, timestamp, answer)
        return answer

    def decide(self, scores: NDArray[np.float32], pose: Pose | None, quality: Quality | None) -> Answer:
        """The label of a face that has no track."""
        return self._answer(None, scores, pose, quality)

    def _answer(
        self, before: Answer | None, smoothed: NDArray[np.float32], pose: Pose | None, quality: Quality | None
    ) -> Answer:
        if self._check_quality:
            was_unreadable = before is not None and before.reason not in (None, "low_score")
            reason = unreadable(pose, quality, 1 + _RETURN if was_unreadable and self._lead > 0 else 1.0)
            if reason is not None:
                return Answer(None, reason)
        best = int(smoothed.argmax())
        held = best if before is None or before.label is None else before.label
        if smoothed[best] >= smoothed[held] + self._lead:
            held = best
        margin = 0.0 if before is None else (self._lead if before.label is None else -self._lead) / 4
        if smoothed[best] < self._threshold + (margin if self._threshold > 0 else 0.0):
            return Answer(None, "low_score")
        return Answer(held)
