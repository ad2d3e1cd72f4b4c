"""What is read in one face: its expression, gender and further heads, which way it looks, and how well it can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from ferengine.json_fields import JsonFields

HeadKind: TypeAlias = Literal["classes", "labels", "values"]
"""Of a head: one of several classes, any of several labels, or numbers."""

PRESENT = 0.5
"""Probability from which a label of a head of ``labels`` is there."""

UNCERTAIN = "uncertain"
"""The label of a face that cannot be read surely; ``Expression.reason`` says why."""

UncertainReason: TypeAlias = Literal["turned", "small", "blurred", "dark", "low_score"]
"""Turned away by more than a threshold, too few pixels, out of focus or moving, too little light or contrast, or no smoothed
score that reaches ``min_confidence``."""

REASON_WORDS: Mapping[UncertainReason, str] = {
    "turned": "turned away", "small": "too small", "blurred": "blurred", "dark": "too dark", "low_score": "low score",
}  # fmt: skip


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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "a pose"))

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
        """
        return cls(*map(fields.number, ("yaw", "pitch", "roll", "age")))


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be seen. All but ``size`` are measured on the crop of the face, in grey, as it was cut from the
    frame: before its contrast is stretched for the classifier.

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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "a quality"))

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
        """
        return cls(*map(fields.number, ("size", "sharpness", "brightness", "contrast")))


@dataclass(frozen=True, slots=True)
class Scores:
    """A distribution over the model's classes.

    Attributes:
        label: The class with the largest score, or ``UNCERTAIN``.
        scores: The probability of each class by its name; they sum to 1.
    """

    label: str
    scores: Mapping[str, float] = field(hash=False)

    @property
    def confidence(self) -> float:
        """The score of the label; where that is ``UNCERTAIN`` the largest score."""
        return self.scores[self.label] if self.label in self.scores else max(self.scores.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, scores to five decimals."""
        return {"label": self.label, "scores": {name: round(value, 5) for name, value in self.scores.items()}}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "scores"))

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
        """
        return cls(fields.text("label"), fields.numbers_by_name("scores"))


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
    scores: Mapping[str, float] = field(hash=False)
    smoothed: Scores
    reason: UncertainReason | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, scores to five decimals; ``reason`` is left out where it is ``None``."""
        reading = {**Scores(self.label, self.scores).to_dict(), "smoothed": self.smoothed.to_dict()}
        return reading if self.reason is None else {**reading, "reason": self.reason}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "a reading"))

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
        """
        read, smoothed = Scores.from_fields(fields), Scores.from_fields(fields.part("smoothed"))
        reason = cast(UncertainReason | None, fields.optional("reason", fields.text))  # a later version may know others
        return cls(read.label, read.scores, smoothed, reason)


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
    values: Mapping[str, float] = field(hash=False)
    smoothed: Mapping[str, float] = field(hash=False)

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

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``.

        Args:
            given: What it gave.

        Raises:
            UsageError: It is something else.
        """
        return cls.from_fields(JsonFields(given, "the reading of a head"))

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Self:
        """As ``from_dict``, of a part of a larger object, whose errors name its place.

        Args:
            fields: What ``to_dict`` gave.
        """
        kind = cast(HeadKind, fields.text("kind", get_args(HeadKind)))
        return cls(kind, fields.numbers_by_name("values"), fields.numbers_by_name("smoothed"))


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
