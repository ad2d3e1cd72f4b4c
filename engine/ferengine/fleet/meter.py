"""Measures what the cameras of an engine and other programs cost on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ferengine.fleet.load import CameraRate, camera_loads, other_load
from ferengine.ipc.process import cpu_seconds
from ferengine.runtime.health import CameraHealth


class LoadMeter:
    """Divides the CPU time of an engine's processes among its cameras, from one look to the next.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cpu: dict[int, float] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._since = clock()
        self._idle, self._cores = _idle_seconds()
        self.others = 0.0
        """CPU cores that other programs keep busy."""

    def measure(self, pids: Iterable[int], cameras: Mapping[str, CameraHealth]) -> dict[str, float]:
        """The load of each camera since the call before.

        Args:
            pids: The processes of the engine; this one is added.
            cameras: Its cameras.

        Returns:
            CPU cores by camera; a camera without frames since then is left out.
        """
        now, (idle, cores) = self._clock(), _idle_seconds()
        seconds = max(now - self._since, 1e-3)
        cpu = {pid: cpu_seconds(pid) for pid in [*pids, os.getpid()]}
        spent = sum(max(0.0, value - self._cpu[pid]) for pid, value in cpu.items() if pid in self._cpu)
        rates = {}
        for name, camera in cameras.items():
            frames, faces = self._counts.get(name, (0, 0))
            if camera.frames < frames:  # it was removed, and added again
                frames, faces = 0, 0
            if camera.size is not None and camera.frames > frames:
                width, height = camera.size
                rates[name] = CameraRate((camera.frames - frames) / seconds, width, height, (camera.faces - faces) / seconds)
        self.others = other_load(cores, (idle - self._idle) / seconds, spent / seconds)
        self._counts = {name: (camera.frames, camera.faces) for name, camera in cameras.items()}
        self._cpu, self._since, self._idle, self._cores = cpu, now, idle, cores
        return camera_loads(rates, spent / seconds)


def _idle_seconds() -> tuple[float, int]:
    """How long the cores of the machine were idle, all together, and how many there are."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = lines[0].split()
    cores = sum(line.startswith("cpu") for line in lines) - 1
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK"), cores
