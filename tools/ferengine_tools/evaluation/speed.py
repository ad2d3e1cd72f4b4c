"""What one face costs on this machine."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.inference.onnxruntime import VERSION

BATCHES = (1, 8, 32)


def microseconds(classifier: Classifier, batch: int, *, seconds: float = 0.5, least: int = 15) -> float:
    """Return the time per face from uint8 crops to the answers of all heads, microseconds: the median, after two rounds more.

    Args:
        classifier: What is timed.
        batch: Faces in a batch.
        seconds: The minimum time to measure, seconds.
        least: The minimum number of rounds.
    """
    crops = np.random.default_rng(0).integers(0, 256, (batch, *classifier.crop.image_shape), np.uint8)
    for _ in range(2):
        classifier.read(crops)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        started = time.perf_counter()
        classifier.read(crops)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / batch * 1e6


def speeds(classifier: Classifier) -> dict[str, float]:
    """``microseconds`` by batch size."""
    return {str(batch): round(microseconds(classifier, batch), 1) for batch in BATCHES}


def machine() -> str:
    """Processor, number of cores and ONNX Runtime's version."""
    name = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores, ONNX Runtime {VERSION}"
