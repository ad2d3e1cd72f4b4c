"""Where faces are to be blurred: also in the frames before they were found, and for a while after they are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ferengine.results import Box, Face, IgnoredFace

_MARGIN = 0.25
"""Of a face's sides, added on each side of its box: hair and chin make it known, too."""

_GROWTH = 0.05
"""Added for each frame between the one that the box is from and the one that it is blurred in: the face may have moved."""

T = TypeVar("T")


@dataclass(slots=True)
class _Held(Generic[T]):
    item: T
    boxes: list[Box]


class BlurPlan(Generic[T]):
    """Holds the frames of a camera back for as long as a face in them may still be found.

    A face that comes into view is found at the next scheduled detection only, so it is blurred at its first box in the frames
    that are still held back, too. A face that is lost stays blurred at its last box for as many frames. The boxes grow with the
    number of frames that lie between. A face that no detection finds is not blurred.

    Args:
        frames: How many frames are held back.

    Example:
        >>> plan = BlurPlan(frames=1)
        >>> plan.add("first", [])
        []
        >>> face = Face(1, (100, 100, 40, 40), 1.0, 1.0, "detected", None, None)
        >>> plan.add("second", [face])
        [('first', [(88.0, 88.0, 64.0, 64.0)])]
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._held: deque[_Held[T]] = deque()
        self._last: dict[int, tuple[int, Box]] = {}  # of each track: how many frames ago, and where

    def add(self, item: T, faces: Iterable[Face | IgnoredFace]) -> list[tuple[T, list[Box]]]:
        """Add a frame with its faces.

        Args:
            item: What to return for the frame, such as its image.
            faces: ``FrameResult.to_blur``. Those without a track are blurred in this frame alone.

        Returns:
            The frames that are held back no longer, oldest first, each with the boxes to blur in it, pixels.
        """
        seen = {track: (age + 1, box) for track, (age, box) in self._last.items() if age < self._frames}
        untracked = []
        for face in faces:
            if face.track is None:
                untracked.append(_grown(face.box, 0))
                continue
            if face.track not in seen or seen[face.track][0] > 1:  # it was not in the frame before
                for distance, earlier in enumerate(reversed(self._held), 1):
                    earlier.boxes.append(_grown(face.box, distance))
            seen[face.track] = (0, face.box)
        self._last = seen
        self._held.append(_Held(item, [_grown(box, age) for age, box in seen.values()] + untracked))
        return [self._pop() for _ in range(len(self._held) - self._frames)]

    def flush(self) -> list[tuple[T, list[Box]]]:
        """All frames that are still held back: no more come."""
        return [self._pop() for _ in range(len(self._held))]

    def _pop(self) -> tuple[T, list[Box]]:
        held = self._held.popleft()
        return held.item, held.boxes


def _grown(box: Box, frames: int) -> Box:
    x, y, w, h = box
    by = _MARGIN + _GROWTH * frames
    return x - by * w, y - by * h, (1 + 2 * by) * w, (1 + 2 * by) * h
