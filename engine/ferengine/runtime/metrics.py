"""The metrics of a run: what ``Engine.summary`` returns and ``--summary`` writes."""

from __future__ import annotations

import math
import os
import resource
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np

from ferengine.detection.choice import DetectorChoice
from ferengine.ipc.process import peak_memory_mb
from ferengine.models.settings import Prior
from ferengine.results import FrameResult, Timings
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.joiner import CameraJoiner
from ferengine.runtime.subscriptions import Subscriptions
from ferengine.runtime.topology import Topology
from ferengine.runtime.workers import Worker
from ferengine.stages.records import ScoreBatch

_FILLS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper ends of the classes of faces in a batch."""
_AGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Upper ends, in milliseconds, of the classes of ages at which faces are classified."""
_SMALLEST, _LARGEST = 1e-3, 1e7
"""Range of the latency histogram in milliseconds: from one microsecond to almost three hours."""
_RATIO = 1.02
"""Of the ends of one of its classes: its geometric middle is less than 1 % from each value in it."""
_SCALE = 1 / math.log(_RATIO)
_OFFSET = -math.log(_SMALLEST) * _SCALE
_CLASSES = math.ceil(math.log(_LARGEST) * _SCALE + _OFFSET) + 1


class Percentiles(TypedDict):
    """Of one stage of the timings, in milliseconds, over the whole run; within 1 % of the true ones."""

    p50: float
    p95: float
    p99: float


class BatchSummary(TypedDict):
    """The batches of the classifier.

    Attributes:
        batches: How many there were.
        mixed: How many of them held faces of several cameras.
        faces: Faces in all of them.
        mean: Faces a batch.
        fill: ``mean`` as a fraction of the setting ``max_batch``.
        fill_histogram: Batches by their number of faces; "4": above 2 and up to 4.
        age_ms_histogram: Faces by the time from the face ring to their scores; "5": above 2 ms and up to 5 ms.
    """

    batches: int
    mixed: int
    faces: int
    mean: float
    fill: float
    fill_histogram: dict[str, int]
    age_ms_histogram: dict[str, int]


class SinkSummary(TypedDict):
    """One output: results ``written`` to it (of a video, those that its file is certain to hold), results that its full queue
    ``dropped``, those that were ``cut`` off by the end of the run or the death of its worker, and its first ``error``."""

    written: int
    dropped: int
    cut: int
    error: str | None


class PriorSummary(TypedDict):
    """A class prior: its ``name``, or the path of its file, and the probability of each label."""

    name: str
    probabilities: dict[str, float]


class DetectorSummary(TypedDict):
    """What found the faces: its ``name``, which repeats the run where the setting was ``auto``, and the ``reason`` for it."""

    name: str
    reason: str


class CameraSummary(TypedDict):
    """One camera: the ``prior`` that ``adapt`` has come to (None otherwise: see ``Summary``), ``frames`` and ``faces`` that
    went out, how often its zones excluded a face (``ignored``), frames that were left out to keep to the rate ``fps`` of its
    source (``left_out``, not dropped), time stamps that were missing or made no sense and were
    replaced (``replaced_stamps``), whether its file was cut off (``truncated``), and the ``error`` that ended it."""

    prior: PriorSummary | None
    frames: int
    faces: int
    ignored: int
    left_out: int
    replaced_stamps: int
    truncated: bool
    error: str | None


class WorkerSummary(TypedDict):
    """One process over all its lives: peak memory in MiB (shared pages included), CPU seconds, and restarts."""

    peak_mb: float
    cpu_s: float
    restarts: int


class Summary(TypedDict):
    """What ``Engine.summary`` returns and ``--summary`` writes, as JSON takes it.

    Attributes:
        fps: Results a second of all cameras together, from the first capture to the last result.
        frames: Results of all cameras, removed ones included.
        faces: Faces in them.
        dropped: Drops by stage and reason. ``capture``: frames that found the frame ring full (``ring_full``), could not
            be decoded (``broken``), came too late at native pace or from a live source (``late``) or were pushed before the
            workers were ready (``not_ready``). ``track``: frames passed over for a newer one (``skipped``), or on their way
            when the run was stopped or the camera removed (``cut``). ``classify``: faces that went out without an
            expression, because of the ``deadline``, a full face ring (``face_ring_full``) or a network that gave no numbers
            (``not_finite``), and faces that did not go out because their frame has more than 128 (``too_many``). ``results``
            and ``render``: results that a full queue dropped (``queue_full``), that a window did not show because others came
            too soon after them (``not_shown``), or that were not written when the run ended (``cut``).
        blurred_whole: Frames that ``video`` and ``window`` blurred as a whole, with the setting ``blur``, because no detection
            said in time where faces are.
        sinks: Each output by its name: ``video``, ``window``, and of ``ferengine run`` also ``events``, ``csv``, ``table``.
        latency_ms: Percentiles of each stage of ``Timings.STAGES``.
        batch: The batches of the classifier.
        backend: What runs the networks.
        detector: What found the faces, and why that one.
        prior: The class prior that expressions were read under; None for a model that names no priors. Of ``adapt`` the
            probabilities are those that every camera started from.
        startup_s: Seconds until all workers were ready.
        wall_s: Seconds of the whole run, 0 before its end.
        cameras: Each camera by its name.
        workers: Each process by its name, ``engine`` being the caller's own.
    """

    fps: float
    frames: int
    faces: int
    dropped: dict[str, dict[str, int]]
    blurred_whole: dict[str, int]
    sinks: dict[str, SinkSummary]
    latency_ms: dict[str, Percentiles]
    batch: BatchSummary
    backend: str
    detector: DetectorSummary
    prior: PriorSummary | None
    startup_s: float
    wall_s: float
    cameras: dict[str, CameraSummary]
    workers: dict[str, WorkerSummary]


class LatencyHistogram:
    """Counts values in logarithmic classes (as DDSketch: Masson, Rim and Lee, VLDB 2019, section 2).

    A percentile is within 1 % of the true one, or a microsecond. Memory: 9 KiB, independent of the number of values.

    Example:
        >>> latencies = LatencyHistogram()
        >>> for milliseconds in range(1, 1001):
        ...     latencies.add(milliseconds)
        >>> [490 < value < 510 for value in latencies.percentiles((50,))]
        [True]
    """

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _CLASSES))

    def add(self, milliseconds: float) -> None:
        """Count a value; what is below a microsecond, or negative, counts as 0."""
        index = math.ceil(math.log(milliseconds) * _SCALE + _OFFSET) if milliseconds > _SMALLEST else 0
        if index >= _CLASSES:
            index = _CLASSES - 1
        self._counts[index] += 1

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """Return the percentiles in milliseconds, interpolated as ``numpy.percentile`` does; 0 where nothing was counted.

        From any thread: it looks at a copy.
        """
        ends = np.cumsum(np.frombuffer(self._counts.tobytes(), np.uint64))
        total = int(ends[-1])
        if not total:
            return [0.0] * len(percents)
        found = []
        for percent in percents:
            rank, part = divmod((total - 1) * percent / 100, 1)
            low, high = (_middle(int(np.searchsorted(ends, step, side="right"))) for step in (rank, math.ceil(rank + part)))
            found.append(low + part * (high - low))
        return found


def _middle(index: int) -> float:
    return 0.0 if index == 0 else _SMALLEST * _RATIO ** (index - 0.5)


class RunMetrics:
    """Counts and latencies over all cameras; times in seconds of CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.backend = ""
        self.startup_s = 0.0
        self.wall_s = 0.0
        self.frames = 0
        self.first_capture: float | None = None
        self.last_emit = 0.0
        self.batches = 0
        self.mixed_batches = 0
        self.batched_faces = 0
        self.batch_capacity = 1
        self._fills = [0] * (len(_FILLS) + 1)
        self._ages = [0] * (len(_AGES_MS) + 1)
        self._latencies = {stage: LatencyHistogram() for stage in Timings.STAGES}

    def add_result(self, result: FrameResult) -> None:
        self.frames += 1
        captured = result.timings.captured
        self.first_capture = captured if self.first_capture is None else min(self.first_capture, captured)
        self.last_emit = result.timings.emitted
        for stage, milliseconds in result.timings.durations_ms().items():
            self._latencies[stage].add(milliseconds)

    def add_batch(self, batch: ScoreBatch) -> None:
        faces = len(batch.keys)
        self.batches += 1
        self.mixed_batches += len(set(batch.keys["camera"].tolist())) > 1
        self.batched_faces += faces
        self.batch_capacity = batch.capacity
        self._fills[bisect_left(_FILLS, faces)] += 1
        for queued_ns in batch.keys["queued_ns"].tolist():  # few: quicker than NumPy
            self._ages[bisect_left(_AGES_MS, (batch.inferred_ns - queued_ns) / 1e6)] += 1

    @property
    def fps(self) -> float:
        """Frames emitted / (last emit - first capture)."""
        if self.first_capture is None or self.last_emit <= self.first_capture:
            return 0.0
        return self.frames / (self.last_emit - self.first_capture)

    def latencies(self) -> dict[str, Percentiles]:
        """Of each stage of the timings; from any thread."""
        table: dict[str, Percentiles] = {}
        for stage, latencies in self._latencies.items():
            p50, p95, p99 = (round(value, 3) for value in latencies.percentiles((50, 95, 99)))
            table[stage] = {"p50": p50, "p95": p95, "p99": p99}
        return table

    def batch(self) -> BatchSummary:
        """Batches so far."""
        mean = self.batched_faces / self.batches if self.batches else 0.0
        return {"batches": self.batches, "mixed": self.mixed_batches, "faces": self.batched_faces, "mean": round(mean, 3),
                "fill": round(mean / self.batch_capacity, 4), "fill_histogram": _histogram(_FILLS, self._fills),
                "age_ms_histogram": _histogram(_AGES_MS, self._ages)}  # fmt: skip


def _histogram(ends: Sequence[int], counts: Sequence[int]) -> dict[str, int]:
    """Counts by the upper ends of their classes, up to the last that is not empty."""
    names = [*map(str, ends), f"over {ends[-1]}"]
    used = max((index + 1 for index, count in enumerate(counts) if count), default=0)
    return dict(zip(names[:used], counts, strict=False))


def _worker_summaries(workers: Iterable[Worker]) -> dict[str, WorkerSummary]:
    """Each worker, and this process."""
    summaries: dict[str, WorkerSummary] = {
        worker.name: {"peak_mb": round(worker.peak_mb, 1), "cpu_s": round(worker.cpu_s, 3), "restarts": worker.restarts}
        for worker in workers
    }
    own = resource.getrusage(resource.RUSAGE_SELF)
    summaries["engine"] = {"peak_mb": round(peak_memory_mb(os.getpid()), 1),
                           "cpu_s": round(own.ru_utime + own.ru_stime, 3), "restarts": 0}  # fmt: skip
    return summaries


def _prior_summary(prior: Prior | None) -> PriorSummary | None:
    return None if prior is None else {"name": prior.name, "probabilities": prior.by_label()}


def _camera_prior(joiner: CameraJoiner, prior: Prior | None) -> PriorSummary | None:
    """What an adaptive prior has come to."""
    if joiner.adaptive is None or prior is None:
        return None
    return _prior_summary(replace(prior, probabilities=tuple(joiner.adaptive.probabilities.tolist())))


def run_summary(
    metrics: RunMetrics, cameras: Cameras, topology: Topology, subscriptions: Subscriptions, detector: DetectorChoice
) -> Summary:
    """What ``Engine.summary`` returns."""
    counts = cameras.counts()
    return {
        "fps": round(metrics.fps, 2),
        "frames": metrics.frames,
        "faces": counts["faces"],
        "dropped": {
            "capture": {reason: counts[reason] for reason in ("ring_full", "broken", "late", "not_ready")},
            "track": {reason: counts[reason] for reason in ("skipped", "cut")},
            "classify": {reason: counts[reason] for reason in ("deadline", "face_ring_full", "not_finite", "too_many")},
            "results": {"queue_full": subscriptions.dropped, "cut": subscriptions.cut},
            "render": {
                "queue_full": sum(output.dropped for output in topology.outputs if output.complete),
                "not_shown": sum(output.dropped for output in topology.outputs if not output.complete),
                "cut": sum(output.cut for output in topology.outputs),
            },
        },
        "blurred_whole": {output.name: output.blurred_whole for output in topology.outputs},
        "sinks": {
            output.name: {"written": output.written, "dropped": output.dropped, "cut": output.cut, "error": output.error}
            for output in topology.outputs
        },
        "latency_ms": metrics.latencies(),
        "batch": metrics.batch(),
        "backend": metrics.backend,
        "detector": {"name": detector.name, "reason": detector.reason},
        "prior": _prior_summary(topology.prior),
        "startup_s": round(metrics.startup_s, 3),
        "wall_s": round(metrics.wall_s, 3),
        "cameras": {
            camera.name: {
                "prior": _camera_prior(camera.joiner, topology.prior),
                "frames": camera.joiner.emitted,
                "faces": camera.joiner.faces,
                "ignored": camera.joiner.ignored,
                "left_out": camera.left_out,
                "replaced_stamps": camera.replaced_stamps,
                "truncated": camera.truncated,
                "error": camera.error,
            }
            for camera in cameras
        },
        "workers": _worker_summaries(topology.workers),
    }
