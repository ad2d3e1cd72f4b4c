"""Memory, streams, events and graphs of one GPU, whichever package speaks to CUDA.

Everything is made in the device's *primary* context, the one that TensorRT, torch and ONNX Runtime use too. Addresses
and handles are plain integers.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError, MissingDependencyError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Page-locked host memory, which the GPU copies from and to by itself: uint8 (nbytes,), and where it is."""

    raw: NDArray[np.uint8]
    address: int


class Graphs(Protocol):
    """CUDA graphs: what was once captured on a stream is launched again in one call."""

    def begin(self, stream: int) -> None:
        """From now on ``stream`` records instead of running."""
        ...

    def end(self, stream: int) -> int:
        """Stop recording: a graph that can be launched. Raises DeviceError when something could not be recorded."""
        ...

    def launch(self, graph: int, stream: int) -> None: ...
    def destroy(self, graph: int) -> None: ...


class Device(Protocol):
    """One GPU. All calls raise DeviceError; what one makes, its counterpart must give back before ``close``."""

    graphs: Graphs | None

    def activate(self) -> None:
        """Make the context current in the calling thread."""
        ...

    def allocate(self, nbytes: int) -> int: ...
    def free(self, address: int) -> None: ...
    def pin(self, nbytes: int) -> Pinned: ...
    def unpin(self, memory: Pinned) -> None: ...
    def create_stream(self) -> int: ...
    def destroy_stream(self, stream: int) -> None: ...
    def create_event(self, *, blocking: bool = False) -> int:
        """``blocking``: whether ``wait`` lets the processor sleep, which wakes a little later, instead of asking on and on."""
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
        """Nothing may be asked for afterwards."""
        ...


def open_device() -> Device:
    """The first GPU, through pycuda, or through cuda-python's bindings where pycuda is not installed or does not load.

    CUDA_VISIBLE_DEVICES chooses another. Raises MissingDependencyError without either package, DeviceError without a
    GPU or with a driver that does not fit.
    """
    if _pycuda_loads():
        from ferengine.inference.tensorrt.pycuda_device import PycudaDevice

        return PycudaDevice()
    if bindings_installed():
        from ferengine.inference.tensorrt.bindings_device import BindingsDevice

        return BindingsDevice()
    raise MissingDependencyError("TensorRT needs pycuda or cuda-bindings to speak to the GPU: pip install 'ferengine[trt]'")


@cache
def _pycuda_loads() -> bool:
    """Built for another CUDA, it is found and cannot be imported."""
    if importlib.util.find_spec("pycuda") is None:
        return False
    try:
        importlib.import_module("pycuda.driver")
    except ImportError as error:
        log.warning("pycuda is installed but does not load, cuda-bindings is used where it is installed: %s", error)
        return False
    return True


def bindings_installed() -> bool:
    """Whether cuda-python's bindings can be imported."""
    try:
        return importlib.util.find_spec("cuda.bindings") is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def device_layer() -> str | None:
    """The package that ``open_device`` would use."""
    if _pycuda_loads():
        return "pycuda"
    return "cuda-bindings" if bindings_installed() else None


_HINTS = {
    "out of memory": "other programs use the GPU (nvidia-smi shows them), or the batch is too large (--max-batch)",
    "driver": "the NVIDIA driver does not fit the CUDA that is installed: update the driver",
    "no device": "no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi)",
    "no cuda-capable device": "no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi)",
}


def device_error(call: str, text: str) -> DeviceError:
    """What CUDA's ``text`` about ``call`` means for the user. Whatever is not known is taken for a lost device."""
    lowered = text.lower().replace("_", " ")
    for words, hint in _HINTS.items():
        if words in lowered:
            return DeviceError(f"{call}: {text}: {hint}")
    return DeviceError(f"{call}: {text}: the GPU was lost or failed (dmesg and nvidia-smi say more); start again")


def view(memory: Pinned, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The beginning of ``memory`` as a float32 array of ``shape``."""
    count = int(np.prod(shape))
    array: NDArray[Any] = memory.raw[: 4 * count].view(np.float32).reshape(shape)
    return array
