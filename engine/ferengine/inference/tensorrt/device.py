"""Memory, streams, events and graphs of one GPU, whichever package speaks to CUDA.

Everything is made in the device's *primary* context, the one that TensorRT, torch and ONNX Runtime use too. Addresses
and handles are plain integers.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError
from ferengine.inference.base import Array, Shape


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


_HINTS = {
    "out of memory": "other programs use the GPU (nvidia-smi shows them), or the batch is too large (--max-batch)",
    "driver": "the NVIDIA driver does not fit the CUDA that is installed: update the driver",
    "no device": "no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi)",
    "no cuda-capable device": "no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi)",
}


def device_error(call: str, text: str) -> DeviceError:
    """An error that says what CUDA's message means for the user.

    Args:
        call: What failed.
        text: CUDA's message; one that is not known is taken for a lost device.
    """
    lowered = text.lower().replace("_", " ")
    for words, hint in _HINTS.items():
        if words in lowered:
            return DeviceError(f"{call}: {text}: {hint}")
    return DeviceError(f"{call}: {text}: the GPU was lost or failed (dmesg and nvidia-smi say more); start again")


def view(memory: Pinned, shape: Shape) -> Array:
    """The beginning of pinned memory as a float32 array."""
    count = int(np.prod(shape))
    array: Array = memory.raw[: 4 * count].view(np.float32).reshape(shape)
    return array
