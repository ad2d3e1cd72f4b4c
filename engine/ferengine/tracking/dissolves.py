"""Dissolves: scenes that pass into one another over some frames, so that no frame is unlike the one before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WINDOW = 1.6
"""Seconds over which frames are compared."""

_STEP = 0.03
"""Seconds from one frame that is remembered to the next, at least."""

_UNLIKE = 0.65
"""Correlation of two frames below which there may be a dissolve between them: of unlike scenes when the second one is just the
stronger. A higher one would find the same dissolve twice."""

_RESIDUAL = 0.25
"""What no mixture of the two explains of a frame between them, as a fraction of it. On eleven real clips, with pans, walking
crowds and hand-held film, frames as unlike are at least 0.38 apart from any mixture."""

_SUM = 0.06
"""By how much the weights of the two may miss a sum of 1. In a pan over something out of focus, whose frames are nearly
mixtures, those in the middle miss it by 0.09: they are no fainter than the others."""

_MIXED = 0.15
"""Weight of the weaker of the two from which a frame is a mixture."""

_MIN_MIXTURES = 2

_PARALLEL = 0.95
"""Square of the correlation from which two frames are one and its negative: everything between is a mixture."""


_CAPACITY = round(_WINDOW / _STEP) + 1


class Dissolves:
    """Finds dissolves by what they are: each frame is a weighted sum of the one before and of the one after.

    Where a camera pans, or something moves, it is not. Not thread-safe.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._quiet_until = -np.inf
        self._samples = np.empty((2 * _CAPACITY, 0), np.float32)
        self._norms = np.empty(2 * _CAPACITY, np.float32)
        self._end = 0  # of the samples; the last len(self._times) before it count

    def clear(self) -> None:
        """Forget what was seen: the scene has changed at once."""
        self._times, self._quiet_until, self._end = [], -np.inf, 0

    def update(self, sample: NDArray[np.float32], norm: float, timestamp: float) -> float | None:
        """Look at a frame.

        Args:
            sample: Intensities of the frame, float32 (n,), of which the mean has been taken off.
            norm: Of the sample, more than 0.
            timestamp: Its time in seconds.

        Returns:
            Since when another scene has been dissolving into the one before; None if none has, or it is still the weaker one.
        """
        jumped = self._times and not 0 <= timestamp - self._times[-1] <= _WINDOW
        if jumped or self._quiet_until - timestamp > _WINDOW:
            self.clear()
        if timestamp < self._quiet_until or (self._times and timestamp - self._times[-1] < _STEP):
            return None
        if self._samples.shape[1] != len(sample):
            self.clear()
            self._samples = np.empty((2 * _CAPACITY, len(sample)), np.float32)
        since = self._since(sample, norm, timestamp)
        if since is not None:
            self.clear()
            self._quiet_until = timestamp + _WINDOW  # the rest of it is no other one
            return since
        self._append(sample, norm, timestamp)
        return None

    def _append(self, sample: NDArray[np.float32], norm: float, timestamp: float) -> None:
        if len(self._times) == _CAPACITY:
            self._times.pop(0)
        if self._end == 2 * _CAPACITY:  # once in _CAPACITY frames: the rest is moved to the front
            kept, self._end = len(self._times), len(self._times)
            self._samples[:kept], self._norms[:kept] = self._samples[-kept:], self._norms[-kept:]
        self._samples[self._end], self._norms[self._end] = sample, norm
        self._times.append(timestamp)
        self._end += 1

    def _since(self, sample: NDArray[np.float32], norm: float, timestamp: float) -> float | None:
        count = len(self._times)
        if count <= _MIN_MIXTURES:
            return None
        samples, norms = (values[self._end - count : self._end] for values in (self._samples, self._norms))
        unlike = samples @ sample < _UNLIKE * norm * norms
        for index in np.flatnonzero(unlike[:-_MIN_MIXTURES]).tolist():
            if timestamp - self._times[index] <= _WINDOW and _are_mixtures(samples[index], sample, samples[index + 1 :]):
                return self._times[index]
        return None


def _are_mixtures(first: NDArray[np.float32], last: NDArray[np.float32], between: NDArray[np.float32]) -> bool:
    """Whether frames (m, n) are weighted sums of two others, and some of both."""
    ends = np.stack([first, last])
    gram, projections = ends @ ends.T, between @ ends.T
    if float(gram[0, 1]) ** 2 > _PARALLEL * float(gram[0, 0]) * float(gram[1, 1]):
        return False
    weights = np.linalg.solve(gram, projections.T).T
    energy = np.einsum("mn,mn->m", between, between)
    residual = energy - np.einsum("mk,mk->m", weights, projections)
    if (residual > _RESIDUAL * _RESIDUAL * energy).any() or (np.abs(weights.sum(axis=1) - 1) > _SUM).any():
        return False
    return int((weights.min(axis=1) > _MIXED).sum()) >= _MIN_MIXTURES
