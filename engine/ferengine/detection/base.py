"""The interface of a face detector."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError, shown

MIN_WIDTH = 12
"""Width of the smallest face that a detector may be asked for, pixels."""

Frame = NDArray[np.uint8]
"""BGR (H, W, 3); it may be read-only and its rows may be padded."""

Near = NDArray[np.float32]
"""Boxes of faces known from before: (n, 4), x, y, w, h in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The n faces of one frame, best score first. Equal ones have the same numbers.

    Attributes:
        boxes: float32 (n, 4), x, y, w, h in pixels, as the detector regressed them; they may leave the frame.
        scores: float32 (n,), in [0, 1].
        landmarks: float32 (n, 5, 2), x, y in pixels of the left eye, right eye (as the viewer sees them), nose, left and right
            mouth corner; None where the detector has none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.boxes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        one, two = self.landmarks, other.landmarks
        landmarks = one is two or (one is not None and two is not None and np.array_equal(one, two))
        return landmarks and np.array_equal(self.boxes, other.boxes) and np.array_equal(self.scores, other.scores)

    @staticmethod
    def none(*, landmarks: bool = True) -> Detections:
        """No face at all.

        Args:
            landmarks: Whether the detector finds landmarks: then they are empty rather than ``None``.
        """
        return Detections(
            np.empty((0, 4), np.float32),
            np.empty(0, np.float32),
            np.empty((0, 5, 2), np.float32) if landmarks else None,
        )


class Detector(Protocol):
    """Finds the faces of frames. Knows nothing of processes; not thread-safe.

    A detector of your own may derive from this class: it must have ``detect`` then and inherits what suits one that takes a
    frame at a time and holds no device.
    """

    @abstractmethod
    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        """The faces of one frame.

        Args:
            frame: BGR uint8 (H, W, 3); rows may be padded.
            near: Boxes of faces known from before. With them a detector may search their surroundings alone.

        Returns:
            All faces, or with ``near`` at least those around these boxes.

        Raises:
            UsageError: Another array was given.
            FerengineError: Something that the detector needs failed.
        """
        ...

    def detect_many(self, frames: Sequence[Frame], near: Sequence[Near | None] | None = None) -> list[Detections]:
        """The faces of several frames, of whatever sizes.

        Args:
            frames: As of ``detect``.
            near: For each frame what ``detect`` takes.

        Returns:
            What ``detect`` returns, for each frame.

        Raises:
            UsageError: As ``detect``, or ``near`` has another length than ``frames``.
            FerengineError: As ``detect``.
        """
        return [self.detect(frame, boxes) for frame, boxes in zip(frames, paired(frames, near), strict=False)]

    @property
    def preferred_batch(self) -> int:
        """How many frames at a time ``detect_many`` gains from; 1 where it gains nothing."""
        return 1

    def close(self) -> None:
        """Release the device, if there is one. Nothing but ``close`` may be called afterwards."""
        return


def paired(frames: Sequence[Frame], near: Sequence[Near | None] | None) -> Sequence[Near | None] | repeat[None]:
    """The boxes near which each frame is searched.

    Raises:
        UsageError: ``near`` has another length than ``frames``.
    """
    if near is None:
        return repeat(None)
    if len(near) != len(frames):
        raise UsageError(f"near must hold one item a frame: {len(near)} for {len(frames)} frames")
    return near


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_min_face(min_face: Any) -> None:
    """Raise UsageError for what is no width of a face to look for."""
    if not (is_number(min_face) and min_face >= MIN_WIDTH):
        raise UsageError(f"min_face must be at least {MIN_WIDTH} pixels, not {shown(min_face)}")
