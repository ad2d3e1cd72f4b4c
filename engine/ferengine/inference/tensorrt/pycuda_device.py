"""The GPU through pycuda, which is built from source where CUDA's compiler is (it ships no wheels)."""

from __future__ import annotations

import ctypes
import logging
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
        raise device_error(call, *_code(str(error))) from None


def _code(text: str) -> tuple[str, str]:
    """The name of the code, and the driver's words for it, of pycuda's message: "cuMemAlloc failed: out of memory"."""
    said = text.partition(" failed: ")[2].partition(" - ")[0] or text
    return _names().get(said, "an unknown code"), said


@cache
def _names() -> dict[str, str]:
    """The names of the driver's codes by its words for them, which are all that pycuda passes on."""
    library = ctypes.CDLL("libcuda.so.1")
    names: dict[str, str] = {}
    for code in range(1, 1000):
        name, words = ctypes.c_char_p(), ctypes.c_char_p()
        library.cuGetErrorName(code, ctypes.byref(name))
        library.cuGetErrorString(code, ctypes.byref(words))
        if name.value and words.value:
            names.setdefault(words.value.decode(), name.value.decode())
    return names


@cache
def _primary_context() -> Any:
    """Of device 0, held until the process ends: released by all, it is reset under the threads that have it current."""
    driver.init()
    context = driver.Device(0).retain_primary_context()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))  # its destructor would detach it as a context that pycuda made
    return context


class PycudaDevice:
    """Device 0 in its primary context. pycuda has no graphs: they come from cuda-python's bindings where those are
    installed too."""

    def __init__(self) -> None:
        with self.current():
            pass  # opens it
        self._objects: dict[int, Any] = {}
        self.graphs: Graphs | None = None
        if bindings_installed():
            from ferengine.inference.tensorrt.bindings_device import BindingsGraphs

            self.graphs = BindingsGraphs()

    @contextmanager
    def current(self) -> Iterator[None]:
        with _explained("opening the GPU"):
            context = _primary_context()
            context.push()
        try:
            yield
        finally:
            try:
                context.pop()  # pycuda aborts the process where a thread ends with one on its stack
            except driver.Error as error:
                log.debug("leaving the GPU: %s", error)

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
