"""What all output files have in common: claimed before anything is written, and watched while it is."""

from __future__ import annotations

import os
from pathlib import Path

from ferengine.errors import SinkError, UsageError


def claim_output(path: Path, *, overwrite: bool) -> int:
    """Open ``path`` for writing and give back its descriptor; it is created where absent, and emptied where
    present.

    Raises UsageError, naming the path, where it exists and ``overwrite`` is false, and SinkError where it cannot be
    written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite") from None
    except FileNotFoundError as error:
        if path.parent.is_dir():  # /proc and the like
            raise write_failed(path, error) from error
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}") from None
    except IsADirectoryError:
        raise SinkError(f"{path} is a folder: name a file") from None
    except OSError as error:
        raise write_failed(path, error) from error


def write_failed(path: Path | str, error: OSError) -> SinkError:
    """The error to raise when writing ``path`` failed with ``error``."""
    return SinkError(f"{path} cannot be written: {error.strerror or error}")


def still_there(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still leads to the open file ``descriptor``: writing to a removed file fails nowhere."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a folder on the way may no longer be read; the file may


def same_file(one: Path, other: Path) -> bool:
    """Whether both name one file, which need not exist yet; devices (/dev/null) may take anything from anybody."""
    one, other = one.resolve(), other.resolve()
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one == other


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse at once what could only fail when ``path`` is written at the end.

    Raises UsageError where it exists and ``overwrite`` is false, and SinkError where it cannot be written.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
    if path.is_dir():
        raise SinkError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"{path} cannot be written: permission denied")
