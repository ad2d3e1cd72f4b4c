"""A GPU and a TensorRT that are not there, stricter than real ones: nothing is computed before it is waited for, memory
that was released is poison, and whatever is not released at the end is a failure."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.device import Pinned
from ferengine.inference.tensorrt.tensorrt import MessageLog, TensorRT
from ferengine.models.manifest import Normalisation

Operation = Callable[[], None]
CLASSES = 7
CROPS = Normalisation(129.5, 65.0)


class FakeDevice:
    """Keeps the timings. ``calls``: the names of all calls; ``fail_at``: which of them (counted from 0) fails."""

    def __init__(self, *, with_graphs: bool = True) -> None:
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.lost = False
        self.closed = False
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, deque[Operation]] = {}
        self.events: dict[int, tuple[int, list[bool]] | None] = {}
        self.recording: dict[int, list[Operation]] = {}
        self.executables: dict[int, list[Operation]] = {}
        self.polls = 0
        self.engines: weakref.WeakSet[Any] = weakref.WeakSet()
        self.contexts: weakref.WeakSet[Any] = weakref.WeakSet()
        self.graphs = self if with_graphs else None
        self.blocking: list[bool] = []
        self.uploads: list[int] = []
        """The bytes of each copy that was done."""
        self._stack: defaultdict[int, int] = defaultdict(int)
        self._next = 0x1000

    # --- bookkeeping

    def _call(self, name: str) -> None:
        assert not self.closed, f"{name} after close"
        if self.fail_at == len(self.calls):
            self.calls.append(name)
            raise DeviceError(f"{name}: out of memory")
        self.calls.append(name)
        if self.lost:
            raise DeviceError(f"{name}: the GPU was lost")
        if name not in ("current", "close") and not self._stack[threading.get_ident()]:
            raise DeviceError(f"{name}: no context is current in this thread")

    def _handle(self) -> int:
        self._next += 0x1000
        return self._next

    def queue(self, stream: int, operation: Operation) -> None:
        assert stream in self.streams, "a stream that does not exist"
        (self.recording[stream] if stream in self.recording else self.streams[stream]).append(operation)

    def bytes_at(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        assert address in self.memory, "device memory used after it was freed"
        assert nbytes <= len(self.memory[address]), "beyond the end of device memory"
        return self.memory[address][:nbytes]

    def live(self) -> dict[str, int]:
        held = {"memory": self.memory, "pinned": self.pinned, "streams": self.streams, "events": self.events}
        return {name: len(what) for name, what in {**held, "graphs": self.executables}.items() if what}

    # --- ferengine.inference.tensorrt.device.Device

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("current")
        thread = threading.get_ident()
        self._stack[thread] += 1
        try:
            yield
        finally:
            self._stack[thread] -= 1

    def allocate(self, nbytes: int) -> int:
        self._call("allocate")
        address = self._handle()
        self.memory[address] = np.full(nbytes, 0xCC, np.uint8)
        return address

    def free(self, address: int) -> None:
        self._call("free")
        assert address in self.memory, "freed twice"
        del self.memory[address]

    def pin(self, nbytes: int) -> Pinned:
        self._call("pin")
        address = self._handle()
        self.pinned[address] = np.full(nbytes, 0xDD, np.uint8)
        return Pinned(self.pinned[address], address)

    def unpin(self, memory: Pinned) -> None:
        self._call("unpin")
        assert memory.address in self.pinned, "unpinned twice"
        del self.pinned[memory.address]
        memory.raw[:] = 0xEE

    def create_stream(self) -> int:
        self._call("create_stream")
        handle = self._handle()
        self.streams[handle] = deque()
        return handle

    def destroy_stream(self, stream: int) -> None:
        self._call("destroy_stream")
        assert not self.streams.pop(stream), "a stream destroyed with work on it"

    def create_event(self, *, blocking: bool = False) -> int:
        self._call("create_event")
        self.blocking.append(blocking)
        handle = self._handle()
        self.events[handle] = None
        return handle

    def destroy_event(self, event: int) -> None:
        self._call("destroy_event")
        del self.events[event]

    def upload(self, address: int, source: Pinned, nbytes: int, stream: int) -> None:
        self._call("upload")

        def copy() -> None:
            assert source.address in self.pinned, "copied from memory that is no longer pinned"
            self.uploads.append(nbytes)
            self.bytes_at(address, nbytes)[:] = source.raw[:nbytes]

        self.queue(stream, copy)

    def download(self, target: Pinned, address: int, nbytes: int, stream: int) -> None:
        self._call("download")

        def copy() -> None:
            assert target.address in self.pinned, "copied to memory that is no longer pinned"
            target.raw[:nbytes] = self.bytes_at(address, nbytes)

        self.queue(stream, copy)

    def record(self, event: int, stream: int) -> None:
        self._call("record")
        assert event in self.events
        reached = [False]
        self.events[event] = stream, reached
        self.queue(stream, lambda: reached.__setitem__(0, True))

    def is_done(self, event: int) -> bool:
        self._call("is_done")
        recorded = self.events[event]
        self.polls += 1
        if recorded is not None and self.polls % 3 == 0:  # now and then the device has got on
            self._run(recorded[0], recorded[1])
        return recorded is None or recorded[1][0]

    def wait(self, event: int) -> None:
        self._call("wait")
        recorded = self.events[event]
        assert recorded is not None, "waited for an event that was not recorded"
        self._run(*recorded)

    def synchronize(self, stream: int) -> None:
        self._call("synchronize")
        self._run(stream, None)

    def _run(self, stream: int, until: list[bool] | None) -> None:
        work = self.streams[stream]
        while work and not (until and until[0]):
            work.popleft()()

    def close(self) -> None:
        gc.collect()
        if not self.lost:
            assert self.live() == {}, "not given back"
        assert not list(self.contexts), "contexts that outlive the device"
        assert not list(self.engines), "engines that outlive the device"
        try:
            self._call("close")
        finally:
            self.closed = True

    # --- ferengine.inference.tensorrt.device.Graphs

    def begin(self, stream: int) -> None:
        self._call("begin")
        assert not self.streams[stream], "captured while work was queued"
        self.recording[stream] = []

    def end(self, stream: int) -> int:
        recorded = self.recording.pop(stream)
        self._call("end")
        handle = self._handle()
        self.executables[handle] = recorded
        return handle

    def launch(self, graph: int, stream: int) -> None:
        self._call("launch")
        for operation in self.executables[graph]:
            self.queue(stream, operation)

    def destroy(self, graph: int) -> None:
        self._call("destroy")
        del self.executables[graph]


def network(rows: NDArray[Any]) -> NDArray[np.float32]:
    """What the fake engine computes: (n, ...) -> (n, CLASSES)."""
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    columns = [flat.mean(axis=1) + flat[:, 0] * index - flat[:, -1] for index in range(CLASSES)]
    return np.stack(columns, axis=1).astype(np.float32)


class FakeContext:
    """Checks what an IExecutionContext leaves undefined when it is forgotten."""

    def __init__(self, engine: FakeEngine, strategy: Any) -> None:
        self.engine = engine
        self.strategy = strategy
        self.shape: tuple[int, ...] | None = None
        self.profile: int | None = None
        self.addresses: dict[str, int] = {}
        self.scratch: tuple[int, int] | None = None
        engine.device.contexts.add(self)

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= self.engine.device_memory_size_v2
        self.scratch = address, size

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self.engine.device.streams
        self.profile = profile
        return profile < len(self.engine.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None, "a shape before its profile"
        low, _, high = self.engine.profiles[self.profile]
        self.shape = shape
        return name == "input" and all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name not in self.addresses, "an address set twice"
        assert address in self.engine.device.memory
        self.addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self.shape is not None
        return self.shape if name == "input" else (self.shape[0], CLASSES)

    def execute_async_v3(self, stream: int) -> bool:
        device = self.engine.device
        device._call("execute")
        assert stream in device.streams
        assert set(self.addresses) == {"input", "logits"}, "run before its addresses were set"
        assert self.shape is not None
        if self.strategy == "user":
            assert self.scratch is not None, "run before its memory was set"
        if device.recording.get(stream) is not None and self.engine.uncapturable:
            return False
        shape, scratch, addresses, silent = self.shape, self.scratch, dict(self.addresses), self.engine.silent
        kind = self.engine.input_dtype

        def compute() -> None:
            if scratch:
                device.bytes_at(*scratch)[:] = 0xAB
            rows = device.bytes_at(addresses["input"], kind.itemsize * math.prod(shape)).view(kind).reshape(shape)
            rows = rows.astype(np.float32)
            if kind == np.uint8:
                rows = CROPS.of(rows)
            logits = np.zeros((len(rows), CLASSES)) if silent else network(rows)
            device.bytes_at(addresses["logits"], 4 * CLASSES * len(rows)).view(np.float32)[:] = logits.ravel()

        device.queue(stream, compute)
        return True


class FakeEngine:
    """One input "input", one output "logits"; three profiles at most. One that takes uint8 normalises by ``CROPS``."""

    def __init__(self, device: FakeDevice, profiles: list[Any], dtypes: tuple[str, str] = ("float", "float")) -> None:
        self.device = device
        self.profiles = profiles
        self.dtypes = dtypes
        self.input_dtype = np.dtype(np.uint8 if dtypes[0] == "uint8" else np.float32)
        self.uncapturable = self.silent = False
        self.strategies: list[Any] = []
        self.num_io_tensors = 2
        self.num_optimization_profiles = len(profiles)
        self.device_memory_size_v2 = 1000
        device.engines.add(self)

    def get_tensor_name(self, index: int) -> str:
        return ("input", "logits")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "input" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtypes[name == "logits"]

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self.profiles[profile]

    def create_execution_context(self, strategy: Any) -> FakeContext:
        self.device._call("context")
        self.strategies.append(strategy)
        return FakeContext(self, strategy)

    def create_runtime_config(self) -> Any:
        self.config = SimpleNamespace(create_runtime_cache=FakeKernels, set_runtime_cache=lambda cache: None)
        return self.config


class FakeKernels:
    """IRuntimeCache: what it was given, and one byte more; nothing once its context was lost."""

    lost = False

    def __init__(self) -> None:
        self.data = b""

    def deserialize(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes | None:
        return None if self.lost else self.data + b"k"


class FakeTensorRT:
    """Makes runtimes whose engines are ``engine``."""

    def __init__(
        self, device: FakeDevice, profiles: list[Any], name: Any = "tensorrt", dtypes: tuple[str, str] = ("float", "float")
    ) -> None:
        self.device = device
        self.dtypes = dtypes
        """Of the input and of the output."""
        self.refuses = False
        self.uncapturable = False
        self.silent = False
        """Whether engines run and compute nothing, as kernels that are not for this GPU do."""

        def deserialise(plan: bytes) -> FakeEngine | None:
            if self.refuses:
                messages.add("ERROR", "the engine is of another version")
                return None
            engine = FakeEngine(device, profiles, self.dtypes)
            engine.uncapturable, engine.silent = self.uncapturable, self.silent
            return engine

        messages = MessageLog()
        api = SimpleNamespace(
            Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=deserialise),
            TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
            DataType=SimpleNamespace(FLOAT="float", UINT8="uint8"),
            ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user"),
            CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole"),
            DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager", NONE="none"),
        )
        self.loaded = TensorRT(name, api, "0", None, messages, None)


PROFILES = [((1, 1, 4, 4), (8, 1, 4, 4), (16, 1, 4, 4)), ((17, 1, 4, 4), (32, 1, 4, 4), (40, 1, 4, 4))]


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    """Each device that is closed looks for garbage, among the objects of its tests: not among those of all modules before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def make_device() -> Iterator[Callable[..., FakeDevice]]:
    """Makes fake devices, each of which must be closed by the end of the test."""
    made: list[FakeDevice] = []

    def make(**options: Any) -> FakeDevice:
        made.append(FakeDevice(**options))
        return made[-1]

    yield make
    assert all(device.closed for device in made), "a device that was never closed"


@pytest.fixture
def device(make_device: Callable[..., FakeDevice]) -> FakeDevice:
    return make_device()


@pytest.fixture
def fake_trt() -> type[FakeTensorRT]:
    return FakeTensorRT


@pytest.fixture
def profiles() -> list[Any]:
    """Batches of 1 to 16 and of 17 to 40 rows of (1, 4, 4)."""
    return PROFILES


@pytest.fixture
def expected() -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What the fake engine must give."""
    return network
