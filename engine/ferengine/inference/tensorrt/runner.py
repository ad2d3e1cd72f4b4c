"""Runs a network on the GPU: batches in, outputs by name out, two batches in flight at a time."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.base import BATCH_SIZES, Batch, Outputs, Shape, check_dtype, fixed_sizes, joined, padded_size
from ferengine.inference.tensorrt.device import Device
from ferengine.inference.tensorrt.engine import LoadedEngine
from ferengine.inference.tensorrt.execution import CAPTURED_AT, Execution
from ferengine.inference.tensorrt.tensorrt import TensorRT

log = logging.getLogger(__name__)


class EngineRunner:
    """An engine on a device, which it closes; implements ``ferengine.inference.base.Runner``.

    While one batch is computed the next is gathered into pinned memory. Where the GPU was lost, it can still be closed.

    Args:
        trt: The runtime.
        device: The GPU.
        plan: A serialised engine that may be trusted.
        kernels: Where tensorrt-rtx keeps what it compiles.
        graphs: Whether to use CUDA graphs.
        depth: How many batches may be in flight; each has buffers of its own.
        blocking: As of ``Device.create_event``.

    Attributes:
        profiles: The smallest, best and largest shape of the input that each profile of the engine takes.

    Raises:
        ModelError: The engine cannot be loaded.
        DeviceError: The device has too little memory, or fails.
    """

    name = "tensorrt"

    def __init__(
        self,
        trt: TensorRT,
        device: Device,
        plan: bytes,
        kernels: Path | None = None,
        *,
        graphs: bool = True,
        depth: int = 2,
        blocking: bool = False,
    ) -> None:
        self.depth = depth
        self._device = device
        self._executions: list[Execution] = []
        self._queued: deque[tuple[Execution, int]] = deque()
        self._closed = False
        self._engine: LoadedEngine | None = None
        try:
            with device.current():
                self._engine = LoadedEngine(trt, plan, kernels, graphs=graphs)
                largest = {high[0] for _, _, high in self._engine.profiles}
                sizes = frozenset({*BATCH_SIZES, *largest} if graphs else ())
                for _ in range(depth):
                    self._executions.append(Execution(device, self._engine, sizes, blocking))
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
            self.close()
            raise
        self.output_names = self._engine.output_names
        self.input_dtype = self._engine.input_dtype
        self.profiles = self._engine.profiles
        self._row: Shape | None = None
        self._fixed_row = self._engine.fixed_row
        self._smallest = min(low[0] for low, _, _ in self.profiles)
        self._largest = max(high[0] for _, _, high in self.profiles)
        self._next = 0

    @property
    def in_flight(self) -> int:
        return len(self._queued)

    def capacity(self, row: Shape) -> int:
        return max((high[0] for low, _, high in self.profiles if _fits(row, low[1:], high[1:])), default=0)

    def warm_up(self, row: Shape, largest: int) -> None:
        for size in fixed_sizes(min(largest, self.capacity(row))):
            for _ in range(CAPTURED_AT * self.depth):
                self._run_one(np.zeros((size, *row), self.input_dtype))

    def input(self, shape: Shape) -> Batch:
        capacity = self.capacity(shape[1:])
        if not capacity:
            raise ModelError(f"the engine has no profile for an input of shape {shape}")
        if shape[0] > capacity:
            raise ModelError(f"the engine takes batches of {capacity} at most, not {shape[0]}")
        self._row = shape[1:]
        return self._executions[self._next].input(shape)

    def submit(self, count: int) -> None:
        if len(self._queued) >= self.depth:
            raise RuntimeError(f"{self.depth} batches are in flight: collect one first")
        if self._row is None:
            raise RuntimeError("submit before input")
        execution = self._executions[self._next]
        with self._device.current():
            execution.submit((self._padded(count), *self._row))
        self._queued.append((execution, count))
        self._next = (self._next + 1) % self.depth

    def is_done(self) -> bool:
        if not self._queued:
            return False
        with self._device.current():
            return self._queued[0][0].is_done()

    def collect(self) -> Outputs:
        if not self._queued:
            raise RuntimeError("no batch is in flight")
        execution, count = self._queued.popleft()
        with self._device.current():
            outputs = execution.wait()
        return {name: values[:count] for name, values in outputs.items()}

    def run(self, batch: Batch) -> Outputs:
        if self._queued:
            raise RuntimeError("batches are in flight: collect them first")
        check_dtype(batch, self)
        size = max(1, min(len(batch), self.capacity(batch.shape[1:])))
        return joined([self._run_one(batch[start : start + size]) for start in range(0, len(batch), size)])

    def keep_kernels(self) -> None:
        """Write what was compiled so far, for the next start. ``close`` does too, but the end may come suddenly."""
        if self._engine is not None:
            with self._device.current():
                self._engine.keep_kernels()

    def close(self) -> None:
        """Release contexts, then memory, then the engine, then the device, even one that was lost. May be called again."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as stack:  # another thread may close than ran it
            self._attempt(lambda: stack.enter_context(self._device.current()))
            for execution in self._executions:
                execution.close()
            self._executions.clear()
            self._queued.clear()
            if self._engine is not None:
                self._engine.close()
                self._engine = None
        self._attempt(self._device.close)

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except DeviceError as error:  # a GPU that was lost has nothing to release
            log.debug("closing: %s", str(error))

    def _run_one(self, rows: Batch) -> Outputs:
        self.input(rows.shape)[:] = rows
        self.submit(len(rows))
        return {name: values.copy() for name, values in self.collect().items()}

    def _padded(self, count: int) -> int:
        """The batch that is run for ``count`` rows: what lies in the buffer behind them is computed and dropped."""
        if not self._fixed_row:
            return count
        return max(padded_size(count, self._largest), self._smallest)


def _fits(row: Shape, low: Shape, high: Shape) -> bool:
    return len(row) == len(low) and all(a <= side <= b for a, side, b in zip(low, row, high, strict=True))
