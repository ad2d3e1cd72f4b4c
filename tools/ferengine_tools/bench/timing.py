"""How much processor time a piece of work takes.

Processor time of this process, not time on the clock: what else runs on the machine then hardly matters, and a library
that keeps several threads busy is charged for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SHORTEST = 2e-3
"""Seconds that one sample takes at least, so that reading the clock does not count."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of a unit of work.

    Attributes:
        seconds: Processor time, the median of all samples.
        spread: Half the distance between the quartiles, divided by the median.
    """

    seconds: float
    spread: float


def timing(
    work: Callable[[], object],
    *,
    units: int = 1,
    setup: Callable[[], object] | None = None,
    seconds: float = 1.0,
    least: int = 7,
) -> Timing:
    """Time a piece of work.

    Args:
        work: What is timed.
        units: How many units of work a call does.
        setup: Called before each call of ``work``, and not counted; without it short work is repeated within a sample.
        seconds: How long to measure, seconds.
        least: The minimum number of samples.
    """
    _sample(work, setup, 1)
    repeats = 1
    while setup is None and _sample(work, None, repeats) < _SHORTEST:
        repeats *= 2
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < least or time.perf_counter() < end:
        samples.append(_sample(work, setup, repeats) / (repeats * units))
    low, median, high = np.percentile(samples, (25, 50, 75))
    return Timing(float(median), float((high - low) / 2 / median) if median > 0 else 0.0)


def _sample(work: Callable[[], object], setup: Callable[[], object] | None, repeats: int) -> float:
    if setup is not None:
        setup()
    started = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - started
