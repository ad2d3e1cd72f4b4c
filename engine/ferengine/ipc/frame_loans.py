"""Images on loan to consumers in the engine's own process: views into the frame rings, not copies.

A consumer of images is one more reader of every frame ring: frames captured from then on carry its bit in their hold
mask, and their slots are not used again before it releases them. Its queue and the image in its hand get slots of
their own in each ring, so that it takes none from tracking or from others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FrameRing
from ferengine.errors import UsageError

MAX_WAITING = 32
"""Results with images that may wait in the queue of one consumer."""

_MAX_READERS = 32


class FrameLoan:
    """One image in one slot of a ring, until it is released."""

    __slots__ = ("_lock", "_reader", "_ring", "_slot")

    def __init__(self, ring: FrameRing, slot: int, reader: int) -> None:
        self._ring: FrameRing | None = ring
        self._slot = slot
        self._reader = reader
        self._lock = threading.Lock()

    def image(self) -> NDArray[np.uint8]:
        """A read-only view, BGR uint8 (H, W, 3).

        It keeps the memory mapped, so that reading it after ``release`` is harmless, but shows a later frame then.
        Raises ValueError after ``release``.
        """
        if self._ring is None:
            raise ValueError("the image was released already")
        return self._ring.frame(self._slot)

    def release(self) -> None:
        """Free the slot; once only, however often it is called."""
        with self._lock:
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.release(self._slot, self._reader)


class FrameReader:
    """A consumer of images as the frame rings see it.

    Args:
        reader: Its bit in the hold masks.
        waiting: Images that may wait in its queue. One more may be in its hand, so it may keep ``slots`` of each ring.
        cameras: The names of the cameras that it wants, ``None`` for all.
    """

    def __init__(self, reader: int, waiting: int, cameras: frozenset[str] | None) -> None:
        self.reader = reader
        self.slots = waiting + 1
        self._cameras = cameras

    def wants(self, camera: str) -> bool:
        return self._cameras is None or camera in self._cameras

    def borrow(self, ring: FrameRing | None, slot: int, sequence: int) -> FrameLoan | None:
        """The image of frame ``sequence``, ``None`` where it was captured before this consumer came."""
        if ring is None or (sequence, slot) not in ring.held(self.reader):
            return None
        return FrameLoan(ring, slot, self.reader)

    def release_skipped(self, rings: Iterable[FrameRing], after: int, before: int) -> None:
        """Release the frames between two that were tracked: no result will be made of them."""
        for ring in rings:
            for sequence, slot in ring.held(self.reader):
                if after < sequence < before:
                    ring.release(slot, self.reader)


class ReaderIds:
    """Hands out the bits of the hold masks, and clears up behind the readers that have left.

    Args:
        first: The first bit that may be handed out; those before have readers of their own.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._used: set[int] = set()
        self._left: set[int] = set()

    def take(self) -> int:
        """A free bit. Raises UsageError when all are in use."""
        free = [reader for reader in range(self._first, _MAX_READERS) if reader not in self._used]
        if not free:
            raise UsageError(
                f"{len(self._used)} consumers have images on loan already, which is the maximum: share one, or cancel one"
            )
        self._used.add(free[0])
        self._left.discard(free[0])
        return free[0]

    def release(self, reader: int) -> None:
        """The reader has left."""
        self._used.discard(reader)
        self._left.add(reader)

    def clear_up(self, rings: Iterable[FrameRing]) -> None:
        """Release what capture published for a reader that had just left."""
        for ring in rings:
            for reader in self._left:
                ring.clear_reader(reader)
