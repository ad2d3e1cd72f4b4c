"""The whole engine under load: cameras replayed from decoded frames in memory."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.engine import Engine
from ferengine.errors import SourceError, WorkerError
from ferengine.inference.select import choose_backend
from ferengine.results import FrameResult
from ferengine.sources.demo import DemoSource
from ferengine.sources.push import PushSource
from ferengine.vision import cv2
from ferengine_tools.gpu_check.report import Report

Frame = NDArray[np.uint8]

CAMERAS = (1, 4, 16, 64)
_FRAMES = 150
_WARM_UP = 2.0
_FIRST_RESULT = 300.0
"""Seconds that the first results may take: engines may have to be built, tens of seconds each."""


@dataclass(frozen=True, slots=True)
class Load:
    """The engine under load.

    Attributes:
        cameras: How many there were.
        fps: Results a second over all cameras.
        p50: Median latency, ms.
        p99: 99th percentile of the latency, ms.
        faces: Faces a frame.
        cpu: Cores.
        gpu: Percent; None without nvidia-smi.
        backend: Of the classifier.
        detector: What MTCNN's networks run on.
    """

    cameras: int
    fps: float
    p50: float
    p99: float
    faces: float
    cpu: float
    gpu: float | None
    backend: str
    detector: str


def load_frames(video: Path | None) -> list[Frame]:
    """Decode the first frames of a video, or of the demo, BGR uint8 (H, W, 3).

    Raises:
        SourceError: The file holds none.
    """
    if video is None:
        source = DemoSource(frames=_FRAMES, faces=4)
        source.open()
        frames: list[Frame] = [frame.image.copy() for frame in iter(source.read, None)]
        source.close()
        return frames
    reader, frames = cv2.VideoCapture(str(video)), []
    while len(frames) < _FRAMES and (read := reader.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    reader.release()
    if not frames:
        raise SourceError(f"{video} is not a video that OpenCV can read")
    return frames


def check_cameras(report: Report, frames: Sequence[Frame], seconds: float, counts: Sequence[int] = CAMERAS) -> None:
    """By number of cameras, up to saturation: with what ``auto`` takes, and, where that is not the CPU, with MTCNN on the GPU
    too, and all on the CPU."""
    header = ["", "cameras", "frames/s", "p50 ms", "p99 ms", "faces/frame", "CPU cores", "GPU %", "classifier", "MTCNN"]
    on_cpu = choose_backend()[0] == "ort"
    for backend, detectors in (("auto", 0),) if on_cpu else (("auto", 0), ("auto", 1), ("ort", 0)):
        best = 0.0
        for cameras in counts:
            name = f"--backend {backend}{f' --gpu-detectors {detectors}' if detectors else ''}, {cameras}"
            try:
                load = replay(
                    frames, cameras, seconds, backend=backend, gpu_detectors=detectors, build_engines=True, max_batch=256
                )
            except Exception as error:  # whatever it is, the others are worth measuring
                report.problem(name, f"{type(error).__name__}: {error}")
                report.fail(f"cameras: {name}")
                break
            gpu = "" if load.gpu is None else f"{load.gpu:.0f}"
            report.row(
                "Cameras replayed from memory", header,
                [name, str(load.cameras), f"{load.fps:.0f}", f"{load.p50:.1f}", f"{load.p99:.1f}", f"{load.faces:.1f}",
                 f"{load.cpu:.1f}", gpu, load.backend, load.detector],
            )  # fmt: skip
            if load.fps < 1.05 * best:
                break  # saturated
            best = load.fps


def replay(frames: Sequence[Frame], cameras: int, seconds: float, *, warm_up: float = _WARM_UP, **settings: Any) -> Load:
    """Push frames round and round into cameras as fast as the engine takes them, and measure.

    Args:
        frames: BGR images.
        cameras: How many.
        seconds: How long to measure, seconds.
        warm_up: How long to run before, seconds.

    Raises:
        WorkerError: Results stay away.
    """
    names = [f"camera{number}" for number in range(cameras)]
    with _messages() as messages, Engine([PushSource(name, wait=True) for name in names], **settings) as engine:
        stop = threading.Event()
        feeders = [threading.Thread(target=_feed, args=(engine, name, frames, stop), daemon=True) for name in names]
        try:
            with closing(engine.results()) as results:
                for feeder in feeders:
                    feeder.start()
                _next(results, _FIRST_RESULT)
                for _ in _during(results, warm_up):
                    pass
                pids = [os.getpid(), *engine.worker_pids().values()]
                cpu_before, started = sum(map(_cpu_seconds, pids)), time.monotonic()
                with _gpu_watch() as utilisation:
                    seen = [(len(result.faces), result.latency_ms) for result in _during(results, seconds)]
                    wall = time.monotonic() - started
                cpu = sum(map(_cpu_seconds, pids)) - cpu_before
        finally:
            stop.set()
        backend = str(engine.summary()["backend"])
        engine.stop()
    if not seen:
        raise WorkerError(f"no result within {seconds:.1f} s")
    faces, ages = np.array(seen).T
    p50, p99 = np.percentile(ages, [50, 99])
    gpu = float(np.mean(utilisation)) if utilisation else None
    chosen = choose_backend(settings.get("backend", "auto"))[0]
    on_gpu = settings.get("gpu_detectors") and not any(message.startswith("detect") for message in messages)
    detector = chosen if on_gpu else "the CPU"
    return Load(cameras, len(seen) / wall, float(p50), float(p99), float(faces.mean()), cpu / wall, gpu, backend, detector)


def _next(results: Any, seconds: float) -> FrameResult:
    result: FrameResult | None = results.take(seconds)
    if result is None:
        raise WorkerError(f"no result within {seconds:.0f} s")
    return result


def _during(results: Any, seconds: float) -> Iterator[FrameResult]:
    """What comes within ``seconds``."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        result = results.take(left)
        if result is not None:
            yield result


@contextmanager
def _messages() -> Iterator[list[str]]:
    """The errors that the engine logs meanwhile: each begins with the name of its worker."""
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Handler(logging.ERROR)
    logger = logging.getLogger("ferengine")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


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


@contextmanager
def _gpu_watch() -> Iterator[list[float]]:
    """How busy the GPU is, in percent, as nvidia-smi reports four times a second; filled in at the end."""
    found: list[float] = []
    program = shutil.which("nvidia-smi")
    if program is None:
        yield found
        return
    command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "250", "-i", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield found
        finally:
            process.terminate()
            lines = process.communicate()[0].split()
            found += [float(line) for line in lines if line.replace(".", "").isdigit()]
