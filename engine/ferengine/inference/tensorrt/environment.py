"""What an engine depends on besides its network: operating system, driver, GPU."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LIBRARY = "libcuda.so.1"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device: its name, its compute capability (``8.6``), its memory in bytes."""

    name: str
    capability: str
    memory: int


@dataclass(frozen=True, slots=True)
class Environment:
    """A machine as far as engines depend on it.

    Attributes:
        os: Such as ``linux-x86_64``.
        driver: The version of the NVIDIA driver; None without one.
        cuda: The newest CUDA that the driver serves, such as ``13.0``; None without one.
        gpu: The first GPU; None without one.
        unavailable_reason: Why there is no GPU, with the hint; None where there is one.
    """

    os: str
    driver: str | None
    cuda: str | None
    gpu: Gpu | None
    unavailable_reason: str | None


def driver_in_sight() -> bool:
    """Whether the loader would find the driver's library (libcuda.so.1). Nothing is loaded for it."""
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), "/lib", "/usr/lib", "/lib64", "/usr/lib64"]
    if any((Path(folder) / _LIBRARY).exists() for folder in folders if folder):
        return True
    try:
        return f"{_LIBRARY}\0".encode() in Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return False


@cache
def this_machine() -> Environment:
    """The environment of this process, as the driver describes it.

    No CUDA context is made, but CUDA is initialised, after which a fork of this process cannot use it.
    """
    system = f"{platform.system()}-{platform.machine()}".lower()
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return Environment(system, None, None, None, f"no NVIDIA driver is installed ({_LIBRARY} is not found)")
    version = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    code = int(library.cuInit(0))
    if code:
        return Environment(system, _driver_version(), cuda, None, f"the NVIDIA driver does not start: {_text(library, code)}")
    gpu, unavailable_reason = _first_gpu(library)
    return Environment(system, _driver_version(), cuda, gpu, unavailable_reason)


def _first_gpu(library: ctypes.CDLL) -> tuple[Gpu | None, str | None]:
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    code = int(library.cuDeviceGetCount(ctypes.byref(count))) or (0 if count.value else -1)
    if code or library.cuDeviceGet(ctypes.byref(device), 0):
        return None, "the driver sees no GPU (nvidia-smi lists them; CUDA_VISIBLE_DEVICES may hide them)"
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    library.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    library.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)  # ..._MINOR
    return Gpu(name.value.decode(), f"{major.value}.{minor.value}", memory.value), None


def _text(library: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorString(code, ctypes.byref(text))
    return text.value.decode() if text.value else f"CUDA error {code}"


def _driver_version() -> str | None:
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.\d+(\.\d+)?)\s", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        return None
    return found[1] if found else None
