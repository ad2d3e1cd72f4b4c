"""How one face has looked, and whether it still is the same one."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.tracking.appearance import MEAN_DIRECTION, similarity

_MAX_LOOKS = 5
_KNOWN_LOOK = 0.8
"""Similarity from which an appearance is nothing new."""

_WINDOW = 2.0
"""Seconds within which one face may dissolve into another."""

_STEP = 0.08
"""Seconds from one look that is remembered for that to the next, at least."""

_MAX_RECENT = 64
"""Looks that are remembered for that: of the last 15 seconds where one frame in six of 25 a second is searched."""

_UNLIKE = 0.4
"""Similarity below which one face may have dissolved into another."""

_RESIDUAL = 0.5
"""What no mixture of the two explains of a look between them, of norm 1: a detector frames a mixture differently."""

_MIXED = 0.4
"""Weight of the weaker of the two from which a look is a mixture: of norm 1, so that half of each weighs 0.7 or less. A turning
face looks like a mixture of its first and last look, too, but more like the one than the other."""

_STILL = 0.9
"""Similarity of two looks in a row of a face that keeps still, as a photograph does before it dissolves."""

_AGAIN = 0.4
"""Similarity with a look from before from which a face that seems to have dissolved into another has only moved. Of random
pairs 91 % are less alike."""

_Look: TypeAlias = tuple[float, NDArray[np.float32]]
"""When it was seen, and the appearance."""


class Looks:
    """How one face has looked, in a few vectors that differ: a face that has turned is still like one of them.

    Only sure ones are kept for long: one of a face that is half hidden is like any other behind the same thing. An image in
    the frame may dissolve into another, where each look is much like the one before it, and in the end like another person:
    the looks between are recognised as mixtures, and do not count.
    """

    def __init__(self) -> None:
        self._sure: deque[_Look] = deque(maxlen=_MAX_LOOKS)
        self._last: _Look | None = None
        self._recent: deque[_Look] = deque(maxlen=_MAX_RECENT)

    def add(self, vector: NDArray[np.float32], sure: bool, timestamp: float) -> None:
        """Remember an appearance, in place of the last one; a ``sure`` one for longer where it is unlike the others."""
        self._last = (timestamp, vector)
        if sure and max((similarity(vector, other) for _, other in self._sure), default=0.0) < _KNOWN_LOOK:
            self._sure.append(self._last)
        if not self._recent or abs(timestamp - self._recent[-1][0]) >= _STEP:
            self._recent.append(self._last)

    def forget_since(self, timestamp: float) -> None:
        """Forget what was seen after a time: mixtures are as alike to the one face as to the other."""
        self._sure = deque((look for look in self._sure if look[0] <= timestamp), maxlen=_MAX_LOOKS)
        self._recent = deque((look for look in self._recent if look[0] <= timestamp), maxlen=_MAX_RECENT)
        if self._last is not None and self._last[0] > timestamp:
            self._last = None

    def similarity(self, vector: NDArray[np.float32], timestamp: float) -> float:
        """Return how much a face looks like this one.

        Args:
            vector: Its appearance.
            timestamp: When it is seen, seconds.

        Returns:
            The largest similarity with what is remembered, in [0, 1]. Where the face has dissolved into this one, that with
            what was seen before, and 0 if that is small.
        """
        since = self._dissolving_since(vector, timestamp)
        known = [*self._sure, self._last] if self._last is not None else self._sure
        if since is None:
            return max((similarity(vector, other) for _, other in known), default=0.0)
        before = max((similarity(vector, other) for seen, other in [*self._recent, *known] if seen <= since), default=0.0)
        return before if before >= _AGAIN else 0.0

    def _dissolving_since(self, vector: NDArray[np.float32], timestamp: float) -> float | None:
        """Since when the face has become another one through mixtures of the two; None if it has not."""
        recent = [look for look in self._recent if 0 < timestamp - look[0] <= _WINDOW]
        if len(recent) < 3:
            return None
        looks = np.stack([look for _, look in recent])
        still = np.einsum("mn,mn->m", looks[:-2], looks[1:-1]) >= _STILL
        starts = 1 + np.flatnonzero(still & (looks[1:-1] @ vector < _UNLIKE))
        mixed = starts[_are_mixtures(looks, vector, starts)]
        return recent[int(mixed[0])][0] if mixed.size else None


def _are_mixtures(looks: NDArray[np.float32], last: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """For each of ``starts`` (s,) whether all looks (m, n) after it are mixtures of that one and ``last``, and one of both.

    What the mean face adds to a mixture depends on the contrast of the two, so that it counts for nothing.
    """
    ends = np.stack([looks[starts], *np.broadcast_arrays(last, MEAN_DIRECTION, looks[starts])[:2]], axis=1).astype(np.float64)
    gram = ends @ ends.transpose(0, 2, 1) + 1e-9 * np.eye(3)
    projections = ends @ looks.T.astype(np.float64)
    weights = np.linalg.solve(gram, projections)
    residual = np.einsum("mn,mn->m", looks, looks) - np.einsum("skm,skm->sm", weights, projections)
    after = np.arange(len(looks)) > starts[:, None]
    explained = (residual < _RESIDUAL * _RESIDUAL) | ~after
    mixed = (weights[:, :2].min(axis=1) > _MIXED) & after
    return np.asarray(explained.all(axis=1) & mixed.any(axis=1))
