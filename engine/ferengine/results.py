"""What the engine returns: frozen, typed results, in frame pixels and seconds.

They can be compared, hashed, copied and pickled. What they hold by name, such as scores, has no part in their hash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, cast, get_args

from ferengine.errors import MissingDependencyError, UsageError
from ferengine.json_fields import JsonFields
from ferengine.pip_hint import pip_install
from ferengine.readings import PRESENT as PRESENT
from ferengine.readings import REASON_WORDS as REASON_WORDS
from ferengine.readings import UNCERTAIN as UNCERTAIN
from ferengine.readings import Expression as Expression
from ferengine.readings import Gender as Gender
from ferengine.readings import HeadKind as HeadKind
from ferengine.readings import HeadReading as HeadReading
from ferengine.readings import Pose as Pose
from ferengine.readings import Quality as Quality
from ferengine.readings import Scores as Scores
from ferengine.readings import UncertainReason as UncertainReason
from ferengine.readings import make_expression as make_expression
from ferengine.readings import make_gender as make_gender

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

CameraEventKind: TypeAlias = Literal["started", "disconnected", "reconnected", "ended"]
"""What happens to a camera."""

EPOCH_NUMBERS = 1_000_000_000
"""In a fleet, frames and tracks of a camera are numbered from a multiple of this each time that a node begins to read it."""


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
    heads: Mapping[str, HeadReading] = field(default_factory=dict, hash=False)

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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], changed_from: str | None = None) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.
            changed_from: The attribute, which stands among the changes of the frame.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "a face"), changed_from)

    @classmethod
    def from_fields(cls, fields: JsonFields, changed_from: str | None = None) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
            changed_from: The attribute.
        """
        expression, gender, pose, quality = (
            fields.optional(name, fields.part) for name in ("expression", "gender", "pose", "quality")
        )
        heads = fields.optional("heads", fields.part)
        return cls(
            track=fields.nullable("track", fields.whole),
            box=cast(Box, fields.numbers("box", 4)),
            score=fields.number("score"),
            track_confidence=fields.number("track_confidence"),
            origin=cast(Origin, fields.text("origin", get_args(Origin))),
            landmarks=cast(Landmarks | None, fields.nullable("landmarks", lambda name: fields.points(name, 5))),
            expression=None if expression is None else Expression.from_fields(expression),
            reason=fields.optional("reason", fields.text),
            gender=None if gender is None else Gender.from_fields(gender),
            pose=None if pose is None else Pose.from_fields(pose),
            quality=None if quality is None else Quality.from_fields(quality),
            changed_from=changed_from,
            zones=fields.optional("zones", fields.texts) or (),
            heads={} if heads is None else {name: HeadReading.from_fields(heads.part(name)) for name in heads.names()},
        )


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


_NO_TIMINGS = Timings(math.nan, math.nan, math.nan, math.nan, math.nan)


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
    kind: CameraEventKind
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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``: makes an event of a line of ``--events`` that has the key ``event``.

        Args:
            given: What it gave. Keys that are not known are ignored.

        Raises:
            UsageError: It is something else, such as the line of a frame.
        """
        fields = JsonFields(given, "a camera event")
        return cls(
            camera=fields.text("camera"),
            kind=cast(CameraEventKind, fields.text("event", get_args(CameraEventKind))),
            timestamp=fields.number("timestamp"),
            reason=fields.optional("reason", fields.text),
            seconds=fields.optional("seconds", fields.number),
        )


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Everything known of one frame of one camera.

    Attributes:
        camera: Its name.
        frame: The capture sequence from 0: a gap is a frame dropped (live sources only).
        timestamp: Seconds since the epoch for live sources, media seconds for files and the demo.
        latency_ms: Milliseconds from capture to the result.
        faces: The faces, by ascending track.
        timings: When the frame passed each stage; results that differ in these alone are equal.
        scene_cut: Whether it shows another scene than the frame before: tracks go on only where a face looks as it did.
        ignored: Faces that zones exclude; known with the setting ``blur`` only, and part of no output.
        searched: The newest frame that was searched for faces until then, -1 before the first; part of no output. Faces in
            later frames may not have been found yet.
    """

    camera: str
    frame: int
    timestamp: float
    latency_ms: float
    faces: tuple[Face, ...]
    timings: Timings = field(compare=False)
    scene_cut: bool = False
    ignored: tuple[IgnoredFace, ...] = ()
    searched: int = -1

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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make a result of what ``to_dict`` gave: a line of ``--events``, a message of MQTT, ``/api/results`` or Redis.

        Args:
            given: The JSON object. Keys that are not known are ignored.

        Returns:
            The result, with the numbers as they were rounded. ``timings`` are NaN, ``ignored`` is empty and ``searched``
            -1, since no output has them.

        Raises:
            UsageError: It is another kind of line, such as an event, or something of it is missing.

        Example:
            >>> import json
            >>> line = '{"camera": "door", "frame": 7, "timestamp": 0.28, "latency_ms": 9.5, "faces": []}'
            >>> FrameResult.from_dict(json.loads(line)).frame
            7
        """
        fields = JsonFields(given, "a frame")
        if "event" in fields:
            raise UsageError(f"this is not the JSON object of a frame: it is the event {given['event']!r}")
        changes = fields.optional("changes", fields.parts) or ()
        changed = {change.nullable("track", change.whole): change.text("from") for change in changes}
        return cls(
            camera=fields.text("camera"),
            frame=fields.whole("frame"),
            timestamp=fields.number("timestamp"),
            latency_ms=fields.number("latency_ms"),
            faces=tuple(
                Face.from_fields(face, changed.get(face.nullable("track", face.whole))) for face in fields.parts("faces")
            ),
            timings=_NO_TIMINGS,
            scene_cut=fields.optional("scene_cut", fields.flag) or False,
        )

    def to_supervision(self) -> sv.Detections:
        """The faces as the package ``supervision`` takes them, for its annotators, zones and sinks.

        Returns:
            ``xyxy`` in pixels, ``confidence``, ``tracker_id``, ``class_id`` (0 where a face was not classified, 1 where it is
            uncertain, and from 2 on the model's classes in their order), and in ``data`` the smoothed label as ``class_name``
            ("" where a face was not classified) with its score as ``class_score`` (NaN there).

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
            class_id=np.array([_class_id(each) for each in smoothed], int),  # its annotators colour by it
            tracker_id=np.array([face.track or 0 for face in self.faces], int),
            data={
                "class_name": np.array(["" if each is None else each.label for each in smoothed]),
                "class_score": np.array([np.nan if each is None else each.confidence for each in smoothed]),
            },
        )


def _class_id(smoothed: Scores | None) -> int:
    """The ``class_id`` of ``to_supervision``."""
    if smoothed is None:
        return 0
    return 1 if smoothed.label == UNCERTAIN else 2 + list(smoothed.scores).index(smoothed.label)


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
