"""The whole engine, on a file as fast as it goes and on a camera."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ferengine import Engine, Summary
from ferengine.sources import SourceSpec, open_source
from ferengine_tools.bench.clips import live_clip
from ferengine_tools.bench.processor_time import ProcessorTime
from ferengine_tools.bench.record import OWN, Metric

_MIN_FRAMES = 400
"""Shorter files are played several times over: their rate would say how fast the pipeline fills."""

_NEAR = {"search": "near", "full_scan": 1.0}


def metrics(spec: SourceSpec, frames: int | None, live_seconds: float, folder: Path) -> Iterator[Metric]:
    """Measure the engine on a file, with a full scan every sixth frame and near the tracks, then on a camera.

    Args:
        spec: The video.
        frames: How many of its frames are read; all if None.
        live_seconds: How long the camera is played, seconds.
        folder: Where the clip of the camera is written.
    """
    spec = _long_enough(spec)
    for way, settings in ((OWN, {}), ("ferengine, near search", _NEAR)):
        yield from _fast(spec, frames, way, settings)
    yield Metric("engine", "file", "decoding alone", _decoding(spec, frames), "frames/s")
    yield from _live(live_clip(spec, folder / "live.mp4", live_seconds))


def _long_enough(spec: SourceSpec) -> SourceSpec:
    source = open_source(spec)
    info = source.open()
    frames = info.frames or round((info.seconds or 0.0) * info.fps) or _MIN_FRAMES
    source.close()
    return spec.replace(loop=max(1, math.ceil(_MIN_FRAMES / frames)))


def _fast(spec: SourceSpec, frames: int | None, way: str, settings: dict[str, Any]) -> Iterator[Metric]:
    summary, cores = _run(spec, max_frames=frames, **settings)
    yield Metric("engine", "file", way, summary["fps"], "frames/s")
    yield Metric("engine", "file, faces", way, summary["faces"] / max(1, summary["frames"]), "faces/frame")
    yield Metric("engine", "file, all processes", way, round(sum(cores.values()), 3), "cores")


def _live(spec: SourceSpec) -> Iterator[Metric]:
    summary, cores = _run(spec)
    total = summary["latency_ms"]["total"]
    for name, value in (("p50", total["p50"]), ("p95", total["p95"]), ("p99", total["p99"])):
        yield Metric("engine", f"camera 640x480, {name}", OWN, value, "ms")
    dropped = summary["dropped"]
    frames = sum(dropped["capture"].values()) + sum(dropped["track"].values())
    yield Metric("engine", "camera 640x480, dropped", OWN, frames, "frames")
    yield Metric("engine", "camera 640x480, all processes", OWN, round(sum(cores.values()), 3), "cores")
    for name, busy in cores.items():
        kind = "capture" if name.startswith("capture") else name
        yield Metric("engine", f"camera 640x480, {kind}", OWN, round(busy, 3), "cores")


def _run(spec: SourceSpec, **settings: Any) -> tuple[Summary, dict[str, float]]:
    """The summary of a run, and how many cores each process kept busy from the first result on."""
    with Engine(spec, **settings) as engine:
        results = engine.results()
        next(iter(results))
        with ProcessorTime(engine.worker_pids) as used:
            for _ in results:
                pass
        return engine.summary(), used.cores


def _decoding(spec: SourceSpec, frames: int | None) -> float:
    source = open_source(spec)
    source.open()
    out = np.empty((0, 0, 3), np.uint8)
    count, started = 0, time.perf_counter()
    while (frames is None or count < frames) and (frame := source.read()) is not None:
        if frame.shape != out.shape:
            out = np.empty(frame.shape, np.uint8)
        frame.write(out)
        count += 1
    taken = time.perf_counter() - started
    source.close()
    return count / taken
