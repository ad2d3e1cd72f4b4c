"""Differences, accuracies and times of contenders."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.models.registry import Model
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.evaluation.metrics import softmax
from ferengine_tools.gpu_check.report import Report

Array = NDArray[np.float32]
Crops = NDArray[np.uint8]

SIZES = (1, 8, 32, 128, 512)
FACES = 2000
FP32_DIFFERENCE = 1e-3
"""Of probabilities, with TF32 off."""

FP16_AGREEMENT = 0.998
"""Fraction of faces with the same label."""

TIMES = "Microseconds a face"


def random_crops(shape: tuple[int, ...]) -> Crops:
    """The data that every contender computes on when they lie on the GPU: how much power, and so how fast its clocks, depends
    on them. uint8 of ``shape``."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@dataclass(frozen=True, slots=True)
class Queue:
    """A batch whose data lie on the GPU.

    Attributes:
        enqueue: Requests its computation.
        synchronise: Waits for all that was requested.
    """

    enqueue: Callable[[], object]
    synchronise: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to run a model.

    Attributes:
        name: What it is called.
        run: Crops, uint8 (N, 1, S, S) -> float32 (N, classes), copies included.
        queued: Makes a batch of that many faces that lie on the GPU already; None where it takes none.
        close: Releases the device.
        on_gpu: Whether it runs on the GPU.
    """

    name: str
    run: Callable[[Crops], Array]
    queued: Callable[[int], AbstractContextManager[Queue]] | None = None
    close: Callable[[], None] = lambda: None
    on_gpu: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """Real faces.

    Attributes:
        faces: Crops, uint8 (N, 1, S, S).
        truth: The true classes as the model numbers them, int64 (N,).
        reference: What ONNX Runtime gives on the CPU, float32 (N, classes), once that is known.
    """

    faces: Crops
    truth: NDArray[np.int64]
    reference: Array | None = None

    def save(self, path: Path) -> None:
        """Write it to a file."""
        np.savez(path, faces=self.faces, truth=self.truth, reference=self.reference)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Sample:
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            return cls(stored["faces"], stored["truth"], stored["reference"])


def private_test(model: Model, data: Path) -> Sample:
    """Return PrivateTest's faces as ``model`` takes them.

    Raises:
        UsageError: The data have none, or the model has other classes.
    """
    fer = load_fer2013(data)
    rows = fer.indices("private")
    numbers = np.array([model.manifest.labels.index(label) for label in LABELS])
    return Sample(fer.images[rows][:, None], numbers[fer.labels[rows]])


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement with the reference.

    Attributes:
        difference: The largest difference of a probability.
        agreement: Fraction of equal labels.
    """

    difference: float
    agreement: float

    def passes(self, name: str) -> bool:
        """fp32 is judged by the difference; fp16 by its labels; int8 is reported, and judged by its accuracy."""
        if "int8" in name:
            return not math.isnan(self.difference)
        return self.agreement >= FP16_AGREEMENT if "fp16" in name else self.difference <= FP32_DIFFERENCE


def compare(found: Array, reference: Array) -> Parity:
    """Of logits, float32 (N, classes)."""
    same = found.argmax(axis=1) == reference.argmax(axis=1)
    return Parity(float(np.abs(softmax(found) - softmax(reference)).max()), float(same.mean()))


def check(report: Report, contender: Contender, sample: Sample) -> Array:
    """Parity, accuracy and, on a GPU, times of one contender; its logits on the whole sample. What is known is in the
    report before the next is measured."""
    logits = in_batches(contender.run, sample.faces)
    found = compare(logits[:FACES], (logits if sample.reference is None else sample.reference)[:FACES])
    right = float((logits.argmax(axis=1) == sample.truth).mean())
    parity = [contender.name, f"{found.difference:.2g}", f"{100 * found.agreement:.2f} %"]
    report.row(f"Parity with ONNX Runtime, {FACES} faces", ["", "probability", "same label"], parity)
    report.row("Accuracy on PrivateTest", ["", "accuracy"], [contender.name, f"{100 * right:.2f} %"])
    if not found.passes(contender.name):
        report.fail(f"parity of {contender.name}")
        return logits  # how fast wrong logits are computed does not matter
    if contender.on_gpu:
        _time(report, contender.name, lambda size: microseconds(contender.run, sample.faces, size))
    if contender.queued is not None:
        _time(report, f"{contender.name}, data on the GPU", lambda size: _computing(contender, size))
    return logits


def _time(report: Report, name: str, measured: Callable[[int], float]) -> None:
    cells = ["" for _ in SIZES]
    for number, size in enumerate(SIZES):
        cells[number] = f"{measured(size):.2f}"
        report.row(TIMES, ["", *(f"batch {size}" for size in SIZES)], [name, *cells])


def _computing(contender: Contender, size: int) -> float:
    assert contender.queued is not None
    with contender.queued(size) as queue:
        return computing_microseconds(queue, size)


def in_batches(run: Callable[[Crops], Array], faces: Crops, size: int = 128) -> Array:
    """The last batch is filled up, so that what compiles for shapes sees one."""
    parts = [faces[i : i + size] for i in range(0, len(faces), size)]
    return np.concatenate([run(np.resize(part, (size, *faces.shape[1:])))[: len(part)] for part in parts])


def microseconds(run: Callable[[Crops], Array], faces: Crops, size: int, *, seconds: float = 0.3) -> float:
    """A face, copies included: the median over as many batches of ``size`` as fit into ``seconds``, at least 20, after as
    many more that let kernels be compiled and clocks rise."""
    batch = np.resize(faces, (size, *faces.shape[1:]))
    times: list[float] = []
    for _ in ("warm up", "measure"):
        times.clear()
        end = time.perf_counter() + seconds
        while len(times) < 20 or time.perf_counter() < end:
            started = time.perf_counter()
            run(batch)
            times.append(time.perf_counter() - started)
    return float(np.median(times)) / size * 1e6


def computing_microseconds(queue: Queue, size: int, *, seconds: float = 0.3) -> float:
    """A face, without copies: batches of ``size`` queued behind each other, as many as an equal stretch before, in which
    clocks rise, took ``seconds`` for."""
    rounds, started = 0, time.perf_counter()
    while rounds < 20 or time.perf_counter() - started < seconds:
        for _ in range(10):
            queue.enqueue()
        queue.synchronise()
        rounds += 10
    started = time.perf_counter()
    for _ in range(rounds):
        queue.enqueue()
    queue.synchronise()
    return (time.perf_counter() - started) / rounds / size * 1e6
