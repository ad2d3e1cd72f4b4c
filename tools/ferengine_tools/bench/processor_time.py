"""The processor time of this process and the engine's workers while they run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.1
_TICK = 1 / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float | None:
    """User and system time of process ``pid`` with all its threads; ``None`` when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * _TICK


class ProcessorTime:
    """Samples the processes that ``pids`` names, ten times a second, between the first result and the end of a block.

    ``cores``: how many processors each of them kept busy, on average over the time that it was seen.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._first: dict[str, tuple[float, float]] = {}
        self._last: dict[str, tuple[float, float]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="processor-time", daemon=True)

    @property
    def cores(self) -> dict[str, float]:
        """Processor time by process, divided by the time that has passed."""
        started = min((at for at, _ in self._first.values()), default=0.0)
        ended = max((at for at, _ in self._last.values()), default=0.0)
        span = max(ended - started, _EVERY)
        return {name: (self._last[name][1] - used) / span for name, (_, used) in self._first.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            for name, pid in {"engine": os.getpid(), **self._pids()}.items():
                used = processor_seconds(pid)
                if used is not None:
                    self._last[name] = time.monotonic(), used
                    self._first.setdefault(name, self._last[name])
            if self._done.wait(_EVERY):
                return
