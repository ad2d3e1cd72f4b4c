"""The figures of a run: what ``--summary`` writes."""

from __future__ import annotations

import os
import resource
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine.ipc.process import WorkerProcess
from ferengine.results import FrameResult, Timings
from ferengine.stages.messages import ScoreBatch
from ferengine.stages.worker import peak_memory_mb

if TYPE_CHECKING:
    from ferengine.runtime.supervisor import Supervisor

_FILLS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper ends of the classes of faces in a batch."""
_AGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Upper ends, in milliseconds, of the classes of ages at which faces are classified."""

_KEEP = 1 << 17
"""Frames whose latencies are kept for the percentiles: the last hour of one 30-frame camera."""


class RunStatistics:
    """Counts and latencies over all cameras; times in seconds of CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.frames = 0
        self.first_capture: float | None = None
        self.last_emit = 0.0
        self.batches = 0
        self.mixed_batches = 0
        self.batched_faces = 0
        self.batch_capacity = 1
        self._fills = np.zeros(len(_FILLS) + 1, np.int64)
        self._ages = np.zeros(len(_AGES_MS) + 1, np.int64)
        self._latencies = {stage: array("f") for stage in Timings.STAGES}

    def add_result(self, result: FrameResult) -> None:
        self.frames += 1
        captured = result.timings.captured
        self.first_capture = captured if self.first_capture is None else min(self.first_capture, captured)
        self.last_emit = result.timings.emitted
        for stage, milliseconds in result.timings.durations_ms().items():
            kept = self._latencies[stage]
            if len(kept) < _KEEP:
                kept.append(milliseconds)
            else:
                kept[self.frames % _KEEP] = milliseconds

    def add_batch(self, batch: ScoreBatch) -> None:
        cameras = batch.keys["camera"]
        self.batches += 1
        self.mixed_batches += int(cameras.min() != cameras.max())
        self.batched_faces += len(batch.keys)
        self.batch_capacity = batch.capacity
        self._fills[np.searchsorted(_FILLS, len(batch.keys))] += 1
        ages = np.searchsorted(_AGES_MS, (batch.inferred_ns - batch.keys["queued_ns"]) / 1e6)
        self._ages += np.bincount(ages, minlength=len(self._ages))

    @property
    def fps(self) -> float:
        """Frames emitted / (last emit - first capture)."""
        if self.first_capture is None or self.last_emit <= self.first_capture:
            return 0.0
        return self.frames / (self.last_emit - self.first_capture)

    def latencies(self) -> dict[str, dict[str, float]]:
        """p50, p95 and p99 of each stage of the timings, milliseconds; from any thread.

        From a copy: an array cannot grow while NumPy looks at its memory.
        """
        table = {}
        for stage, kept in self._latencies.items():
            values = np.percentile(np.frombuffer(kept.tobytes(), np.float32), (50, 95, 99)) if kept else np.zeros(3)
            table[stage] = {name: round(float(v), 3) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}
        return table

    def batch(self) -> dict[str, Any]:
        """Batches so far: ``mixed`` ones held faces of several cameras; ``fill_histogram``: batches by the number of their
        faces, ``age_ms_histogram``: faces by the time from the face ring to their scores, "4": above 2 and up to 4."""
        mean = self.batched_faces / self.batches if self.batches else 0.0
        return {"batches": self.batches, "mixed": self.mixed_batches, "faces": self.batched_faces, "mean": round(mean, 3),
                "fill": round(mean / self.batch_capacity, 4), "fill_histogram": _histogram(_FILLS, self._fills),
                "age_ms_histogram": _histogram(_AGES_MS, self._ages)}  # fmt: skip


def _histogram(ends: Sequence[int], counts: NDArray[np.int64]) -> dict[str, int]:
    """Counts by the upper ends of their classes, up to the last that is not empty."""
    names = [*map(str, ends), f"over {ends[-1]}"]
    used = np.flatnonzero(counts)
    return dict(zip(names[: used[-1] + 1 if used.size else 0], counts.tolist(), strict=False))


def worker_figures(workers: Iterable[WorkerProcess]) -> dict[str, dict[str, Any]]:
    """Peak memory (MiB, shared pages included) and CPU seconds of each worker over all its lives, and of this process."""
    figures: dict[str, dict[str, Any]] = {
        worker.name: {"peak_mb": round(worker.peak_mb, 1), "cpu_s": round(worker.cpu_s, 3), "restarts": worker.restarts}
        for worker in workers
    }
    own = resource.getrusage(resource.RUSAGE_SELF)
    figures["engine"] = {"peak_mb": round(peak_memory_mb(os.getpid()), 1),
                         "cpu_s": round(own.ru_utime + own.ru_stime, 3), "restarts": 0}  # fmt: skip
    return figures


def run_summary(supervisor: Supervisor) -> dict[str, Any]:
    """What ``Engine.summary`` returns."""
    statistics, counts = supervisor.statistics, supervisor.cameras.counts()
    return {
        "fps": round(statistics.fps, 2),
        "frames": statistics.frames,
        "dropped": {
            "capture": {reason: counts[reason] for reason in ("ring_full", "broken", "late", "not_ready")},
            "track": {"skipped": counts["skipped"]},
            "classify": {reason: counts[reason] for reason in ("deadline", "face_ring_full")},
            "results": {"queue_full": supervisor.delivery.dropped},
            "output": {"queue_full": supervisor.output.dropped},
        },
        "faces": counts["faces"],
        "outputs": {outlet.name: {"dropped": outlet.dropped} for outlet in supervisor.topology.outlets},
        "latency_ms": statistics.latencies(),
        "batch": statistics.batch(),
        "backend": supervisor.backend,
        "startup_s": round(supervisor.startup_s, 3),
        "wall_s": round(supervisor.wall_s, 3),
        "cameras": {
            camera.name: {"frames": camera.joiner.emitted, "faces": camera.joiner.faces, "error": camera.error}
            for camera in supervisor.cameras
        },
        "workers": worker_figures(supervisor.topology.workers),
    }
