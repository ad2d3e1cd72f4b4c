"""Where faces are to be blurred: also in the frames before they were found, and for a while after they are lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from ferengine.results import Box, FrameResult

_MARGIN = 0.25
"""Of a face's sides, added on each side of its box: hair and chin make it known, too."""

_GROWTH = 0.05
"""Added for each frame between the one that the box is from and the one that it is blurred in: the face may have moved."""

_LATE = 2
"""Times as many frames are held back at most while no detection says that the oldest may go."""

T = TypeVar("T")


def blur_region(box: Box) -> Box:
    """Return what to blur of a face in the image that it was found in: its box with a margin, x, y, w, h in pixels."""
    return _grown(box, 0)


@dataclass(slots=True)
class _Held(Generic[T]):
    item: T
    frame: int
    whole: Box
    boxes: list[Box]
    searched: bool = False


class BlurPlan(Generic[T]):
    """Holds the frames of a camera back for as long as a face in them may still be found.

    A face that comes into view is found at the next scheduled detection only, so it is blurred at its first box in the frames
    that are still held back, too. A face that is lost stays blurred at its last box for as many frames. The boxes grow with the
    number of frames that lie between. A face that no detection finds is not blurred.

    A detection may be late, and the last frames of a source have none after them. A frame waits for up to twice as many frames
    until one was searched that is not older; if it has to go before, the whole of it is blurred.

    Args:
        frames: How many frames are held back at least.

    Example:
        >>> from ferengine.results import Face, Timings
        >>> plan = BlurPlan(frames=1)
        >>> timings, face = Timings(0, 0, 0, 0, 0), Face(1, (100, 100, 40, 40), 1.0, 1.0, "detected", None, None)
        >>> plan.add("first", FrameResult("door", 0, 0.0, 0.0, (), timings, searched=0), (640, 480))
        []
        >>> plan.add("second", FrameResult("door", 1, 0.1, 0.0, (face,), timings, searched=1), (640, 480))
        [('first', [(88.0, 88.0, 64.0, 64.0)])]
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._held: deque[_Held[T]] = deque()
        self._last: dict[int, tuple[int, Box]] = {}  # of each track: how many frames ago, and where
        self._whole = 0

    def add(self, item: T, result: FrameResult, size: tuple[int, int]) -> list[tuple[T, list[Box]]]:
        """Add a frame with its faces.

        Args:
            item: What to return for the frame, such as its image.
            result: The frame's. Faces without a track are blurred in this frame alone.
            size: Width and height of the image, pixels.

        Returns:
            The frames that are held back no longer, oldest first, each with the boxes to blur in it, pixels.
        """
        seen = {track: (age + 1, box) for track, (age, box) in self._last.items() if age < self._frames}
        untracked = []
        for face in result.to_blur:
            if face.track is None:
                untracked.append(_grown(face.box, 0))
                continue
            if face.track not in seen or seen[face.track][0] > 1:  # it was not in the frame before
                for distance, earlier in enumerate(reversed(self._held), 1):
                    earlier.boxes.append(_grown(face.box, distance))
            seen[face.track] = (0, face.box)
        self._last = seen
        boxes = [_grown(box, age) for age, box in seen.values()] + untracked
        self._held.append(_Held(item, result.frame, (0.0, 0.0, float(size[0]), float(size[1])), boxes))
        for held in self._held:
            held.searched |= held.frame <= result.searched
        done = []
        while len(self._held) > self._frames and (self._held[0].searched or len(self._held) > _LATE * self._frames):
            done.append(self._pop())
        return done

    def flush(self) -> list[tuple[T, list[Box]]]:
        """All frames that are still held back: no more come."""
        return [self._pop() for _ in range(len(self._held))]

    def take_whole(self) -> int:
        """How many frames had to be blurred as a whole since this was last asked."""
        count, self._whole = self._whole, 0
        return count

    def _pop(self) -> tuple[T, list[Box]]:
        held = self._held.popleft()
        self._whole += not held.searched
        return held.item, held.boxes if held.searched else [held.whole]


def _grown(box: Box, frames: int) -> Box:
    x, y, w, h = box
    by = _MARGIN + _GROWTH * frames
    return x - by * w, y - by * h, (1 + 2 * by) * w, (1 + 2 * by) * h
