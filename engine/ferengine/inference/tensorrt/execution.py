"""One batch in flight through an engine: its buffers, its stream, its contexts."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ferengine.errors import DeviceError
from ferengine.inference.base import Batch, Outputs, Shape
from ferengine.inference.tensorrt.device import Device, Pinned, view
from ferengine.inference.tensorrt.engine import LoadedEngine
from ferengine.inference.tensorrt.types import ExecutionContext

log = logging.getLogger(__name__)

_FLOAT = np.dtype(np.float32)
_MAX_GRAPHS = 16
CAPTURED_AT = 3
"""The time of a shape at which its graph is captured."""

_MAX_REMEMBERED = 64  # shapes, to recognise those that come again
_Made = TypeVar("_Made")


@dataclass(slots=True)
class _Run:
    """A context, the shape that is set in it, the outputs' shapes that follow, and the graph captured from it."""

    context: ExecutionContext
    profile: int
    shape: Shape = ()
    results: dict[str, Shape] = field(default_factory=dict)
    graph: int | None = None


class Execution:
    """Buffers allocated once for the largest shapes, a stream of its own, one context for each profile of the engine.

    Args:
        device: The GPU.
        engine: The engine.
        graph_sizes: Batches that are worth a CUDA graph. Each gets a context of its own when it comes a second time (a graph
            is tied to the state of its context), and is captured from that at the third. So do 16 shapes at most: the levels
            of a detector's pyramids change with the frames.
        blocking: As of ``Device.create_event``.

    Raises:
        DeviceError: The device has too little memory, or fails.
    """

    def __init__(self, device: Device, engine: LoadedEngine, graph_sizes: frozenset[int], blocking: bool = False) -> None:
        self._device = device
        self._engine = engine
        self._graph_sizes = graph_sizes if device.graphs is not None and not engine.captures_itself else frozenset()
        self._seen: set[Shape] = set()
        self._undo: list[Callable[[], None]] = []
        self._runs: list[_Run] = []
        self._dedicated: dict[Shape, _Run] = {}
        self._last: _Run | None = None
        try:
            self._stream = self._owned(device.create_stream(), device.destroy_stream)
            self._undo.append(lambda: device.synchronize(self._stream))
            self._event = self._owned(device.create_event(blocking=blocking), device.destroy_event)
            self._allocate()
        except BaseException:
            self.close()
            raise

    def input(self, shape: Shape) -> Batch:
        """Pinned memory for the next batch, of ``shape`` and the input's type: to be filled before ``submit``."""
        return view(self._host_input, shape, self._engine.input_dtype)

    def submit(self, shape: Shape) -> None:
        """Queue copying in, computing and copying out; returns at once.

        Args:
            shape: Of the batch, which one of the profiles takes.

        Raises:
            DeviceError: The GPU fails, or no profile takes the shape.
        """
        run = self._dedicated.get(shape)
        if run is None and shape in self._seen and shape[0] in self._graph_sizes and len(self._dedicated) < _MAX_GRAPHS:
            run = self._dedicated[shape] = self._make_run(self._profile_for(shape))
        elif run is not None and run.graph is None and shape[0] in self._graph_sizes:
            run.graph = self._capture(run, shape)
        if run is not None and run.graph is not None and self._device.graphs is not None:
            self._device.graphs.launch(run.graph, self._stream)
        else:
            run = run or self._runs[self._profile_for(shape)]
            self._enqueue(run, shape)
            if len(self._seen) >= _MAX_REMEMBERED:
                self._seen.clear()
            self._seen.add(shape)
        self._last = run
        self._device.record(self._event, self._stream)

    def is_done(self) -> bool:
        """Whether the last ``submit`` is computed and copied out."""
        return self._device.is_done(self._event)

    def wait(self) -> Outputs:
        """The outputs of the last ``submit``, in pinned memory: valid until the next one.

        Raises:
            DeviceError: The GPU fails.
        """
        assert self._last is not None
        self._device.wait(self._event)
        return {name: view(self._outputs[name][0], shape, _FLOAT) for name, shape in self._last.results.items()}

    def close(self) -> None:
        """Wait for what is queued and release everything, even where the device was lost."""
        steps = list(reversed(self._undo))
        self._undo = []
        self._last = None
        if hasattr(self, "_event"):
            self._attempt(lambda: self._device.synchronize(self._stream))
        for run in self._dedicated.values():
            if run.graph is not None and self._device.graphs is not None:
                graph, graphs = run.graph, self._device.graphs
                self._attempt(lambda graphs=graphs, graph=graph: graphs.destroy(graph))  # type: ignore[misc]
        self._dedicated.clear()
        self._runs.clear()
        for step in steps:
            self._attempt(step)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except DeviceError as error:
            log.debug("closing: %s", str(error))

    def _owned(self, made: _Made, release: Callable[[_Made], None]) -> _Made:
        self._undo.append(lambda: release(made))
        return made

    def _allocate(self) -> None:
        device, engine = self._device, self._engine
        self._scratch = self._owned(device.allocate(engine.scratch), device.free) if engine.scratch else 0
        self._runs = [self._bare_run(index) for index in range(len(engine.profiles))]
        largest = max(self._input_bytes(high) for _, _, high in engine.profiles)
        self._host_input = self._owned(device.pin(largest), device.unpin)
        self._host_input.raw[:] = 0
        self._input = self._owned(device.allocate(largest), device.free)
        self._outputs: dict[str, tuple[Pinned, int]] = {}
        for name in engine.output_names:
            nbytes = _FLOAT.itemsize * max(math.prod(run.results[name]) for run in self._runs)
            pinned = self._owned(device.pin(nbytes), device.unpin)
            self._outputs[name] = pinned, self._owned(device.allocate(nbytes), device.free)
        for run in self._runs:
            self._set_addresses(run)
        device.synchronize(self._stream)

    def _input_bytes(self, shape: Shape) -> int:
        return self._engine.input_dtype.itemsize * math.prod(shape)

    def _make_run(self, profile: int) -> _Run:
        run = self._bare_run(profile)
        self._set_addresses(run)
        return run

    def _bare_run(self, profile: int) -> _Run:
        """A context at the largest shape of its profile, without addresses."""
        run = _Run(self._engine.make_context(), profile)
        if self._scratch:
            run.context.set_device_memory(self._scratch, self._engine.scratch)
        if not run.context.set_optimization_profile_async(profile, self._stream):
            raise self._engine.failure(f"the profile {profile} cannot be chosen")
        self._set_shape(run, self._engine.profiles[profile][2])
        return run

    def _set_addresses(self, run: _Run) -> None:
        addresses = {self._engine.input_name: self._input} | {name: at for name, (_, at) in self._outputs.items()}
        for name, address in addresses.items():
            if not run.context.set_tensor_address(name, address):
                raise self._engine.failure(f"the address of {name} cannot be set")

    def _set_shape(self, run: _Run, shape: Shape) -> None:
        if run.shape == shape:
            return
        if not run.context.set_input_shape(self._engine.input_name, shape):
            raise self._engine.failure(f"an input of shape {shape} is refused")
        run.shape = shape
        run.results = {name: tuple(run.context.get_tensor_shape(name)) for name in self._engine.output_names}

    def _profile_for(self, shape: Shape) -> int:
        """The profile whose largest shape is the smallest that takes ``shape``. Raises DeviceError when none does."""
        fitting = [
            (math.prod(high), index)
            for index, (low, _, high) in enumerate(self._engine.profiles)
            if len(low) == len(shape) and all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True))
        ]
        if not fitting:
            raise self._engine.failure(f"the engine has no profile for an input of shape {shape}")
        return min(fitting)[1]

    def _enqueue(self, run: _Run, shape: Shape) -> None:
        device = self._device
        self._set_shape(run, shape)
        device.upload(self._input, self._host_input, self._input_bytes(shape), self._stream)
        if not run.context.execute_async_v3(self._stream):
            device.synchronize(self._stream)  # says by its code what is wrong with the device, if anything is
            raise self._engine.failure(f"a batch of shape {shape} cannot be run")
        for name, (pinned, address) in self._outputs.items():
            device.download(pinned, address, _FLOAT.itemsize * math.prod(run.results[name]), self._stream)

    def _capture(self, run: _Run, shape: Shape) -> int | None:
        graphs = self._device.graphs
        assert graphs is not None
        graph: int | None = None
        try:
            graphs.begin(self._stream)
            try:
                self._enqueue(run, shape)
            finally:
                graph = graphs.end(self._stream)
        except DeviceError as error:
            log.warning("no CUDA graph for batches of %d: %s", shape[0], str(error))  # no reference to the frames
            self._graph_sizes -= {shape[0]}
            if graph is not None:
                graphs.destroy(graph)
            return None
        return graph
