"""What the machine allows: processors and memory, within the container's limits too, and what its refusals mean."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HINTS = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files",
    errno.EAGAIN: "raise the limit of processes and threads (ulimit -u, or the container's limit of pids)",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), which holds for shared memory too",
    errno.ENOMEM: "free memory, or read fewer cameras",
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space within the quota",
}

REFUSED = 4
"""Exit code of a worker to which the machine has refused something."""

GPU_LOST = 5
"""Exit code of a worker in which CUDA works no more; its successor may use the GPU."""

_NO_THREAD = "can't start new thread"
"""Begins the RuntimeError that CPython raises where the system refuses a thread."""

_NO_FOLDER = "No usable temporary directory"
"""Begins the FileNotFoundError of ``tempfile`` where no folder for temporary files can be written to."""

_UNLIMITED = 1 << 60
"""What cgroup v1 shows for no limit is a little less than 2**63."""

_MEMORY_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""By the version of control groups: what holds the limit, what is in use, and the line of memory.stat that could be freed."""

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def refusal(error: BaseException) -> str | None:
    """Return what the machine has refused, with a hint; ``None`` where ``error`` is no refusal of the machine."""
    if isinstance(error, MemoryError):
        number, said = errno.ENOMEM, str(error) or "out of memory"
    elif isinstance(error, FileNotFoundError) and str(error.strerror).startswith(_NO_FOLDER):
        return "no folder for temporary files can be written to: free space in /tmp, or name another folder in TMPDIR"
    elif isinstance(error, OSError):
        number, said = error.errno or 0, error.strerror or str(error)
    elif isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD):
        number, said = errno.EAGAIN, "no further thread"
    else:
        return None
    return f"{said}: {_HINTS[number]}" if number in _HINTS else None


@dataclass(frozen=True, slots=True)
class MemoryLeft:
    """How much memory may still be taken, and by whose word.

    Attributes:
        nbytes: Bytes.
        limit: "the container's memory limit of 512 MiB", or "the machine's memory of 16384 MiB".
    """

    nbytes: int
    limit: str


def memory_left() -> MemoryLeft:
    """Return the least of what is available on the machine and in each control group (v1 or v2) around this process.

    File pages that the kernel would give up count as available.
    """
    meminfo = _numbers(_PROC / "meminfo")
    kib = 1024
    left = MemoryLeft(
        meminfo.get("MemAvailable", _UNLIMITED // kib) * kib,
        f"the machine's memory of {meminfo.get('MemTotal', 0) // kib} MiB",
    )
    for folder, version in _groups("memory"):
        maximum, usage, idle = _MEMORY_FILES[version]
        limit, used = _number(folder / maximum), _number(folder / usage)
        if limit is None or used is None or limit >= _UNLIMITED:
            continue
        free = max(0, limit - used + _numbers(folder / "memory.stat").get(idle, 0))
        if free < left.nbytes:
            left = MemoryLeft(free, f"the container's memory limit of {limit >> 20} MiB")
    return left


def processor_quota() -> float | None:
    """Return how many processors' time the control groups (v1 or v2) around this process allow it; ``None`` without limit."""
    quotas = []
    for folder, version in _groups("cpu"):
        if version == 2:
            quota, period = (*_words(folder / "cpu.max"), "", "")[:2]
        else:
            quota, period = ("".join(_words(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():  # without limit v2 has "max", and v1 has -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def processors() -> int:
    """Return how many processors this process may keep busy, by its affinity and its container's quota; at least 1."""
    allowed, quota = len(os.sched_getaffinity(0)), processor_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Each control group around this process that may limit something: its folder, and the version of its files."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, version = _CGROUPS, 2
        elif controller in controllers.split(","):
            root, version = _CGROUPS / controller, 1
        else:
            continue
        folder = root / path.lstrip("/")
        while folder.is_relative_to(root):  # a container may see only the root, whatever its own path is
            yield folder, version
            folder = folder.parent


def _words(path: Path) -> list[str]:
    """Those of a file; none where there is no such file."""
    try:
        return path.read_text().split()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """``None`` for "max", and where there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _numbers(path: Path) -> dict[str, int]:
    """The lines "name value" or "name: value unit" of a file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines) if len(words) > 1 and words[1].isdigit()}


def oom_kills() -> int | None:
    """Return how many processes the kernel has ended so far for lack of memory, of the machine or of any container."""
    return _numbers(_PROC / "vmstat").get("oom_kill")


def killed_by(code: int, kills_before: int | None = None) -> str:
    """Return how a process ended, for a message.

    Args:
        code: Its exit code, or the negative number of a signal.
        kills_before: ``oom_kills`` when it was started.
    """
    if code == REFUSED:
        return "the system refused it memory, files or threads"
    if code == GPU_LOST:
        return "it lost the GPU"
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        kills = oom_kills()
        if kills is None or kills_before is None:
            return "signal 9, which also ends a process when the machine or the container runs out of memory"
        if kills > kills_before:
            return "signal 9, with which the kernel has ended a process for lack of memory meanwhile"
        return "signal 9, which another program or user sent: not for lack of memory"
    return f"signal {-code}"
