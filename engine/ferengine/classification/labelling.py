"""Which label a face is given: it holds against brief changes of the scores, and gives way to ``uncertain``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.track_memory import TrackMemory
from ferengine.results import Pose, Quality, UncertainReason

MAX_YAW = 40.0
MAX_PITCH = 35.0
"""Degrees beyond which a face is turned away. On ordinary faces ``standard`` is right on 86 % up to 30 degrees of yaw, 79 %
from 30 to 40 and 61 % beyond; too few are beyond 35 degrees of pitch (9) to say more than that it looks no better there."""

MIN_SIZE = 20.0
"""Pixels. Faces of 20 pixels cost 4 points, of 10 pixels 24."""

MIN_SHARPNESS = 0.1
"""A Gaussian blur of 2 pixels of the 48x48 crop has this in the median; it costs 12 points, one of 3 pixels 27."""

MIN_CONTRAST = 10.0
"""At a quarter of the light the contrast is 11 and the loss 4 points; at a tenth it is 5 and the loss 28."""

_GENDER_CONFIDENCE = 0.6
"""Smoothed probability below which gender is uncertain."""

_BIAS = 0.2
"""Evidence below which a class is no better than the held one: it needs odds of 1.22 to gain any. From 0.1 to 0.3 the changes a
second on talking heads hardly differ."""

_UNCERTAIN_AFTER = 0.4
"""Seconds for which a face must be unreadable to become uncertain, and readable to have a label again."""

_RETURN = 0.1
"""A face is readable again when it is better than the threshold of its quality by this fraction of it."""

_MARGIN = 0.05
"""A smoothed score is too low below the threshold less this, and high enough again above it and this."""

_MAX_STEP = 0.2
"""Seconds: a frame is no evidence for more of the time before it than this."""

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, slots=True)
class Answer:
    """``label`` is the index of a class, or None where the face is uncertain for ``reason``; where it has ``changed``,
    ``before`` is the label of the track's last answer."""

    label: int | None
    reason: UncertainReason | None = None
    changed: bool = False
    before: int | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """Of a track: the class that it holds, the evidence for each class against that one, why it is uncertain if it is, and for
    how many seconds the opposite has been so."""

    held: int
    evidence: NDArray[np.float32]
    reason: UncertainReason | None
    contrary: float = 0.0

    @property
    def label(self) -> int | None:
        return None if self.reason is not None else self.held


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

    A class is held until there is enough evidence for another. Per second, a class with score p gains

        (p^2 - q^2) / (p^2 + q^2) - 0.2

    against the held class's q, and never has less than none: the cumulative sum of E. S. Page, "Continuous Inspection Schemes",
    Biometrika 1954, of the log odds of the two, limited by a hyperbolic tangent. A class that is surely better replaces the
    held one after 1.25 ``hold``, one with twice its score after 2.5 ``hold``, and one that is now better, now worse not at all.

    A track becomes uncertain, and has a label again, when that has been called for during 0.4 s. A track with a new id, or
    whose time runs backwards, starts anew, with the largest score.

    Args:
        hold: Seconds of sure evidence that replace a label; 0 turns all this off, and the largest smoothed score decides.
        min_confidence: Smoothed probability below which a face is uncertain, in [0, 1); 0 turns this off.
        check_quality: Whether faces that are turned away, small, dark or blurred are uncertain.

    Example:
        >>> labeller = Labeller(hold=0.25)
        >>> calm, glad = np.array([0.9, 0.1], np.float32), np.array([0.1, 0.9], np.float32)
        >>> frames = enumerate([calm, glad, calm, glad, glad, glad, glad])
        >>> [labeller.update(1, n / 10, scores, scores).label for n, scores in frames]
        [0, 0, 0, 0, 0, 0, 1]
    """

    def __init__(self, hold: float = 0.0, min_confidence: float = 0.0, *, check_quality: bool = False) -> None:
        self._hold = hold
        self._threshold = min_confidence
        self._check_quality = check_quality
        self._tracks: TrackMemory[_State] = TrackMemory()

    def __len__(self) -> int:
        return len(self._tracks)

    def update(
        self,
        track: int,
        timestamp: float,
        scores: NDArray[np.float32],
        smoothed: NDArray[np.float32],
        pose: Pose | None = None,
        quality: Quality | None = None,
    ) -> Answer:
        """Choose the label of a face.

        Args:
            track: The track's id.
            timestamp: Media time, seconds.
            scores: Its scores in this frame, float32 (classes,).
            smoothed: The same, smoothed along the track.
            pose: Its pose, if it is known.
            quality: Its quality, if it is known.
        """
        last = self._tracks.get(track, timestamp)
        if last is None or self._hold == 0:
            state = self._first(smoothed, pose, quality)
        else:
            state = self._next(last[1], min(last[0], _MAX_STEP), scores, self._doubt(smoothed, pose, quality, last[1]))
        self._tracks.put(track, timestamp, state)
        if last is None or last[1].label == state.label:
            return Answer(state.label, state.reason)
        return Answer(state.label, state.reason, changed=True, before=last[1].label)

    def decide(self, scores: NDArray[np.float32], pose: Pose | None, quality: Quality | None) -> Answer:
        """The label of a face that has no track."""
        state = self._first(scores, pose, quality)
        return Answer(state.label, state.reason)

    def _first(self, scores: NDArray[np.float32], pose: Pose | None, quality: Quality | None) -> _State:
        return _State(int(scores.argmax()), np.zeros_like(scores), self._doubt(scores, pose, quality, None))

    def _next(self, last: _State, step: float, scores: NDArray[np.float32], doubt: UncertainReason | None) -> _State:
        squares = scores * scores
        rate = (squares - squares[last.held]) / (squares + squares[last.held] + _TINY) - _BIAS
        held, evidence = last.held, np.maximum(0, last.evidence + rate * step)
        best = int(evidence.argmax())
        if evidence[best] >= self._hold:
            held, evidence = best, np.zeros_like(evidence)
        if (doubt is None) == (last.reason is None):
            return _State(held, evidence, doubt)
        contrary = last.contrary + step
        if contrary >= _UNCERTAIN_AFTER:
            return _State(held, evidence, doubt)
        return _State(held, evidence, last.reason, contrary)

    def _doubt(
        self, smoothed: NDArray[np.float32], pose: Pose | None, quality: Quality | None, last: _State | None
    ) -> UncertainReason | None:
        """Why the face should be uncertain, by thresholds that are harder to pass back than forth."""
        uncertain = last is not None and last.reason is not None
        if self._check_quality:
            reason = unreadable(pose, quality, 1 + _RETURN if uncertain else 1.0)
            if reason is not None:
                return reason
        margin = 0.0 if last is None else _MARGIN if uncertain else -_MARGIN
        return "low_score" if self._threshold > 0 and smoothed.max() < self._threshold + margin else None
