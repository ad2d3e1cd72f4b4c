"""Differences, accuracies and times of contenders."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError
from ferengine.gpu.device import Device
from ferengine.gpu.engine import LoadedEngine
from ferengine_tools.evaluation.metrics import softmax

Array = NDArray[np.float32]

SIZES = (1, 8, 32, 128, 512)
FP32_DIFFERENCE = 1e-3
"""Of probabilities, with TF32 off."""

FP16_AGREEMENT = 0.998
"""Share of faces with the same label."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Against the reference: the largest difference of a probability, the share of equal labels."""

    difference: float
    agreement: float

    def passes(self, name: str) -> bool:
        """fp32 by its difference; fp16 by its labels; int8 is reported, and judged by its accuracy."""
        if "int8" in name:
            return True
        return self.agreement >= FP16_AGREEMENT if "fp16" in name else self.difference <= FP32_DIFFERENCE


def compare(found: Array, reference: Array) -> Parity:
    """Of logits, float32 (N, classes)."""
    same = found.argmax(axis=1) == reference.argmax(axis=1)
    return Parity(float(np.abs(softmax(found) - softmax(reference)).max()), float(same.mean()))


def in_batches(run: Callable[[Array], Array], faces: Array, size: int = 256) -> Array:
    return np.concatenate([run(faces[i : i + size]) for i in range(0, len(faces), size)])


def microseconds(run: Callable[[Array], Array], faces: Array, size: int, *, seconds: float = 0.5) -> float:
    """A face, copies included: the median over as many batches of ``size`` as fit into ``seconds``, at least 20."""
    batch = np.ascontiguousarray(np.resize(faces, (size, *faces.shape[1:])))
    for _ in range(5):  # compiling, capturing
        run(batch)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 20 or time.perf_counter() < end:
        begun = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) / size * 1e6


def computing_microseconds(device: Device, engine: LoadedEngine, size: int, *, rounds: int = 100) -> float:
    """A face, without copies: ``rounds`` batches of ``size`` queued behind each other, their data on the GPU already.

    Raises DeviceError when the engine does not run.
    """
    row = engine.profiles[0][2][1:]
    [index, *_] = [i for i, (low, _, high) in enumerate(engine.profiles) if low[0] <= size <= high[0]]
    context, stream = engine.make_context(), device.create_stream()
    addresses = []
    try:
        if engine.scratch:
            addresses.append(device.allocate(engine.scratch))
            context.set_device_memory(addresses[-1], engine.scratch)
        context.set_optimization_profile_async(index, stream)
        context.set_input_shape(engine.input_name, (size, *row))
        for name in (engine.input_name, *engine.output_names):
            addresses.append(device.allocate(4 * int(np.prod(context.get_tensor_shape(name)))))
            context.set_tensor_address(name, addresses[-1])
        for repeat in (5, rounds):
            device.synchronize(stream)
            begun = time.perf_counter()
            for _ in range(repeat):
                if not context.execute_async_v3(stream):
                    raise DeviceError("the engine does not run")
            device.synchronize(stream)
        return (time.perf_counter() - begun) / rounds / size * 1e6
    finally:
        del context
        for address in addresses:
            device.free(address)
        device.destroy_stream(stream)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"
