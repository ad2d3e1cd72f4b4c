"""The class prior of one camera, estimated from what it shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.models.settings import Prior

MEMORY = 3600.0
"""Seconds with faces after which what was seen counts e times less."""
_INTERVAL = 1.0
"""Seconds between steps: the faces of one interval count as one observation, so that frame rates and crowds do not matter."""
MAX_FACTOR = 4.0
"""Times that a probability may rise above, or fall below, the one that it started from."""
_STEP = _INTERVAL / MEMORY


class AdaptivePrior:
    """Reads one camera's faces under a prior that follows the frequencies of their classes.

    The frequencies that make the faces most likely are found by expectation-maximisation: M. Saerens, P. Latinne, C.
    Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14 (2002), section
    2.2. It is done on-line, one step for each second with faces, with a constant step size that forgets exponentially: O.
    Cappé, E. Moulines, "On-line expectation-maximization algorithm for latent data models", JRSS B 71 (2009), section 2.2. Its
    memory is one number for each class. Time without faces changes nothing.

    Every face counts that can be read, also one whose scores are too low for a label: all of what it says is taken, and the
    sure faces alone would favour the classes that are read surely. Faces that are turned away, small, dark or blurred do not
    count. The method asks that the faces of each class look as those that the classifier learned from, and of these the
    estimate is wrong: 42 % of the ordinary faces are happy, and scaled to 10 pixels it says 63 %.

    No probability leaves the range from 1/4 to 4 times where it started, so that a camera before which one person has laughed
    for hours still reads other expressions when they come. Not thread-safe.

    Args:
        start: What the scores are under, and what the estimate starts from.

    Example:
        >>> prior = AdaptivePrior(Prior("everyday", ("calm", "loud"), (0.5, 0.5)))
        >>> for second in range(7200):
        ...     scores = prior.read(np.array([0.9, 0.1], np.float32))
        ...     prior.note_time(float(second))
        >>> prior.probabilities.round(2)
        array([0.88, 0.12])
    """

    def __init__(self, start: Prior) -> None:
        self._start = np.array(start.probabilities)
        self._seen = self._start / self._start.sum()
        self._ratio = np.ones(len(self._start), np.float32)
        self._sum = np.zeros(len(self._start))
        self._count = 0
        self._stepped: float | None = None

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The prior in force, float64 (classes,), sum 1; from any thread."""
        found = self._start * self._ratio
        return np.asarray(found / found.sum())

    def read(self, scores: NDArray[np.float32], *, counts: bool = True) -> NDArray[np.float32]:
        """One face under the prior in force.

        Args:
            scores: Its probabilities under ``start``, finite, float32 (classes,).
            counts: Whether it can be read, and so tells of the frequencies.

        Returns:
            Those under the prior in force, float32 (classes,), sum 1.
        """
        weighted = scores * self._ratio
        weighted /= weighted.sum()
        if counts:
            self._sum += weighted
            self._count += 1
        return weighted

    def note_time(self, timestamp: float) -> None:
        """The faces of a frame have been read.

        Args:
            timestamp: Media time of the frame, seconds. One that runs backwards starts the second again.
        """
        if not self._count or (self._stepped is not None and 0 <= timestamp - self._stepped < _INTERVAL):
            return
        self._stepped = timestamp
        self._seen += _STEP * (self._sum / self._count - self._seen)
        self._sum[:], self._count = 0, 0
        self._ratio = (limited(self._seen, self._start, MAX_FACTOR) / self._start).astype(np.float32)


def limited(frequencies: NDArray[np.float64], start: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Frequencies that do not leave their limits.

    Args:
        frequencies: (C,), not negative, at least one above 0.
        start: (C,), above 0, sum 1.
        factor: How far from ``start``, above 1.

    Returns:
        (C,), sum 1, each from ``start`` / ``factor`` to ``start`` * ``factor``: the frequencies times one common number, cut
        off at these limits.
    """
    low, high = start / factor, start * factor
    above = np.maximum(frequencies, 1e-9 * start)  # what was never seen keeps its proportions
    scales = np.sort(np.concatenate([low / above, high / above]))  # between these the sum is a straight line
    sums = np.clip(scales[:, None] * above, low, high).sum(axis=1)
    limited: NDArray[np.float64] = np.clip(np.interp(1.0, sums, scales) * above, low, high)
    return limited
