"""The GPU through pycuda, which is built from source where CUDA's compiler is (it ships no wheels)."""

from __future__ import annotations

import atexit
import ctypes
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pycuda.driver as driver

from ferengine.inference.tensorrt.device import Graphs, Pinned, bindings_installed, device_error

log = logging.getLogger(__name__)


@contextmanager
def _explained(call: str) -> Iterator[None]:
    try:
        yield
    except driver.Error as error:
        raise device_error(call, str(error)) from None


@cache
def _primary_context() -> Any:
    """Of device 0, held until the process ends: released by all, it is reset under the threads that have it current."""
    driver.init()
    context = driver.Device(0).retain_primary_context()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))  # its destructor would detach it as a context that pycuda made
    return context


class _Pushed:
    """The context on one thread's stack, taken off when the thread ends: pycuda aborts the process where one is left."""

    def __init__(self) -> None:
        self._context = _primary_context()
        self._context.push()

    def __del__(self) -> None:
        try:
            self._context.pop()
        except driver.Error as error:  # another library's is on top
            log.debug("leaving the GPU: %s", error)


_threads = threading.local()


@atexit.register
def _leave() -> None:
    """What the main thread pushed; other threads' locals go with them."""
    _threads.__dict__.clear()


class PycudaDevice:
    """Device 0 in its primary context. pycuda has no graphs: they come from cuda-python's bindings where those are
    installed too."""

    def __init__(self) -> None:
        self.activate()
        self._objects: dict[int, Any] = {}
        self.graphs: Graphs | None = None
        if bindings_installed():
            from ferengine.inference.tensorrt.bindings_device import BindingsGraphs

            self.graphs = BindingsGraphs()

    def activate(self) -> None:
        if not hasattr(_threads, "pushed"):
            with _explained("opening the GPU"):
                _threads.pushed = _Pushed()

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

    def create_event(self, *, blocking: bool = False) -> int:
        flags = driver.event_flags.DISABLE_TIMING | (driver.event_flags.BLOCKING_SYNC if blocking else 0)
        with _explained("creating an event"):
            event = driver.Event(flags)
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
        """The context stays, see ``_primary_context``."""
