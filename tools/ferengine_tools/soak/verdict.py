"""The verdict on a long run: whether anything grew, changed or was lost without being counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ferengine.errors import UsageError
from ferengine_tools.soak.samples import ProcessSample

SMALL_MB = 1.0
"""Growth of one process, MiB, below which its percentage says nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict.

    Attributes:
        subject: What was looked at, such as "memory of track-0, MiB".
        first: Its value after the warm-up: the median over the first quarter of the rest.
        last: Its value at the end: the median over the last quarter.
        allowed: What it may come to, in words.
        passed: Whether it does.
    """

    subject: str
    first: float
    last: float
    allowed: str
    passed: bool

    @property
    def growth(self) -> float:
        """In percent of the first value."""
        return 100 * (self.last - self.first) / self.first if self.first else 0.0


def check_processes(samples: Sequence[ProcessSample], warm_up: float, growth: float) -> Iterator[Check]:
    """Look for growth.

    Args:
        samples: Of all processes, by time.
        warm_up: Seconds at the beginning that do not count.
        growth: How far memory may grow, percent.

    Yields:
        The memory of each process, of the rings and of all; descriptors and threads of all processes, and of each that changed.

    Raises:
        UsageError: There are too few samples to tell.
    """
    series: dict[str, list[ProcessSample]] = {}
    for sample in samples:
        if sample.seconds >= warm_up:
            series.setdefault(sample.process, []).append(sample)
    if not series or min(map(len, series.values())) < 4:
        raise UsageError("the run was too short for a verdict: there are not four samples of each process after the warm-up")
    begins = {name: _quarter(taken, last=False) for name, taken in series.items()}
    ends = {name: _quarter(taken, last=True) for name, taken in series.items()}
    memory = {name: tuple(_median(part[name], "memory_mb") for part in (begins, ends)) for name in series}
    memory["the rings"] = tuple(sum(_median(taken, "rings_mb") for taken in part.values()) for part in (begins, ends))
    for name, (first, last) in memory.items():
        passed = last <= first * (1 + growth / 100) or last - first <= SMALL_MB
        yield Check(f"memory of {name}, MiB", first, last, f"+{growth:g} % or {SMALL_MB:g} MiB", passed)
    first, last = (sum(pair[index] for pair in memory.values()) for index in (0, 1))
    yield Check("memory of all processes, MiB", first, last, f"+{growth:g} %", last <= first * (1 + growth / 100))
    for subject in ("descriptors", "threads"):
        counts = {name: (_median(begins[name], subject), _median(ends[name], subject)) for name in series}
        for name, (before, after) in counts.items():
            if before != after:
                yield Check(f"{subject} of {name}", before, after, "no change", passed=False)
        before, after = (sum(pair[index] for pair in counts.values()) for index in (0, 1))
        yield Check(f"{subject} of all processes", before, after, "no change", before == after)
    lives = sum(len({sample.pid for sample in samples if sample.process == name}) for name in series)
    yield Check("processes", len(series), lives, "none replaced", lives == len(series))


def nothing(subject: str, count: int) -> Check:
    """A check that passes where ``count`` is 0."""
    return Check(subject, 0, count, "none", count == 0)


def _quarter(samples: Sequence[ProcessSample], *, last: bool) -> Sequence[ProcessSample]:
    size = max(1, len(samples) // 4)
    return samples[-size:] if last else samples[:size]


def _median(samples: Sequence[ProcessSample], field: str) -> float:
    return median(getattr(sample, field) for sample in samples)
