"""Memory, streams, events and graphs of one GPU, whichever package speaks to CUDA.

Everything is made in the device's *primary* context, the one that TensorRT, torch and ONNX Runtime use too. Addresses
and handles are plain integers.
"""

from __future__ import annotations

import importlib.util
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError
from ferengine.inference.base import Shape


@dataclass(frozen=True, slots=True)
class Pinned:
    """Page-locked host memory, which the GPU copies from and to by itself.

    Attributes:
        raw: uint8 (nbytes,).
        address: Where it begins.
    """

    raw: NDArray[np.uint8]
    address: int


class Graphs(Protocol):
    """CUDA graphs: what was once captured on a stream is launched again in one call.

    NVIDIA, "CUDA C++ Programming Guide", section "CUDA Graphs".
    """

    def begin(self, stream: int) -> None:
        """From now on ``stream`` records instead of running."""
        ...

    def end(self, stream: int) -> int:
        """Stop recording.

        Returns:
            The handle of a graph that can be launched.

        Raises:
            DeviceError: Something could not be recorded.
        """
        ...

    def launch(self, graph: int, stream: int) -> None: ...
    def destroy(self, graph: int) -> None: ...


class Device(Protocol):
    """One GPU.

    All calls raise DeviceError where it fails. What ``allocate``, ``pin`` and ``create_...`` make, their counterparts must
    release before ``close``.
    """

    graphs: Graphs | None

    def current(self) -> AbstractContextManager[None]:
        """Make the context the calling thread's for a block, which all other calls need. Then the thread's own is back."""
        ...

    def allocate(self, nbytes: int) -> int: ...
    def free(self, address: int) -> None: ...
    def pin(self, nbytes: int) -> Pinned: ...
    def unpin(self, memory: Pinned) -> None: ...
    def create_stream(self) -> int: ...
    def destroy_stream(self, stream: int) -> None: ...
    def create_event(self, *, blocking: bool = False) -> int:
        """An event to ``record``.

        Args:
            blocking: Whether ``wait`` lets the processor sleep, which wakes a little later, instead of polling.
        """
        ...

    def destroy_event(self, event: int) -> None: ...
    def upload(self, address: int, source: Pinned, nbytes: int, stream: int) -> None:
        """Queue a copy of the first ``nbytes`` of ``source`` to the GPU; both must live until it is done."""
        ...

    def download(self, target: Pinned, address: int, nbytes: int, stream: int) -> None:
        """Queue a copy of ``nbytes`` from the GPU into ``target``; both must live until it is done."""
        ...

    def record(self, event: int, stream: int) -> None:
        """``event`` is done when all that is queued on ``stream`` so far is."""
        ...

    def is_done(self, event: int) -> bool: ...
    def wait(self, event: int) -> None: ...
    def synchronize(self, stream: int) -> None: ...
    def close(self) -> None:
        """Nothing may be called afterwards."""
        ...


def bindings_installed() -> bool:
    """Whether cuda-python's bindings can be imported."""
    try:
        return importlib.util.find_spec("cuda.bindings") is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


_VISIBLE = "no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi)"
_UPDATE = "the NVIDIA driver does not fit the CUDA that is installed: update the driver"
_REBUILD = "it was compiled for another GPU: build it again (ferengine build-trt), or use --backend ort"
_HINTS = {
    "CUDA_ERROR_OUT_OF_MEMORY": "other programs use the GPU (nvidia-smi shows them), or the batch is too large (--max-batch)",
    "CUDA_ERROR_NO_DEVICE": _VISIBLE,
    "CUDA_ERROR_INVALID_DEVICE": _VISIBLE,
    "CUDA_ERROR_STUB_LIBRARY": "libcuda.so.1 is the toolkit's stub: the driver's own must come before it (LD_LIBRARY_PATH)",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the driver's library and its kernel module differ: restart the machine",
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": _UPDATE,
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": _UPDATE,
    "CUDA_ERROR_NO_BINARY_FOR_GPU": _REBUILD,
    "CUDA_ERROR_INVALID_IMAGE": _REBUILD,
    "CUDA_ERROR_DEINITIALIZED": "the driver is shutting down",
}

_LOST = {
    4: "CUDA_ERROR_DEINITIALIZED", 46: "CUDA_ERROR_DEVICE_UNAVAILABLE", 214: "CUDA_ERROR_ECC_UNCORRECTABLE",
    220: "CUDA_ERROR_NVLINK_UNCORRECTABLE", 226: "CUDA_ERROR_CONTAINED", 700: "CUDA_ERROR_ILLEGAL_ADDRESS",
    702: "CUDA_ERROR_LAUNCH_TIMEOUT", 709: "CUDA_ERROR_CONTEXT_IS_DESTROYED", 710: "CUDA_ERROR_ASSERT",
    714: "CUDA_ERROR_HARDWARE_STACK_ERROR", 715: "CUDA_ERROR_ILLEGAL_INSTRUCTION", 716: "CUDA_ERROR_MISALIGNED_ADDRESS",
    717: "CUDA_ERROR_INVALID_ADDRESS_SPACE", 718: "CUDA_ERROR_INVALID_PC", 719: "CUDA_ERROR_LAUNCH_FAILED",
    721: "CUDA_ERROR_TENSOR_MEMORY_LEAK", 999: "CUDA_ERROR_UNKNOWN",
}  # fmt: skip
"""Errors after which no call of the process succeeds any more, until it ends (CUDA driver API, "Data types", ``CUresult``)."""


def device_error(call: str, name: str, text: str) -> DeviceError:
    """An error that says what CUDA's code means for the user.

    Args:
        call: What failed.
        name: Of the code, as the driver's API names it: ``CUDA_ERROR_OUT_OF_MEMORY``.
        text: CUDA's own words for it.
    """
    lost = name in _LOST.values()
    failed = "the GPU or its memory failed for this process (dmesg and nvidia-smi say more)" if lost else ""
    hint = _HINTS.get(name) or failed
    return DeviceError(f"{call}: {text} ({name})" + (f": {hint}" if hint else ""), lost=lost)


def is_lost(code: int) -> bool:
    """Whether a code of CUDA's, the driver's or the runtime's (they agree in these), leaves the process without the GPU."""
    return code in _LOST


def view(memory: Pinned, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The beginning of pinned memory as an array."""
    return memory.raw[: dtype.itemsize * math.prod(shape)].view(dtype).reshape(shape)
