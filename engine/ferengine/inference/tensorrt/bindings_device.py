"""The GPU through cuda-python's bindings of the driver API (the package ``cuda-bindings``)."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from cuda.bindings import driver

from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.device import Graphs, Pinned, device_error

log = logging.getLogger(__name__)

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no implicit order with the default stream
_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING
_BLOCKING = 1  # CU_EVENT_BLOCKING_SYNC
_DEVICE = 0


def call(function: Any, *arguments: Any) -> Any:
    """What a driver function returns besides its code.

    Raises:
        DeviceError: The code is not success.
    """
    code, *values = function(*arguments)
    if code != driver.CUresult.CUDA_SUCCESS:
        raise _error(function.__name__, code)
    return values[0] if len(values) == 1 else values


def _error(call: str, code: Any) -> DeviceError:
    _, text = driver.cuGetErrorString(code)
    name = str(getattr(code, "name", code))
    return device_error(call, name, text.decode() if text else "an error without a text")


@cache
def _primary_context() -> Any:
    """Of the device, held until the process ends: released by all, it is reset under the threads that have it current."""
    try:
        call(driver.cuInit, 0)
    except RuntimeError as error:  # the bindings do not find the driver's library
        raise DeviceError(f"opening the GPU: {error}: the NVIDIA driver is missing or does not load") from None
    return call(driver.cuDevicePrimaryCtxRetain, call(driver.cuDeviceGet, _DEVICE))


class BindingsDevice:
    """Device 0 in its primary context."""

    def __init__(self) -> None:
        with self.current():
            pass  # opens it
        self.graphs: Graphs | None = BindingsGraphs()

    @contextmanager
    def current(self) -> Iterator[None]:
        call(driver.cuCtxPushCurrent, _primary_context())
        try:
            yield
        finally:
            code, _ = driver.cuCtxPopCurrent()
            if code != driver.CUresult.CUDA_SUCCESS:  # it also reports what earlier calls did
                log.debug("leaving the GPU: %s", code)

    def allocate(self, nbytes: int) -> int:
        return int(call(driver.cuMemAlloc, nbytes))

    def free(self, address: int) -> None:
        call(driver.cuMemFree, address)

    def pin(self, nbytes: int) -> Pinned:
        address = int(call(driver.cuMemHostAlloc, nbytes, 0))
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
        return Pinned(raw, address)

    def unpin(self, memory: Pinned) -> None:
        call(driver.cuMemFreeHost, memory.address)

    def create_stream(self) -> int:
        return int(call(driver.cuStreamCreate, _NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        call(driver.cuStreamDestroy, stream)

    def create_event(self, *, blocking: bool = False) -> int:
        return int(call(driver.cuEventCreate, _NO_TIMING | (_BLOCKING if blocking else 0)))

    def destroy_event(self, event: int) -> None:
        call(driver.cuEventDestroy, event)

    def upload(self, address: int, source: Pinned, nbytes: int, stream: int) -> None:
        call(driver.cuMemcpyHtoDAsync, address, source.address, nbytes, stream)

    def download(self, target: Pinned, address: int, nbytes: int, stream: int) -> None:
        call(driver.cuMemcpyDtoHAsync, target.address, address, nbytes, stream)

    def record(self, event: int, stream: int) -> None:
        call(driver.cuEventRecord, event, stream)

    def is_done(self, event: int) -> bool:
        (code,) = driver.cuEventQuery(event)
        if code == driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        if code != driver.CUresult.CUDA_SUCCESS:
            raise _error("cuEventQuery", code)
        return True

    def wait(self, event: int) -> None:
        call(driver.cuEventSynchronize, event)

    def synchronize(self, stream: int) -> None:
        call(driver.cuStreamSynchronize, stream)

    def close(self) -> None:
        """The context stays, see ``_primary_context``."""


class BindingsGraphs:
    """CUDA graphs on streams of any origin."""

    def begin(self, stream: int) -> None:
        call(driver.cuStreamBeginCapture, stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)

    def end(self, stream: int) -> int:
        graph = call(driver.cuStreamEndCapture, stream)
        try:
            return int(call(driver.cuGraphInstantiate, graph, 0))
        finally:
            call(driver.cuGraphDestroy, graph)

    def launch(self, graph: int, stream: int) -> None:
        call(driver.cuGraphLaunch, graph, stream)

    def destroy(self, graph: int) -> None:
        call(driver.cuGraphExecDestroy, graph)
