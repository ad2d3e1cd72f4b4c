"""The frame rings that a worker has been given: one camera's, in the order of their generations."""

from __future__ import annotations

import os

from ferengine._native import FrameRing


class CameraRings:
    """Generations of one camera's frame ring; a larger frame begins a new one, an empty closed one is let go."""

    def __init__(self) -> None:
        self._rings: dict[int, FrameRing] = {}

    def add(self, generation: int, descriptor: int) -> None:
        """Map the ring of ``generation``; ``descriptor`` is duplicated."""
        self._rings[generation] = FrameRing.attach(os.dup(descriptor))

    def __getitem__(self, generation: int) -> FrameRing:
        return self._rings[generation]

    def __contains__(self, generation: int) -> bool:
        return generation in self._rings

    def __bool__(self) -> bool:
        return bool(self._rings)

    def oldest(self) -> tuple[int, FrameRing]:
        generation = min(self._rings)
        return generation, self._rings[generation]

    def has_newer(self, generation: int) -> bool:
        return max(self._rings, default=-1) > generation

    def forget(self, generation: int) -> None:
        """Let a generation go, if it has not gone yet."""
        self._rings.pop(generation, None)

    def items(self) -> list[tuple[int, FrameRing]]:
        return sorted(self._rings.items())
