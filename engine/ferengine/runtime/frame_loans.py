"""Images lent to consumers in the engine's own process: views into the frame rings, not copies.

A consumer that wants images is one more reader of every frame ring: frames captured from then on carry its bit in
their hold mask, and their slots are not used again before it gives them back. Its queue and the image in its hand
get slots of their own in each ring, so that it takes none from tracking or from others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FrameRing
from ferengine.errors import UsageError
from ferengine.stages.messages import FIRST_LENT_READER

MAX_WAITING = 32
"""Results with images that one consumer may let wait."""

_MAX_READERS = 32


class Loan:
    """One image in one slot of a ring, until it is given back."""

    __slots__ = ("_lock", "_reader", "_ring", "_slot")

    def __init__(self, ring: FrameRing, slot: int, reader: int) -> None:
        self._ring: FrameRing | None = ring
        self._slot = slot
        self._reader = reader
        self._lock = threading.Lock()

    def image(self) -> NDArray[np.uint8]:
        """A read-only view, BGR uint8 (H, W, 3). It keeps the memory mapped, so that reading it after ``give_back``
        is harmless, but shows a later frame then."""
        if self._ring is None:
            raise ValueError("the image was given back already")
        return self._ring.frame(self._slot)

    def give_back(self) -> None:
        """Free the slot; once only, however often it is called."""
        with self._lock:
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.release(self._slot, self._reader)


class Lender:
    """One consumer's bit in the hold masks, and how many slots of each ring it may keep: the ``waiting`` images of
    its queue and the one in its hand. ``cameras``: the names that it wants, ``None`` for all."""

    def __init__(self, reader: int, waiting: int, cameras: frozenset[str] | None) -> None:
        self.reader = reader
        self.slots = waiting + 1
        self._cameras = cameras

    def wants(self, camera: str) -> bool:
        return self._cameras is None or camera in self._cameras

    def lend(self, ring: FrameRing | None, slot: int, sequence: int) -> Loan | None:
        """The image of frame ``sequence``, ``None`` where it was captured before this consumer came."""
        if ring is None or (sequence, slot) not in ring.held(self.reader):
            return None
        return Loan(ring, slot, self.reader)

    def release_skipped(self, rings: Iterable[FrameRing], after: int, before: int) -> None:
        """Let go of the frames between two that were tracked: no result will be made of them."""
        for ring in rings:
            for sequence, slot in ring.held(self.reader):
                if after < sequence < before:
                    ring.release(slot, self.reader)


class LenderBits:
    """Hands out the readers' bits that lenders use, and clears up behind those that have left."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._left: set[int] = set()

    def take(self) -> int:
        """Raises UsageError when all are in use."""
        free = [reader for reader in range(FIRST_LENT_READER, _MAX_READERS) if reader not in self._used]
        if not free:
            raise UsageError(
                f"{len(self._used)} consumers have images lent to them already, which is the most: share one, or cancel one"
            )
        self._used.add(free[0])
        self._left.discard(free[0])
        return free[0]

    def give_back(self, reader: int) -> None:
        self._used.discard(reader)
        self._left.add(reader)

    def clear_up(self, rings: Iterable[FrameRing]) -> None:
        """Release what capture published for a consumer that had just left."""
        for ring in rings:
            for reader in self._left:
                ring.clear_reader(reader)
