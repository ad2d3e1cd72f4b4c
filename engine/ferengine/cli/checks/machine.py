"""Checks of the machine: versions, processors, memory and the kernel's limits."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from importlib.metadata import PackageNotFoundError, version

from ferengine import __version__
from ferengine.cli.checks.base import Finding
from ferengine.ipc.machine import memory_left, processor_quota, processors
from ferengine.pip_hint import pip_install, pip_replace

PACKAGES = {
    "numpy": ">=2",
    "opencv-contrib-python": ">=4.13,<5",
    "onnxruntime": ">=1.22.1",
    "av": ">=17.1,<20",
    "mtcnn": "==1.0.0",
    "pydantic": ">=2.11",
    "lap": ">=0.5.12",
    "lz4": ">=4.3.3",
    "rich": ">=13.8",
    "setproctitle": ">=1.3",
    "typer": ">=0.29",
}
"""The packages that a run needs, and the versions of each that ``pyproject.toml`` admits."""
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
"""Distributions that hold the same module as one of ``PACKAGES``, with the same numbers of versions. One may replace it; two
overwrite each other's files."""
_COMFORTABLE_MB = 1024
_FILES_OF_A_RUN, _FILES_OF_A_CAMERA = 64, 16


def installed(package: str) -> str | None:
    """Return the version of ``package``, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_versions() -> Finding:
    """Check Python and the packages that a run needs, and that their versions are admitted."""
    found = {package: _any_version(package) for package in PACKAGES}
    text = (
        f"ferengine {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}; "
        + ", ".join(f"{name} {number}" for name, number in filter(None, found.values()))
    )
    if sys.platform != "linux":
        return Finding("fail", text, "ferengine needs Linux")
    missing = [package for package, present in found.items() if present is None]
    wanted = [package + PACKAGES[package] for package in missing]
    refused = []
    for package, present in found.items():
        if present is not None and not is_admitted(present[1], PACKAGES[package]):
            refused.append(f"{' '.join(present)} (needed: {PACKAGES[package]})")
            wanted.append(present[0] + PACKAGES[package])
    if missing:
        text += f"; not installed: {', '.join(missing)}"
    if refused:
        text += f"; not supported: {', '.join(refused)}"
    return Finding("warn", text, pip_install(*wanted)) if wanted else Finding("ok", text)


def is_admitted(number: str, bounds: str) -> bool:
    """Whether a version is within bounds such as ``>=17.1,<20`` or ``==1.0.0``. A pre-release counts as its release."""
    found = _release(number)
    for bound in bounds.split(","):
        limit = _release(bound.lstrip("<=>"))
        within = {"<": found < limit, ">=": found >= limit, "==": found == limit}
        if not within[bound.rstrip("0123456789.")]:
            return False
    return True


def _release(number: str) -> tuple[int, ...]:
    """The parts of a version by which it is older or newer: ``(4, 13)`` of ``4.13.0rc1+local``."""
    digits = re.match(r"[\d.]*\d", number)
    parts = [int(part) for part in digits[0].split(".")] if digits else []
    while parts and parts[-1] == 0:  # 2.0 is 2
        parts.pop()
    return tuple(parts)


def check_collisions() -> Finding:
    """Check that no module was installed by two distributions, of which the second overwrote the first."""
    for package, others in INSTEAD.items():
        present = [name for name in (package, *others) if installed(name)]
        if len(present) > 1:
            wanted = present[-1] if package == "onnxruntime" else package
            return Finding(
                "warn",
                f"{' and '.join(present)} are both installed and overwrite each other's files: which one works is chance",
                f"keep one: {pip_replace(' '.join(present), wanted + PACKAGES[package])}",
            )
    return Finding("ok", "no two packages overwrite each other")


def _any_version(package: str) -> tuple[str, str] | None:
    """Name and version of a package, or of one that replaces it."""
    present = ((name, installed(name)) for name in (package, *INSTEAD.get(package, ())))
    return next(((name, number) for name, number in present if number), None)


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
