"""Which parts of a frame RetinaFace searches for faces that are known from before, and how small it makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections, Near
from ferengine.errors import UsageError

KNOWN = 80.0
"""Side to which a larger known face is scaled down in the network's input, pixels. Of 52 faces of 90 pixels and more it finds
50, as many as without it and with as good boxes; at 64 it finds 49, at 48 it finds 47."""

_MARGIN = 1.0
"""Searched on each side of a known face, in units of its longer side."""

_RUN = 6000
"""What starting the network costs, in pixels of its input."""

_WORTH = 0.5
"""Fraction of the whole frame's cost from which that is searched instead."""

_MAX_KNOWN = 32


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a frame: its edges in pixels, and by what it is scaled."""

    left: int
    top: int
    right: int
    bottom: int
    scale: float

    @property
    def cost(self) -> float:
        """Pixels of the network's input, or what takes as long."""
        return _RUN + (self.right - self.left) * (self.bottom - self.top) * self.scale**2

    def with_other(self, other: Part) -> Part:
        """The smallest part that holds both."""
        return Part(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            max(self.scale, other.scale),
        )


def parts_near(near: Near, width: int, height: int, scale: float) -> list[Part]:
    """The surroundings of known faces; those whose union costs less are joined.

    Args:
        near: Boxes (n, 4): x, y, w, h in pixels.
        width: Of the frame.
        height: Of the frame.
        scale: What the whole frame would be scaled by.

    Returns:
        None of them where the whole frame is to be searched: it is hardly dearer, or nothing known is in it.

    Raises:
        UsageError: ``near`` has another shape, or values that are not finite.
    """
    boxes = np.asarray(near, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise UsageError("near must hold finite boxes of shape (n, 4): x, y, w, h")
    if len(boxes) > _MAX_KNOWN:
        return []
    sides = boxes[:, 2:].max(axis=1, keepdims=True)
    first = np.clip(boxes[:, :2] - _MARGIN * sides, 0, (width, height)).astype(int)
    last = np.clip(np.ceil(boxes[:, :2] + boxes[:, 2:] + _MARGIN * sides), 0, (width, height)).astype(int)
    parts: list[Part] = []
    for side, (left, top), (right, bottom) in zip(sides[:, 0].tolist(), first.tolist(), last.tolist(), strict=True):
        if side > 0 and left < right and top < bottom:
            _add(parts, Part(left, top, right, bottom, min(scale, KNOWN / side)))
    whole = Part(0, 0, width, height, scale)
    return parts if sum(part.cost for part in parts) < _WORTH * whole.cost else []


def _add(parts: list[Part], part: Part) -> None:
    """Add a part to a list, joined with those of it where that costs less."""
    for other in parts:
        joined = part.with_other(other)
        if joined.cost <= part.cost + other.cost:
            parts.remove(other)
            _add(parts, joined)
            return
    parts.append(part)


def whole_faces(found: Detections, part: Part, width: int, height: int) -> Detections:
    """Those of the faces found in a part of a frame that its edges do not cut; the edges of the frame itself may."""
    near, far = found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]
    low = np.array([part.left if part.left > 0 else -np.inf, part.top if part.top > 0 else -np.inf])
    high = np.array([part.right if part.right < width else np.inf, part.bottom if part.bottom < height else np.inf])
    kept = ((near >= low) & (far <= high)).all(axis=1)
    return Detections(found.boxes[kept], found.scores[kept], None if found.landmarks is None else found.landmarks[kept])


def joined(found: Sequence[Detections], overlap: float) -> Detections:
    """The faces of several parts of one frame, best first; of those that overlap by more than ``overlap`` the best."""
    boxes, scores = (np.concatenate([getattr(each, name) for each in found]) for name in ("boxes", "scores"))
    landmarks = np.concatenate([each.landmarks for each in found if each.landmarks is not None])
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for index in order.tolist():
        if not kept or _overlaps(boxes[index], boxes[kept]).max() <= overlap:
            kept.append(index)
    return Detections(boxes[kept], scores[kept], landmarks[kept])


def _overlaps(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The IoU of a box with others (n, 4)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    return np.asarray(both / (box[2:].prod() + others[:, 2:].prod(axis=1) - both), np.float32)
