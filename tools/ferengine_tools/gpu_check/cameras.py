"""The whole engine under load: cameras replayed from decoded frames in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.engine import Engine
from ferengine.sources.push import PushSource

Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Load:
    """``fps`` over all cameras; latencies in ms; ``cpu`` in cores; ``gpu`` in percent, None where nobody tells."""

    cameras: int
    fps: float
    p50: float
    p99: float
    faces: float
    cpu: float
    gpu: float | None
    backend: str


def replay(frames: Sequence[Frame], cameras: int, seconds: float, **settings: Any) -> Load:
    """Push ``frames`` round and round into ``cameras`` cameras as fast as the engine takes them."""
    names = [f"camera{number}" for number in range(cameras)]
    with Engine([PushSource(name, wait=True) for name in names], **settings) as engine:
        stop = threading.Event()
        feeders = [threading.Thread(target=_feed, args=(engine, name, frames, stop), daemon=True) for name in names]
        results = engine.results()
        for feeder in feeders:
            feeder.start()
        for _ in range(cameras):
            next(results)
        pids = [os.getpid(), *engine.worker_pids().values()]
        cpu_before = sum(map(_cpu_seconds, pids))
        watch = _GpuWatch()
        begun, done, faces, ages = time.monotonic(), 0, 0, []
        for result in results:
            done += 1
            faces += len(result.faces)
            ages.append(result.latency_ms)
            if time.monotonic() - begun >= seconds:
                break
        wall = time.monotonic() - begun
        cpu = sum(map(_cpu_seconds, pids)) - cpu_before
        backend = str(engine.summary()["backend"])
        stop.set()
        engine.stop()
        p50, p99 = np.percentile(ages, [50, 99])
        return Load(cameras, done / wall, float(p50), float(p99), faces / done, cpu / wall, watch.mean(), backend)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _feed(engine: Engine, name: str, frames: Sequence[Frame], stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        if not engine.push(name, frames[number % len(frames)], timeout=0.5).accepted and stop.is_set():
            return
        number += 1


class _GpuWatch:
    """How busy the GPU is, as nvidia-smi tells four times a second."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        program = shutil.which("nvidia-smi")
        if program:
            command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "250", "-i", "0"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def mean(self) -> float | None:
        if self._process is None:
            return None
        self._process.terminate()
        values = [float(line) for line in self._process.communicate()[0].split() if line.replace(".", "").isdigit()]
        return float(np.mean(values)) if values else None
