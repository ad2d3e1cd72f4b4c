"""What a run is sampled for: memory, descriptors and threads of each process, and the frames that went out.

Samples go to CSV files as they are taken, and are read back at the end: what watches for growth must not grow itself.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

_MAX_SAMPLES = 600
_MIN_INTERVAL = 0.2

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One process at one moment.

    Attributes:
        seconds: Since the sampling began.
        process: "engine" for the caller's own, else the worker's name.
        pid: Its process id.
        memory_mb: MiB of memory of its own, without the pages of files, which are shared with unrelated programs.
        rings_mb: MiB of its part of the rings. It changes when another process looks at a page for the first time: only the sum
            over all processes says something.
        descriptors: Open file descriptors.
        threads: Threads.
    """

    seconds: float
    process: str
    pid: int
    memory_mb: float
    rings_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class FrameSample:
    """The results between two moments.

    Attributes:
        seconds: Since the sampling began.
        frames: Results of all cameras since the beginning.
        dropped: Frames dropped since the beginning, whatever the reason.
        latency_ms: The median latency of the results since the sample before, in milliseconds; 0 without any.
        worst_latency_ms: The longest one.
    """

    seconds: float
    frames: int
    dropped: int
    latency_ms: float
    worst_latency_ms: float


def sample_process(seconds: float, name: str, pid: int) -> ProcessSample | None:
    """Look at one process; None when it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        memory = dict(line.split()[:2] for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        status = (folder / "status").read_text()
        descriptors = len(os.listdir(folder / "fd"))  # noqa: PTH208 - a list of names, no paths
    except OSError:
        return None
    own, rings = (round(int(memory.get(name, 0)) / 1024, 3) for name in ("Pss_Anon:", "Pss_Shmem:"))
    threads = int(status.partition("\nThreads:")[2].split()[0])
    return ProcessSample(round(seconds, 3), name, pid, own, rings, descriptors, threads)


def interval_for(seconds: float) -> float:
    """Seconds between two samples of a run of that length."""
    return max(_MIN_INTERVAL, seconds / _MAX_SAMPLES)


class Sampler:
    """Takes samples in a thread until it is closed.

    Args:
        processes: Gives the processes by name.
        frames: Gives what the results of the run come to at that moment.
        clock: Seconds since the sampling began.
        interval: Seconds between two samples.
        folder: Where ``processes.csv`` and ``frames.csv`` are written.
    """

    def __init__(
        self,
        processes: Callable[[], Mapping[str, int]],
        frames: Callable[[float], FrameSample],
        clock: Callable[[], float],
        interval: float,
        folder: Path,
    ) -> None:
        self._processes, self._frames, self._clock, self._interval = processes, frames, clock, interval
        self._paths = folder / "processes.csv", folder / "frames.csv"
        for path, record in zip(self._paths, (ProcessSample, FrameSample), strict=True):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(field.name for field in fields(record))
        self._over = Event()
        pool = ThreadPoolExecutor(1, "ferengine-sampler")
        self._running = pool.submit(self._run)
        pool.shutdown(wait=False)

    def close(self) -> None:
        """Take no further sample. Raises what the sampling raised."""
        self._over.set()
        self._running.result()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            now = self._clock()
            found = (sample_process(now, name, pid) for name, pid in self._processes().items())
            _append(self._paths[0], filter(None, found))
            _append(self._paths[1], [self._frames(now)])


def _append(path: Path, records: Iterable[Any]) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(asdict(record).values() for record in records)


def read_samples(path: Path, record: type[RecordT]) -> Sequence[RecordT]:
    """The samples in a file of the ``Sampler``."""
    kinds = {"float": float, "int": int, "str": str}
    converters = {field.name: kinds[str(field.type)] for field in fields(record)}  # type: ignore[arg-type]
    with path.open(newline="", encoding="utf-8") as file:
        return [record(**{name: converters[name](value) for name, value in row.items()}) for row in csv.DictReader(file)]
