"""What is remembered of each track from one frame to the next."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

_FORGET_AFTER = 30.0
"""Seconds of media time after which an unseen track is forgotten: far longer than any tracker waits for a lost face."""

T = TypeVar("T")


class TrackMemory(Generic[T]):
    """One value a track. A new track, or one whose time runs backwards, has none; tracks unseen for long are forgotten."""

    def __init__(self) -> None:
        self._tracks: dict[int, tuple[float, T]] = {}
        self._swept = -math.inf

    def __len__(self) -> int:
        return len(self._tracks)

    def get(self, track: int, timestamp: float) -> tuple[float, T] | None:
        """The age in seconds of the value of ``track`` at ``timestamp`` (media time, seconds), and the value."""
        last = self._tracks.get(track)
        return None if last is None or timestamp < last[0] else (timestamp - last[0], last[1])

    def put(self, track: int, timestamp: float, value: T) -> None:
        """Remember ``value`` as that of ``track`` at ``timestamp``."""
        if not 0 <= timestamp - self._swept < _FORGET_AFTER:
            self._swept = timestamp
            self._tracks = {key: kept for key, kept in self._tracks.items() if abs(timestamp - kept[0]) < _FORGET_AFTER}
        self._tracks[track] = (timestamp, value)
