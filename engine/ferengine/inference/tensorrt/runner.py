"""Runs a network on the GPU: batches in, outputs by name out, two batches on their way at a time."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.device import Device
from ferengine.inference.tensorrt.engine import LoadedEngine
from ferengine.inference.tensorrt.execution import Lane
from ferengine.inference.tensorrt.tensorrt import TensorRT
from ferengine.inference.tensorrt.types import Shape

log = logging.getLogger(__name__)

GRAPH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Batches are filled up to the next of these, so that each is a CUDA graph after its third time."""


class EngineRunner:
    """An engine on a device, which it closes. Not thread-safe, but any one thread at a time may use it.

    ``kernels``: where tensorrt-rtx keeps what it compiles. ``graphs``: whether to use CUDA graphs. ``eager``:
    LoadedEngine's. ``depth``: batches that may be on their way at a time (with 2, one computes while the next is filled);
    each has buffers of its own. ``blocking``: Device.create_event's. Raises ModelError for an engine that does not load,
    DeviceError for a device that has too little memory or fails.
    """

    def __init__(
        self,
        trt: TensorRT,
        device: Device,
        plan: bytes,
        kernels: Path | None = None,
        *,
        graphs: bool = True,
        eager: bool = False,
        depth: int = 2,
        blocking: bool = False,
    ) -> None:
        self.depth = depth
        self._device = device
        self._lanes: list[Lane] = []
        self._queued: deque[tuple[Lane, int]] = deque()
        self._closed = False
        self._engine: LoadedEngine | None = None
        try:
            self._engine = LoadedEngine(trt, plan, kernels, graphs=graphs, eager=eager)
            for _ in range(depth):
                self._lanes.append(Lane(device, self._engine, frozenset(GRAPH_SIZES if graphs else ()), blocking))
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
            self.close()
            raise
        self.profiles = self._engine.profiles
        self.max_batch: int = max(high[0] for _, _, high in self.profiles)
        self._row = self.profiles[0][2][1:] if all(low[1:] == high[1:] for low, _, high in self.profiles) else None
        self._next = 0

    @property
    def in_flight(self) -> int:
        """Batches submitted and not yet collected."""
        return len(self._queued)

    def input(self, shape: Shape | None = None) -> NDArray[np.float32]:
        """Pinned memory for the next batch, float32 of ``shape`` (default: the largest batch)."""
        if shape is None:
            assert self._row is not None, "a network with open sides needs a shape"
            shape = (self.max_batch, *self._row)
        return self._lanes[self._next].input(shape)

    def capacity(self, row: tuple[int, ...]) -> int:
        """How many rows of shape ``row`` may come at once; 0 when none may."""
        fitting = [
            high[0]
            for low, _, high in self.profiles
            if len(row) == len(low) - 1 and all(a <= s <= b for a, s, b in zip(low[1:], row, high[1:], strict=True))
        ]
        return max(fitting, default=0)

    def submit(self, shape: Shape) -> None:
        """Run what ``input`` was filled with; at most ``depth`` batches may be on their way. Raises DeviceError."""
        if len(self._queued) >= self.depth:
            raise DeviceError(f"{self.depth} batches are on their way already: collect one first")
        self._device.activate()
        lane = self._lanes[self._next]
        lane.submit((self._filled_up(shape[0]), *shape[1:]))
        self._queued.append((lane, shape[0]))
        self._next = (self._next + 1) % self.depth

    def is_done(self) -> bool:
        """Whether the oldest batch on its way is done, so that ``collect`` does not wait."""
        return bool(self._queued) and self._queued[0][0].is_done()

    def collect(self) -> dict[str, NDArray[np.float32]]:
        """The outputs of the oldest batch on its way, in pinned memory: good until ``depth`` more were submitted."""
        lane, count = self._queued.popleft()
        self._device.activate()
        return {name: values[:count] for name, values in lane.wait().items()}

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """float32 (N, ...) -> outputs by name, as new arrays; more rows than ``capacity`` go in several batches."""
        most = self.capacity(batch.shape[1:]) or self.max_batch
        parts = [self._run_one(batch[i : i + most]) for i in range(0, len(batch), most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def keep_kernels(self) -> None:
        """Write what was compiled so far, for the next start. ``close`` does too, but the end may come suddenly."""
        if self._engine is not None:
            self._engine.keep_kernels()

    def close(self) -> None:
        """Give back contexts, then memory, then the engine, then the device, also a lost one; more than once is once."""
        if not self._closed:
            self._attempt(self._device.activate)  # whoever closes may be another thread than ran it
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        self._queued.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if not self._closed:
            self._closed = True
            self._attempt(self._device.close)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except DeviceError as error:  # a GPU that was lost has nothing to give back
            log.debug("closing: %s", error)

    def _run_one(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self._queued:
            raise DeviceError("batches are on their way: collect them first")
        self.input(rows.shape)[:] = rows
        self.submit(rows.shape)
        return {name: values.copy() for name, values in self.collect().items()}

    def _filled_up(self, count: int) -> int:
        """The batch that is run for ``count`` rows: what lies in the buffer behind them is computed and dropped."""
        if self._row is None or count > self.max_batch:
            return count
        larger = [size for size in GRAPH_SIZES if count <= size <= self.max_batch]
        smallest = min(low[0] for low, _, _ in self.profiles)
        return max(larger[0] if larger else self.max_batch, smallest)
