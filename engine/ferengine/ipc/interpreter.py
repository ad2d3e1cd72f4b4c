"""Which Python runs the workers: never the program that the engine is part of, if that is not Python itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ferengine.errors import WorkerError
from ferengine.ipc.machine import refusal

_PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)?)?[dt]{0,2}(-dbg|-intel64)?")
"""The file name of an interpreter."""

_PROBE_SECONDS = 20.0


def worker_python() -> tuple[str, bool]:
    """Return the interpreter for worker processes, and whether it is another than ``sys.executable``.

    Raises:
        WorkerError: There is none: this program was frozen, or what it embeds is nowhere installed.
    """
    return _find(sys.executable or "", bool(getattr(sys, "frozen", False)))


@lru_cache(maxsize=8)
def _find(executable: str, frozen: bool) -> tuple[str, bool]:
    if frozen:
        raise WorkerError(
            f"this program is frozen (PyInstaller or the like): the engine runs its workers with Python, which {executable} is "
            "not. Run the program with an installed Python, or use ferengine.Analyzer, which needs no workers"
        )
    if executable and _is_python(executable):
        return executable, False
    for candidate in _candidates():
        if _is_python(candidate) and _fits(candidate):
            return candidate, True
    raise WorkerError(
        f"the engine runs its workers with Python, but {executable or 'this program'} is not Python, and there is none of the "
        f"version {sys.version_info.major}.{sys.version_info.minor} in {sys.prefix} or {sys.base_prefix}: install it there, or "
        "set sys.executable to its path"
    )


def _is_python(path: str) -> bool:
    """Whether the file may be run, and by its name, or that of the file that it links to, is Python."""
    names = {os.path.basename(path), os.path.basename(os.path.realpath(path))}  # noqa: PTH119 - also of names that are no paths
    runs = os.access(path, os.X_OK, effective_ids=True)  # of whom it would be run as, which capabilities and setuid may change
    return any(_PYTHON.fullmatch(name) for name in names) and runs and not Path(path).is_dir()


def _candidates() -> Iterator[str]:
    """Where the interpreter of this process's library may be: its virtual environment first."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = (f"python{version}", "python3", "python")
    yield from (str(Path(sys.prefix) / "bin" / name) for name in names)
    yield getattr(sys, "_base_executable", None) or ""
    folder = sysconfig.get_config_var("BINDIR")
    for place in (folder, str(Path(sys.base_prefix) / "bin")):
        yield from (str(Path(place) / name) for name in names if place)


def _fits(python: str) -> bool:
    """Whether it is the same version, so that it can import what this process has. Raises OSError where the system refuses to
    start it now."""
    command = [python, "-I", "-S", "-c", "import sys; print(sys.implementation.cache_tag)"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except OSError as error:
        if refusal(error) is not None:
            raise
        return False
    except subprocess.TimeoutExpired:
        return False
    return done.stdout.strip() == sys.implementation.cache_tag


def worker_path(home: str, standard: set[str], *, foreign: bool) -> list[str]:
    """Return what PYTHONPATH has to hold besides the caller's, so that a worker finds this package and what it needs.

    Args:
        home: The folder that holds this package.
        standard: Where an interpreter of this installation looks anyway.
        foreign: Whether it is run by an interpreter that was found, which may look elsewhere: it gets all of this process's
            places.
    """
    if foreign:
        return list(dict.fromkeys([home, *(place for place in sys.path if place and Path(place).exists())]))
    return [] if home in standard else [home]
