"""One long run."""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ferengine import CameraHealth
from ferengine.engine import Engine
from ferengine.results import FrameResult
from ferengine_tools.soak.cameras import Pusher, make_sources
from ferengine_tools.soak.samples import FrameSample, ProcessSample, Sampler, interval_for, read_samples
from ferengine_tools.soak.verdict import Check, check_processes, nothing

_LOST = ("ring_full", "broken", "not_ready", "skipped", "cut")
"""The reasons for which a numbered frame gives no result; late ones of a paced source never get a number."""
_WAIT = 0.2


@dataclass(frozen=True, slots=True)
class SoakSettings:
    """How long and on what.

    Attributes:
        seconds: Length of the run.
        warm_up: Seconds at its beginning that do not count.
        cameras: How many.
        fps: Frames a second of each.
        size: Width and height of the frames.
        growth: How far memory may grow, percent.
    """

    seconds: float
    warm_up: float
    cameras: int = 2
    fps: float = 5.0
    size: tuple[int, int] = (320, 240)
    growth: float = 2.0


@dataclass(frozen=True, slots=True)
class SoakReport:
    """What came of it.

    Attributes:
        settings: Of the run.
        checks: The verdict, line by line.
        frames: Results that were taken.
        dropped: Frames dropped, by reason.
        latency_ms: Percentiles from capture to result, milliseconds.
        failures: What the engine reported.
    """

    settings: SoakSettings
    checks: tuple[Check, ...]
    frames: int
    dropped: dict[str, int]
    latency_ms: Mapping[str, float]
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


class ResultCounter:
    """Counts results, and checks their order."""

    def __init__(self) -> None:
        self.taken = 0
        self.misordered = 0
        self.unclassified = 0
        self.last: dict[str, int] = {}
        self._latencies = array("f")

    def add(self, result: FrameResult) -> None:
        """Count a result."""
        self.taken += 1
        self.misordered += result.frame <= self.last.get(result.camera, -1)
        self.last[result.camera] = result.frame
        self.unclassified += sum(face.expression is None for face in result.faces)
        self._latencies.append(result.latency_ms)

    def latencies(self) -> array[float]:
        """Those since the last call, milliseconds."""
        taken, self._latencies = self._latencies, array("f")
        return taken


def run_soak(settings: SoakSettings, folder: Path) -> SoakReport:
    """Run an engine on live cameras, and look for growth and losses.

    Args:
        settings: How long and on what.
        folder: Where the samples are written.

    Raises:
        UsageError: The run is too short for a verdict.
        FerengineError: What ended the run.
    """
    counter = ResultCounter()
    with Engine(make_sources(settings.cameras, settings.fps, settings.size), min_face=30.0) as engine:
        results = engine.results()
        engine.wait_ready()
        began = time.monotonic()

        def sample_frames(seconds: float) -> FrameSample:
            dropped = sum(sum(_numbered(camera).values()) for camera in engine.health().cameras.values())
            latencies = counter.latencies() or array("f", [0.0])
            return FrameSample(round(seconds, 3), counter.taken, dropped, round(median(latencies), 2), round(max(latencies), 2))

        def processes() -> dict[str, int]:
            return {"engine": os.getpid(), **engine.worker_pids()}

        pushed, interval = [name for name in engine.cameras if name.startswith("pushed")], interval_for(settings.seconds)
        with (
            closing(Pusher(engine, pushed, settings.fps, settings.size)) as pusher,
            closing(Sampler(processes, sample_frames, lambda: time.monotonic() - began, interval, folder)),
        ):
            while time.monotonic() - began < settings.seconds:
                result = results.take(_WAIT)
                if result is not None:
                    counter.add(result)
        for name in engine.cameras:
            engine.end_source(name)
        for result in results:
            counter.add(result)
        health = engine.health()
        engine.close()
    summary = engine.summary()
    samples = read_samples(folder / "processes.csv", ProcessSample)
    checks = (
        *check_processes(samples, settings.warm_up, settings.growth),
        *check_counts(counter, pusher.offered, health.cameras, sum(consumer.dropped for consumer in health.consumers)),
        nothing("failures reported", len(engine.failures)),
    )
    total = summary["latency_ms"]["total"]
    latency = {"p50": total["p50"], "p95": total["p95"], "p99": total["p99"]}
    dropped = Counter[str]()
    for camera in health.cameras.values():
        dropped.update(camera.dropped)
    return SoakReport(settings, checks, counter.taken, dict(dropped), latency, engine.failures)


def check_counts(
    counter: ResultCounter, offered: Mapping[str, int], cameras: Mapping[str, CameraHealth], queue_full: int
) -> Iterator[Check]:
    """Look for losses.

    Args:
        counter: The results that came.
        offered: Frames offered by the name of each camera that frames were pushed to.
        cameras: What the engine says of its cameras, after their end.
        queue_full: Results that the queue dropped.

    Yields:
        One check for each kind of loss.
    """
    lost = 0
    for name, camera in cameras.items():
        counted = camera.frames + sum(_numbered(camera).values())
        if name in offered:
            lost += abs(offered[name] - counted)
        else:  # how many were captured after the last result is not known elsewhere
            lost += max(0, counter.last.get(name, -1) + 1 - counted)
    yield nothing("frames not counted", lost)
    yield nothing("results not counted", abs(sum(camera.frames for camera in cameras.values()) - counter.taken - queue_full))
    given = sum(camera.dropped["deadline"] + camera.dropped["face_ring_full"] for camera in cameras.values())
    yield nothing("faces without expression and reason", max(0, counter.unclassified - given))
    yield nothing("results out of order", counter.misordered)
    yield nothing("cameras without a result", len(cameras) - len(counter.last))


def _numbered(camera: CameraHealth) -> dict[str, int]:
    return {reason: camera.dropped[reason] for reason in _LOST}
