"""What the engine returns: frozen, typed results, in frame pixels and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""x, y, w, h: left, top, width and height in pixels of the frame; may reach beyond its borders."""

Landmarks: TypeAlias = tuple[
    tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]
]
"""Five (x, y) points in pixels: left eye, right eye (as the viewer sees them), nose, left and right mouth corner."""

Origin: TypeAlias = Literal["detected", "tracked"]

UNCERTAIN = "uncertain"
"""The label where no smoothed score reaches the setting ``min_confidence``."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A distribution over the model's classes: ``scores`` sum to 1, ``label`` is the largest one's, or ``UNCERTAIN``."""

    label: str
    scores: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "scores": {name: round(value, 5) for name, value in self.scores.items()}}


@dataclass(frozen=True, slots=True)
class Expression:
    """The perceived expression of one face in one frame, and the same smoothed along its track.

    ``smoothed`` equals the raw scores where there is no track (still images). With a ``min_confidence`` above 0 both
    labels are ``UNCERTAIN`` where no smoothed score reaches it; the scores are given all the same.
    """

    label: str
    scores: Mapping[str, float]
    smoothed: Scores

    def to_dict(self) -> dict[str, Any]:
        return {**Scores(self.label, self.scores).to_dict(), "smoothed": self.smoothed.to_dict()}


@dataclass(frozen=True, slots=True)
class Gender(Expression):
    """The perceived gender presentation of one face, in the same form; ``smoothed`` over seconds, for it does not change."""


def make_gender(labels: Sequence[str], scores: Iterable[float], smoothed: Iterable[float]) -> Gender:
    """As ``make_expression``, and never uncertain."""
    raw = make_expression(labels, scores, smoothed)
    return Gender(raw.label, raw.scores, raw.smoothed)


def make_expression(
    labels: Sequence[str], scores: Iterable[float], smoothed: Iterable[float], min_confidence: float = 0.0
) -> Expression:
    """Name one face's raw and smoothed scores, each one a class and summing to 1 (softmax of logits over the model's
    temperature). Below ``min_confidence`` (of the largest smoothed score) the answer is ``UNCERTAIN``."""
    raw, lasting = _named(labels, scores), _named(labels, smoothed)
    if lasting.scores[lasting.label] < min_confidence:
        return Expression(UNCERTAIN, raw.scores, Scores(UNCERTAIN, lasting.scores))
    return Expression(raw.label, raw.scores, lasting)


def _named(labels: Sequence[str], scores: Iterable[float]) -> Scores:
    by_name = dict(zip(labels, map(float, scores), strict=True))
    return Scores(max(by_name, key=by_name.__getitem__), by_name)


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame.

    ``track`` counts from 1 in each camera and is ``None`` in a still image. ``box``: x, y, w, h in pixels of the frame; it
    may reach beyond the border. ``score`` is the detector's probability at the last detection, ``track_confidence`` the
    tracker's own in this frame (1 on a detected face), both in [0, 1]. ``origin``: "detected" or "tracked". ``landmarks``,
    five points (x, y) in pixels, are left eye, right eye (as the viewer sees them), nose, left and right mouth corner, given
    only where the face was detected in this very frame by a detector that finds them. ``expression`` is ``None`` where the
    face was not classified, and ``reason`` then says why (``"deadline"``, ``"face_ring_full"``). ``gender`` is given with the
    setting ``gender`` only.
    """

    track: int | None
    box: Box
    score: float
    track_confidence: float
    origin: Origin
    landmarks: Landmarks | None
    expression: Expression | None
    reason: str | None = None
    gender: Gender | None = None

    def to_dict(self) -> dict[str, Any]:
        face: dict[str, Any] = {
            "track": self.track,
            "box": [round(value, 2) for value in self.box],
            "score": round(self.score, 5),
            "track_confidence": round(self.track_confidence, 4),
            "origin": self.origin,
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks] if self.landmarks else None,
            "expression": self.expression.to_dict() if self.expression else None,
        }
        if self.gender is not None:
            face["gender"] = self.gender.to_dict()
        if self.reason is not None:
            face["reason"] = self.reason
        return face


@dataclass(frozen=True, slots=True)
class Timings:
    """When a frame passed each stage: seconds of CLOCK_MONOTONIC, comparable between the processes of a machine.

    ``captured``: decoded; ``tracked``: its faces were detected or tracked; ``queued``: the last face was handed to
    the classifier; ``inferred``: the last face's scores came out; ``emitted``: the result left the engine. A frame
    without classified faces has ``queued == inferred == tracked``.
    """

    captured: float
    tracked: float
    queued: float
    inferred: float
    emitted: float

    STAGES: ClassVar[tuple[str, ...]] = ("track", "queue", "infer", "emit", "total")

    def durations_ms(self) -> dict[str, float]:
        """Milliseconds spent in each of ``STAGES``; ``total`` is from capture to emission."""
        stamps = (self.captured, self.tracked, self.queued, self.inferred, self.emitted)
        steps = [1e3 * (after - before) for before, after in pairwise(stamps)]
        return dict(zip(self.STAGES, [*steps, 1e3 * (self.emitted - self.captured)], strict=True))


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """A change in the life of one camera (any source): ``"started"``, ``"lost"``, ``"back"`` or ``"ended"``.

    ``timestamp``: seconds since the epoch, for files too. ``reason``: why it was lost or has ended, ``None`` for a
    file's own end; it never holds credentials. ``seconds``: how long a camera that is back had been lost.
    """

    camera: str
    kind: Literal["started", "lost", "back", "ended"]
    timestamp: float
    reason: str | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one line of ``--events``."""
        event: dict[str, Any] = {"camera": self.camera, "event": self.kind, "timestamp": round(self.timestamp, 6)}
        if self.reason is not None:
            event["reason"] = self.reason
        if self.seconds is not None:
            event["seconds"] = round(self.seconds, 3)
        return event


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Everything known of one frame of one camera.

    ``frame`` is the capture sequence from 0: a gap is a frame dropped (live sources only). ``timestamp`` is seconds
    since the epoch for live sources and media seconds for files and the demo.
    """

    camera: str
    frame: int
    timestamp: float
    latency_ms: float
    faces: tuple[Face, ...]
    timings: Timings

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one line of ``--events``."""
        return {
            "camera": self.camera,
            "frame": self.frame,
            "timestamp": round(self.timestamp, 6),
            "latency_ms": round(self.latency_ms, 3),
            "faces": [face.to_dict() for face in self.faces],
        }
