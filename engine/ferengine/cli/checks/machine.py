"""Checks of the machine: versions, processors, memory and the kernel's limits."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version

from ferengine import __version__
from ferengine.cli.checks.base import Finding
from ferengine.ipc.machine import memory_left, processor_quota, processors
from ferengine.pip_hint import pip_install, pip_replace

PACKAGES = ("numpy", "opencv-contrib-python", "onnxruntime", "av", "mtcnn", "pydantic", "lap")
"""The packages that a run needs."""
INSTEAD = {
    "opencv-contrib-python": ("opencv-contrib-python-headless", "opencv-python", "opencv-python-headless"),
    "onnxruntime": (
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-trt-rtx",
        "onnxruntime-qnn",
        "onnxruntime-training",
    ),
}
"""Distributions that hold the same module as one of ``PACKAGES``. One may replace it; two overwrite each other's files."""
_PINS = {"opencv-contrib-python": "<5"}
_COMFORTABLE_MB = 1024
_FILES_OF_A_RUN, _FILES_OF_A_CAMERA = 64, 16


def installed(package: str) -> str | None:
    """Return the version of ``package``, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_versions() -> Finding:
    """Check Python and the packages that a run needs."""
    found = {package: _any_version(package) for package in PACKAGES}
    text = (
        f"ferengine {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}; "
        + ", ".join(said for said in found.values() if said)
    )
    missing = [name for name, said in found.items() if said is None]
    if sys.platform != "linux":
        return Finding("fail", text, "ferengine needs Linux")
    if missing:
        return Finding("warn", f"{text}; not installed: {', '.join(missing)}", pip_install(*missing))
    return Finding("ok", text)


def check_collisions() -> Finding:
    """Check that no module was installed by two distributions, of which the second overwrote the first."""
    for package, others in INSTEAD.items():
        present = [name for name in (package, *others) if installed(name)]
        if len(present) > 1:
            wanted = present[-1] if package == "onnxruntime" else package
            return Finding(
                "warn",
                f"{' and '.join(present)} are both installed and overwrite each other's files: which one works is chance",
                f"keep one: {pip_replace(' '.join(present), wanted + _PINS.get(wanted, ''))}",
            )
    return Finding("ok", "no two packages overwrite each other")


def _any_version(package: str) -> str | None:
    """Name and version of a package, or of one that replaces it."""
    present = ((name, installed(name)) for name in (package, *INSTEAD.get(package, ())))
    return next((f"{name} {number}" for name, number in present if number), None)


def check_processors() -> Finding:
    """Check how many processors this process may use."""
    allowed, quota = len(os.sched_getaffinity(0)), processor_quota()
    text = f"{allowed} of {os.cpu_count()} processors may be used"
    if quota is not None and quota < allowed:
        text += f", {quota:g} by the container's quota"
    if processors() < 2:
        return Finding("warn", text, "give it at least two processors: detection and tracking run in parallel")
    return Finding("ok", text)


def check_memory() -> Finding:
    """Check the available memory, within the container's limit."""
    memory = memory_left()
    left, of = memory.nbytes / 2**20, f"of {memory.limit}"
    if left < _COMFORTABLE_MB:
        return Finding("warn", f"{left:.0f} MiB are available {of}", "a run with one camera takes 0.5 GiB: free some")
    return Finding("ok", f"{left / 1024:.1f} GiB are available {of}")


def check_shared_memory() -> Finding:
    """Check whether a frame ring for Full HD can be allocated: rings are anonymous memory (memfd), not files in /dev/shm."""
    from ferengine._native import FrameRing

    slots, slot_bytes = 16, 1920 * 1080 * 3
    need = slots * slot_bytes
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and limit < need:
        return Finding("fail", f"files, and therefore shared memory, are limited to {limit / 2**20:.0f} MiB",
                       "ulimit -f unlimited")  # fmt: skip
    try:
        FrameRing.create(slots, slot_bytes)
    except (MemoryError, OSError) as error:
        return Finding("fail", f"no shared memory for the {need / 2**20:.0f} MiB of a Full HD camera: {error}",
                       "free memory, or raise the container's limit")  # fmt: skip
    return Finding("ok", f"the {need / 2**20:.0f} MiB of a Full HD camera's frame ring can be allocated; /dev/shm is not used")


def check_open_files() -> Finding:
    """Check how many descriptors a process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    cameras = max(0, (limit - _FILES_OF_A_RUN) // _FILES_OF_A_CAMERA)
    text = f"{limit} files may be open, enough for about {cameras} cameras"
    return Finding("ok", text) if cameras >= 8 else Finding("warn" if cameras else "fail", text, "ulimit -n 4096")


def check_kernel() -> Finding:
    """Check the Linux calls that supervising worker processes needs."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.close(os.memfd_create("ferengine-doctor"))
    except OSError as error:
        return Finding("fail", f"Linux {platform.release()} refuses pidfd_open or memfd_create: {error.strerror}",
                       "use Linux 5.3 or newer, and a sandbox that allows these calls")  # fmt: skip
    return Finding("ok", f"Linux {platform.release()}")
