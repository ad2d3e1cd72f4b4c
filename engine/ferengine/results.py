"""What the engine returns: frozen, typed results, in frame pixels and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from ferengine.errors import MissingDependencyError
from ferengine.pip_hint import pip_install

if TYPE_CHECKING:
    import supervision as sv

Box: TypeAlias = tuple[float, float, float, float]
"""x, y, w, h: left, top, width and height in pixels of the frame; may reach beyond its borders."""

Landmarks: TypeAlias = tuple[
    tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]
]
"""Five (x, y) points in pixels: left eye, right eye (as the viewer sees them), nose, left and right mouth corner."""

DrawExtra: TypeAlias = Literal["landmarks", "pose", "heads"]
"""What can be drawn of a face besides its box and label."""

Origin: TypeAlias = Literal["detected", "tracked"]

EPOCH_NUMBERS = 1_000_000_000
"""In a fleet, frames and tracks of a camera are numbered from a multiple of this each time that a node begins to read it."""

HeadKind: TypeAlias = Literal["classes", "labels", "values"]
"""Of a head: one of several classes, any of several labels, or numbers."""

PRESENT = 0.5
"""Probability from which a label of a head of ``labels`` is there."""

UNCERTAIN = "uncertain"
"""The label of a face that cannot be read surely; ``Expression.reason`` says why."""

UncertainReason: TypeAlias = Literal["turned", "small", "blurred", "dark", "low_score"]
"""Turned away by more than a threshold, too few pixels, out of focus or moving, too little light or contrast, or no smoothed
score that reaches ``min_confidence``."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Which way a face looks, in degrees, estimated from its landmarks; a face that looks at the camera has zeros.

    Attributes:
        yaw: Positive where it looks to the right of the image, in [-90, 90].
        pitch: Positive where it looks up.
        roll: Positive where it is tilted clockwise in the image.
        age: Seconds since the landmarks were found: between detections the track keeps its last pose.
    """

    yaw: float
    pitch: float
    roll: float
    age: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, angles to a tenth of a degree."""
        angles = {"yaw": round(self.yaw, 1), "pitch": round(self.pitch, 1), "roll": round(self.roll, 1)}
        return {**angles, "age": round(self.age, 3)}


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be seen. All but ``size`` are measured on the crop that the classifier sees.

    Attributes:
        size: The geometric mean of the sides of its box in pixels.
        sharpness: Standard deviation of the Laplacian over that of the intensities: whatever the contrast, lower is more
            blurred.
        brightness: Mean intensity, 0 to 255.
        contrast: Standard deviation of the intensities, 0 to 128.
    """

    size: float
    sharpness: float
    brightness: float
    contrast: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "size": round(self.size, 1),
            "sharpness": round(self.sharpness, 3),
            "brightness": round(self.brightness, 1),
            "contrast": round(self.contrast, 1),
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """A distribution over the model's classes.

    Attributes:
        label: The class with the largest score, or ``UNCERTAIN``.
        scores: The probability of each class by its name; they sum to 1.
    """

    label: str
    scores: Mapping[str, float]

    @property
    def confidence(self) -> float:
        """The score of the label; where that is ``UNCERTAIN`` the largest score."""
        return self.scores[self.label] if self.label in self.scores else max(self.scores.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, scores to five decimals."""
        return {"label": self.label, "scores": {name: round(value, 5) for name, value in self.scores.items()}}


@dataclass(frozen=True, slots=True)
class Expression:
    """The perceived expression of one face in one frame, and the same smoothed along its track.

    Both labels are ``UNCERTAIN`` where no smoothed score reaches ``min_confidence``, or the face cannot be seen well enough
    to be read; ``reason`` says which, and the scores are given anyway. ``label`` changes from frame to frame; the label of
    ``smoothed`` changes only after clear evidence for another class (``label_hold``), and is the one to act on.

    Attributes:
        label: The class with the largest raw score, or ``UNCERTAIN``.
        scores: The raw probability of each class by its name; they sum to 1.
        smoothed: The distribution averaged over time; it equals the raw one where there is no track (still images).
        reason: Why it is uncertain; ``None`` where it is not.
    """

    label: str
    scores: Mapping[str, float]
    smoothed: Scores
    reason: UncertainReason | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, scores to five decimals; ``reason`` is left out where it is ``None``."""
        reading = {**Scores(self.label, self.scores).to_dict(), "smoothed": self.smoothed.to_dict()}
        return reading if self.reason is None else {**reading, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Gender(Expression):
    """The perceived gender presentation of one face, with the attributes of Expression; smoothed over seconds, since it does
    not change."""


@dataclass(frozen=True, slots=True)
class HeadReading:
    """What a further head of the model reads in one face.

    Attributes:
        kind: "classes" (probabilities that sum to 1), "labels" (a probability for each) or "values" (numbers).
        values: The raw numbers by the names of the head's labels.
        smoothed: The same, averaged over time; they equal the raw ones where there is no track (still images).
    """

    kind: HeadKind
    values: Mapping[str, float]
    smoothed: Mapping[str, float]

    @property
    def label(self) -> str | None:
        """Of classes, the one with the largest smoothed score; None for other kinds."""
        return max(self.smoothed, key=self.smoothed.__getitem__) if self.kind == "classes" else None

    @property
    def present(self) -> tuple[str, ...]:
        """Of labels, those whose smoothed probability reaches ``PRESENT``; none for other kinds."""
        return tuple(name for name, value in self.smoothed.items() if value >= PRESENT) if self.kind == "labels" else ()

    def summary(self) -> str:
        """The smoothed reading in a few words.

        Example:
            >>> HeadReading("values", {"valence": 0.25}, {"valence": 0.25}).summary()
            'valence 0.25'
        """
        if self.label is not None:
            return f"{self.label} {100 * self.smoothed[self.label]:.0f} %"
        if self.kind == "labels":
            return ", ".join(self.present) or "none"
        return ", ".join(f"{name} {value:.3g}" for name, value in self.smoothed.items())

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, numbers to five decimals; ``label`` of classes only."""
        values, smoothed = ({name: round(value, 5) for name, value in each.items()} for each in (self.values, self.smoothed))
        reading = {"kind": self.kind, "values": values, "smoothed": smoothed}
        return reading if self.label is None else {"kind": self.kind, "label": self.label, **reading}


def make_gender(
    labels: Sequence[str],
    scores: Iterable[float],
    smoothed: Iterable[float],
    label: int | None = None,
    reason: UncertainReason | None = None,
) -> Gender:
    """As ``make_expression``."""
    read = make_expression(labels, scores, smoothed, label, reason)
    return Gender(read.label, read.scores, read.smoothed, read.reason)


def make_expression(
    labels: Sequence[str],
    scores: Iterable[float],
    smoothed: Iterable[float],
    label: int | None = None,
    reason: UncertainReason | None = None,
) -> Expression:
    """One face's scores with the names of their classes.

    Args:
        labels: The classes, in the order of the scores.
        scores: Raw probabilities, one a class, which sum to 1 (softmax of the logits over the model's temperature).
        smoothed: The same, averaged over time.
        label: The class that the smoothed label holds; None for the largest score.
        reason: Why the face is uncertain; None where it is not.
    """
    raw, averaged = _named(labels, scores), _named(labels, smoothed)
    if reason is not None:
        return Expression(UNCERTAIN, raw.scores, Scores(UNCERTAIN, averaged.scores), reason)
    held = averaged.label if label is None else labels[label]
    return Expression(raw.label, raw.scores, Scores(held, averaged.scores))


def _named(labels: Sequence[str], scores: Iterable[float]) -> Scores:
    by_name = dict(zip(labels, map(float, scores), strict=True))
    return Scores(max(by_name, key=by_name.__getitem__), by_name)


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame.

    Attributes:
        track: The id of its track, counted from 1 in each camera; ``None`` in a still image.
        box: x, y, w, h in pixels of the frame; it may reach beyond the border.
        score: The detector's probability at the last detection, in [0, 1].
        track_confidence: The tracker's own in this frame, in [0, 1]; 1 on a detected face.
        origin: Whether it was "detected" or "tracked" in this frame.
        landmarks: Five points (x, y) in pixels: left eye, right eye (as the viewer sees them), nose, left and right mouth
            corner. Given only where the face was detected in this very frame by a detector that finds them.
        expression: ``None`` where the face was not classified, and for a model that reads no expression.
        reason: Why it was not classified: "deadline", "face_ring_full" or "not_finite" (the network gave no number).
        gender: Given with the setting ``gender`` only.
        pose: ``None`` until a detection has found landmarks.
        quality: ``None`` where the face was not classified.
        changed_from: The smoothed label of the track's last classified frame, where it was another.
        zones: The names of the watched zones that the centre of its box is in.
        heads: What further heads of the model read, by their names; empty for a model that has none, and where the face was
            not classified.
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
    pose: Pose | None = None
    quality: Quality | None = None
    changed_from: str | None = None
    zones: tuple[str, ...] = ()
    heads: Mapping[str, HeadReading] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; ``gender``, ``reason``, ``pose`` and ``quality`` are left out where they are ``None``,
        ``zones`` and ``heads`` where there are none."""
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
        if self.pose is not None:
            face["pose"] = self.pose.to_dict()
        if self.quality is not None:
            face["quality"] = self.quality.to_dict()
        if self.zones:
            face["zones"] = list(self.zones)
        if self.heads:
            face["heads"] = {name: reading.to_dict() for name, reading in self.heads.items()}
        return face


@dataclass(frozen=True, slots=True)
class IgnoredFace:
    """A face in an ignored zone: known to be there so that it can be blurred, and for nothing else.

    Attributes:
        track: The id of its track.
        box: x, y, w, h in pixels of the frame.
    """

    track: int
    box: Box


@dataclass(frozen=True, slots=True)
class ExpressionChange:
    """The smoothed label of a track changed, to or from ``UNCERTAIN`` included.

    Attributes:
        frame: The frame in which it has the new label.
        timestamp: Of that frame, seconds.
        track: The id of the track.
        before: The label that it had.
        after: The label that it has.
    """

    frame: int
    timestamp: float
    track: int | None
    before: str
    after: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        where = {"event": "expression_changed", "frame": self.frame, "timestamp": round(self.timestamp, 6)}
        return {**where, "track": self.track, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class Timings:
    """When a frame passed each stage: seconds of CLOCK_MONOTONIC, comparable between the processes of a machine.

    A frame without classified faces has ``queued == inferred == tracked``.

    Attributes:
        captured: It was decoded.
        tracked: Its faces were detected or tracked.
        queued: Its last face was sent to the classifier.
        inferred: Its last face's scores came out.
        emitted: The result left the engine.
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
    """A change in the life of one camera (any source).

    Attributes:
        camera: Its name.
        kind: "started", "disconnected", "reconnected" or "ended".
        timestamp: Seconds since the epoch, for files too.
        reason: Why it was disconnected or has ended, ``None`` at a file's own end; it never holds credentials.
        seconds: How long a camera that has reconnected had been disconnected.
    """

    camera: str
    kind: Literal["started", "disconnected", "reconnected", "ended"]
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

    Attributes:
        camera: Its name.
        frame: The capture sequence from 0: a gap is a frame dropped (live sources only).
        timestamp: Seconds since the epoch for live sources, media seconds for files and the demo.
        latency_ms: Milliseconds from capture to the result.
        faces: The faces, by ascending track.
        timings: When the frame passed each stage.
        scene_cut: Whether it shows another scene than the frame before: tracks go on only where a face looks as it did.
        ignored: Faces that zones exclude; known with the setting ``blur`` only, and part of no output.
    """

    camera: str
    frame: int
    timestamp: float
    latency_ms: float
    faces: tuple[Face, ...]
    timings: Timings
    scene_cut: bool = False
    ignored: tuple[IgnoredFace, ...] = ()

    @property
    def to_blur(self) -> tuple[Face | IgnoredFace, ...]:
        """Every face that is known to be in the frame, those that zones exclude included."""
        return (*self.faces, *self.ignored)

    @property
    def changes(self) -> tuple[ExpressionChange, ...]:
        """Whose smoothed label is another than in the track's last classified frame."""
        return tuple(
            ExpressionChange(self.frame, self.timestamp, face.track, face.changed_from, face.expression.smoothed.label)
            for face in self.faces
            if face.changed_from is not None and face.expression is not None
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one line of ``--events``; ``scene_cut`` and ``changes`` only where there are any."""
        line: dict[str, Any] = {
            "camera": self.camera,
            "frame": self.frame,
            "timestamp": round(self.timestamp, 6),
            "latency_ms": round(self.latency_ms, 3),
            "faces": [face.to_dict() for face in self.faces],
        }
        if self.scene_cut:
            line["scene_cut"] = True
        changes = self.changes
        if changes:
            line["changes"] = [change.to_dict() for change in changes]
        return line

    def to_supervision(self) -> sv.Detections:
        """The faces as the package ``supervision`` takes them, for its annotators, zones and sinks.

        Returns:
            ``xyxy`` in pixels, ``confidence``, ``tracker_id``, and in ``data`` the smoothed label as ``class_name`` ("" where a
            face was not classified) with its score as ``class_score`` (NaN there).

        Raises:
            MissingDependencyError: The package is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise MissingDependencyError(
                f"to_supervision needs the package supervision: {pip_install('supervision')}"
            ) from None
        import numpy as np

        if not self.faces:
            return supervision.Detections.empty()
        smoothed = [None if face.expression is None else face.expression.smoothed for face in self.faces]
        return supervision.Detections(
            xyxy=np.array([[x, y, x + w, y + h] for x, y, w, h in (face.box for face in self.faces)], np.float32),
            confidence=np.array([face.score for face in self.faces], np.float32),
            tracker_id=np.array([face.track or 0 for face in self.faces], int),
            data={
                "class_name": np.array(["" if each is None else each.label for each in smoothed]),
                "class_score": np.array([np.nan if each is None else each.confidence for each in smoothed]),
            },
        )


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed frame; true in a condition when it was accepted.

    Attributes:
        accepted: Whether there will be a result.
        reason: What dropped it: "not_ready" (the workers are still starting), "ring_full" (the engine is behind: all slots of
            the camera's ring are in use) or "ended" (the camera was removed, has failed or has had its ``max_frames``, or
            the engine has stopped).
        frame: The number that the result will carry.
    """

    accepted: bool
    reason: Literal["not_ready", "ring_full", "ended"] | None = None
    frame: int | None = None

    def __bool__(self) -> bool:
        return self.accepted
