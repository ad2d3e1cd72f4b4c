"""What all output files have in common: how they are created, and how their loss is noticed."""

from __future__ import annotations

import os
from pathlib import Path

from ferengine.errors import SinkError, UsageError


def create_output(path: Path, *, overwrite: bool) -> int:
    """Open an output file for writing, created if it is absent and emptied if it is present.

    Args:
        path: The file.
        overwrite: Whether it may exist.

    Returns:
        Its descriptor.

    Raises:
        UsageError: If it exists and ``overwrite`` is false.
        SinkError: If it cannot be written.
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
    """Return the error to raise when writing ``path`` failed with ``error``."""
    return SinkError(f"{path} cannot be written: {error.strerror or error}")


def is_still_at(path: Path, descriptor: int) -> bool:
    """Return whether ``path`` still leads to the open file ``descriptor``: writing to a removed file raises no error."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a parent folder may no longer be readable; the file may


def same_file(one: Path, other: Path) -> bool:
    """Return whether two paths are one file, which need not exist yet; devices (/dev/null) may be shared."""
    one, other = one.resolve(), other.resolve()
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one == other


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check now that an output can be written at the end.

    Raises:
        UsageError: If it exists and ``overwrite`` is false.
        SinkError: If it cannot be written.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
    if path.is_dir():
        raise SinkError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"{path} cannot be written: permission denied")
