"""Which label a face is given: it holds against brief changes of the scores, and gives way to ``uncertain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.track_memory import TrackMemory
from ferengine.results import Pose, Quality, UncertainReason

MAX_YAW = 40.0
MAX_PITCH = 35.0
"""Degrees beyond which a face is turned away. On ordinary faces ``standard`` is right on 87 % up to 30 degrees of yaw, 78 %
from 30 to 40 and 59 % beyond; too few are beyond 35 degrees of pitch (9) to say more than that it looks no better there."""

MIN_SIZE = 20.0
"""Pixels. Faces of 20 pixels cost ``standard`` 5 points, of 10 pixels 26."""

MIN_SHARPNESS = 0.1
"""A Gaussian blur of 2 pixels of the 48x48 crop has this in the median; it costs 18 points, one of 3 pixels 31."""

MIN_CONTRAST = 10.0
"""At a quarter of the light the contrast is 11. Crops are stretched (``light.lighten``), after which ``standard`` loses 1 point
there, and 7 where there is noise of 2 intensities, which is stretched with them."""

_GENDER_CONFIDENCE = 0.6
"""Smoothed probability below which gender is uncertain."""

_SURE_SCORE = 0.6
"""Largest score from which a frame counts in full as evidence; below, in proportion. Without it there are 7 % more changes a
second on talking heads for the same response."""

_UNREADABLE_AFTER = 0.4
"""Seconds for which a face must be unreadable to become uncertain, and readable to have a label again."""

_RETURN = 0.1
"""A face is readable again when it is better than the threshold of its quality by this fraction of it."""

_MAX_STEP = 0.2
"""Seconds: a frame is no evidence for more of the time before it than this."""

_TINY = float(np.finfo(np.float32).tiny)

Values = TypeVar("Values", float, NDArray[np.float32])


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
    """Of a track.

    Attributes:
        held: The class that it holds.
        low: Whether its scores are too low for a label.
        evidence: Seconds of evidence for each class: against the held one or, where the scores are low, against the threshold.
        doubt: Seconds of evidence that the scores are too low.
        unread: Why it cannot be read, if so.
        contrary: For how many seconds the opposite has been so.
    """

    held: int
    low: bool
    evidence: NDArray[np.float32]
    doubt: float
    unread: UncertainReason | None
    contrary: float = 0.0

    @property
    def reason(self) -> UncertainReason | None:
        return self.unread or ("low_score" if self.low else None)

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

        (p^4 - 3 q^4) / (p^4 + q^4)

    against the held class's q, and never has less than none: the cumulative sum of E. S. Page, "Continuous Inspection Schemes",
    Biometrika 1954, of the log odds of the two, limited by a hyperbolic tangent. A class gains from 1.32 times the score on.
    One that is surely better replaces the held one after ``hold``, one with twice its score after 1.3 ``hold``, and one that is
    now better, now worse not at all. A frame whose largest score is under 0.6 counts less, in proportion.

    Uncertain is treated as one more class, whose score is ``min_confidence``: by the same formula of the odds in place of the
    scores, a track becomes uncertain when its largest smoothed score has been clearly below that for long enough, and has the
    label of the first class that has been clearly above it for long enough. Where the quality is checked, it also becomes
    uncertain when it could not be read, and has a label again when it could, for 0.4 s. A track with a new id, or whose time
    runs backwards, starts anew, with the largest score.

    Args:
        hold: Seconds of sure evidence that replace a label; 0 turns all this off, and the largest smoothed score decides.
        min_confidence: Probability below which a face is uncertain, in [0, 1); 0 turns this off.
        check_quality: Whether faces that are turned away, small, dark or blurred are uncertain.

    Example:
        >>> labeller = Labeller(hold=0.35)
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
            state = self._next(last[1], min(last[0], _MAX_STEP), scores, smoothed, self._unread(pose, quality, last[1]))
        self._tracks.put(track, timestamp, state)
        if last is None or last[1].label == state.label:
            return Answer(state.label, state.reason)
        return Answer(state.label, state.reason, changed=True, before=last[1].label)

    def decide(self, scores: NDArray[np.float32], pose: Pose | None, quality: Quality | None) -> Answer:
        """The label of a face that has no track."""
        state = self._first(scores, pose, quality)
        return Answer(state.label, state.reason)

    def _first(self, scores: NDArray[np.float32], pose: Pose | None, quality: Quality | None) -> _State:
        best = int(scores.argmax())
        return _State(best, bool(scores[best] < self._threshold), np.zeros_like(scores), 0.0, self._unread(pose, quality, None))

    def _next(
        self,
        last: _State,
        step: float,
        scores: NDArray[np.float32],
        smoothed: NDArray[np.float32],
        unread: UncertainReason | None,
    ) -> _State:
        held, low, doubt, threshold = last.held, last.low, 0.0, self._threshold
        if low:
            rate = _rate(scores * (1 - threshold), (1 - scores) * threshold)
        else:
            rate = _rate(scores, scores[held]) * min(1.0, float(scores.max()) / _SURE_SCORE)
            if threshold > 0:
                top = float(smoothed.max())
                doubt = max(0.0, last.doubt + _rate((1 - top) * threshold, top * (1 - threshold)) * step)
        evidence = np.maximum(0, last.evidence + rate * step)
        best = int(evidence.argmax())
        if evidence[best] >= self._hold:
            held, low, doubt, evidence = best, False, 0.0, np.zeros_like(evidence)
        elif doubt >= self._hold:
            low, doubt, evidence = True, 0.0, np.zeros_like(evidence)
        contrary = 0.0
        if (unread is None) != (last.unread is None):
            contrary = last.contrary + step
            if contrary < _UNREADABLE_AFTER:
                unread = last.unread
            else:
                contrary = 0.0
        return _State(held, low, evidence, doubt, unread, contrary)

    def _unread(self, pose: Pose | None, quality: Quality | None, last: _State | None) -> UncertainReason | None:
        """Why the face should not be read, by thresholds that are harder to pass back than forth."""
        if not self._check_quality:
            return None
        return unreadable(pose, quality, 1.0 if last is None or last.unread is None else 1 + _RETURN)


def _rate(x: Values, y: Values) -> Values:
    """Seconds of evidence a second that ``x`` is more than ``y``, in [-3, 1]."""
    x, y = x * x, y * y
    x, y = x * x, y * y
    return (x - 3 * y) / (x + y + _TINY)
