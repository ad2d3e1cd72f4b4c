"""Smoothing of scores along a track."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.track_memory import TrackMemory
from ferengine.errors import UsageError


class Smoother:
    """Exponential smoothing with a time constant, whatever the frame rate: y += (1 - exp(-dt / tau)) (x - y).

    Args:
        time_constant: tau in seconds; 0 for no smoothing.
        classes: The length of the score vectors.

    Raises:
        UsageError: The time constant is negative or not finite.

    Example:
        >>> smoother = Smoother(1.0, classes=2)
        >>> first = smoother.update(track=1, timestamp=0.0, scores=np.array([1, 0], np.float32))
        >>> smoother.update(track=1, timestamp=1.0, scores=np.array([0, 1], np.float32)).round(2)
        array([0.37, 0.63], dtype=float32)
    """

    def __init__(self, time_constant: float, classes: int) -> None:
        if not (math.isfinite(time_constant) and time_constant >= 0):
            raise UsageError(f"the time constant of smoothing is a number of seconds from 0, not {time_constant}")
        self._tau = time_constant
        self._classes = classes
        self._tracks: TrackMemory[NDArray[np.float32]] = TrackMemory()

    def __len__(self) -> int:
        return len(self._tracks)

    def update(self, track: int, timestamp: float, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add a face's scores to its track.

        A track seen for the first time, or whose time runs backwards, starts again with ``scores``.

        Args:
            track: The track's id.
            timestamp: Media time, seconds.
            scores: float32 (classes,).

        Returns:
            The smoothed scores, float32 (classes,), which sum to what scores do.

        Raises:
            UsageError: The scores have another shape.
        """
        if scores.shape != (self._classes,):
            raise UsageError(f"scores must have shape ({self._classes},), not {scores.shape}")
        last = self._tracks.get(track, timestamp)
        smoothed = scores.astype(np.float32)
        if last is not None and self._tau > 0:
            weight = -math.expm1(-last[0] / self._tau)
            smoothed = (last[1] + weight * (scores - last[1])).astype(np.float32)
        self._tracks.put(track, timestamp, smoothed)
        return smoothed
