"""The GPU through pycuda, which is built from source where CUDA's compiler is (it ships no wheels)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pycuda.driver as driver

from ferengine.gpu.device import Graphs, Pinned, bindings_installed, device_error


@contextmanager
def _explained(call: str) -> Iterator[None]:
    try:
        yield
    except driver.Error as error:
        raise device_error(call, str(error)) from None


class PycudaDevice:
    """Device 0 in its primary context. pycuda has no graphs: they come from cuda-python's bindings where those are
    installed too."""

    def __init__(self) -> None:
        with _explained("opening the GPU"):
            driver.init()
            self._context = driver.Device(0).retain_primary_context()
            self._context.push()
        self._objects: dict[int, Any] = {}
        self.graphs: Graphs | None = None
        if bindings_installed():
            from ferengine.gpu.bindings_device import BindingsGraphs

            self.graphs = BindingsGraphs()

    def activate(self) -> None:
        current = driver.Context.get_current()
        if current is None or current.handle != self._context.handle:
            with _explained("activating the GPU"):
                self._context.push()

    def allocate(self, nbytes: int) -> int:
        with _explained("allocating memory"):
            allocation = driver.mem_alloc(nbytes)
        self._objects[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        with _explained("freeing memory"):
            self._objects.pop(address).free()

    def pin(self, nbytes: int) -> Pinned:
        with _explained("allocating pinned memory"):
            raw = driver.pagelocked_empty(nbytes, np.uint8)
        return Pinned(raw, raw.ctypes.data)

    def unpin(self, memory: Pinned) -> None:
        with _explained("freeing pinned memory"):
            memory.raw.base.free()  # type: ignore[union-attr]

    def create_stream(self) -> int:
        with _explained("creating a stream"):
            stream = driver.Stream(1)  # CU_STREAM_NON_BLOCKING
        self._objects[stream.handle] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        del self._objects[stream]

    def create_event(self) -> int:
        with _explained("creating an event"):
            event = driver.Event(driver.event_flags.DISABLE_TIMING)
        self._objects[id(event)] = event
        return id(event)

    def destroy_event(self, event: int) -> None:
        del self._objects[event]

    def upload(self, address: int, source: Pinned, nbytes: int, stream: int) -> None:
        with _explained("copying to the GPU"):
            driver.memcpy_htod_async(address, source.raw[:nbytes], self._objects[stream])

    def download(self, target: Pinned, address: int, nbytes: int, stream: int) -> None:
        with _explained("copying from the GPU"):
            driver.memcpy_dtoh_async(target.raw[:nbytes], address, self._objects[stream])

    def record(self, event: int, stream: int) -> None:
        with _explained("recording an event"):
            self._objects[event].record(self._objects[stream])

    def is_done(self, event: int) -> bool:
        with _explained("asking for an event"):
            return bool(self._objects[event].query())

    def wait(self, event: int) -> None:
        with _explained("waiting for the GPU"):
            self._objects[event].synchronize()

    def synchronize(self, stream: int) -> None:
        with _explained("waiting for the GPU"):
            self._objects[stream].synchronize()

    def close(self) -> None:
        with _explained("closing the GPU"):
            self._context.detach()
