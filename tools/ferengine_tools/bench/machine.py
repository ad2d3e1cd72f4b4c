"""Where and with what the metrics were measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("ferengine", "numpy", "opencv-contrib-python", "onnxruntime", "av")


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in MiB, instruction sets that matter, and system."""
    listing = _read("/proc/cpuinfo")
    flags = set(_field(listing, "flags").split())
    total = _field(_read("/proc/meminfo"), "MemTotal").split()
    return {
        "processor": _field(listing, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(total[0]) // 1024 if total else None,
        "simd": [name for name in ("avx2", "fma", "avx512f", "avx512_vnni") if name in flags],
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python's and those of the packages that do the work."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # OpenCV has wheels of several names
            continue
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _field(listing: str, name: str) -> str:
    lines = (line.partition(":") for line in listing.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
