"""Which package speaks to CUDA: pycuda or cuda-python's bindings."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import cache

from ferengine.errors import MissingDependencyError
from ferengine.inference.tensorrt.device import Device, bindings_installed
from ferengine.pip_hint import install_extra

log = logging.getLogger(__name__)


def open_device() -> Device:
    """The first GPU, through pycuda, or through cuda-python's bindings where pycuda is not installed or does not load.

    CUDA_VISIBLE_DEVICES chooses another.

    Raises:
        MissingDependencyError: Neither package is installed.
        DeviceError: There is no GPU, or its driver does not fit.
    """
    if _pycuda_loads():
        from ferengine.inference.tensorrt.pycuda_device import PycudaDevice

        return PycudaDevice()
    if bindings_installed():
        from ferengine.inference.tensorrt.bindings_device import BindingsDevice

        return BindingsDevice()
    raise MissingDependencyError(f"TensorRT needs pycuda or cuda-bindings to speak to the GPU: {install_extra('trt')}")


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


def device_layer() -> str | None:
    """The package that ``open_device`` takes; None where neither is installed."""
    if _pycuda_loads():
        return "pycuda"
    return "cuda-bindings" if bindings_installed() else None
