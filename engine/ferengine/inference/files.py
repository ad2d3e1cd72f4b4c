"""Files that other processes may read or write at the same time, and the user's cache of them."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferengine.errors import ModelError


def user_cache() -> Path | None:
    """ferengine's folder in the user's cache (XDG Base Directory Specification); None where there is no home."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no HOME, and no such user either
        return None
    return base / "ferengine"


def read_if_there(path: Path) -> bytes | None:
    """What the file holds; None where it does not exist.

    Raises:
        ModelError: It exists and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def read_own(path: Path) -> bytes:
    """Read a cached file that steers what is computed, if only this user (or root) can have written it.

    It is opened once: what was checked is what is read.

    Args:
        path: Of the file.

    Raises:
        OSError: It cannot be read.
        ModelError: It is no regular file, belongs to another user, or others may write it.
    """
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is no file")
        if status.st_uid not in (0, os.geteuid()):
            raise ModelError(f"{path} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ModelError(f"{path} may be written by other users")
        return file.read()


def read_code(path: Path, what: str) -> bytes | None:
    """What a file holds that is run as it is, such as compiled kernels, read as by ``read_own``; None where there is none.

    Args:
        path: Of the file.
        what: What it is, for the message: "an engine".

    Raises:
        ModelError: It cannot be read, or another user could have written it.
    """
    try:
        return read_own(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except ModelError as error:
        raise ModelError(
            f"{error} and was not loaded, because {what} is code: chmod go-w it if it is yours, else remove it"
        ) from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file such that no reader ever sees half of it, not even after a power cut.

    Args:
        path: Where to; folders that are missing are made.
        data: What to write.

    Raises:
        ModelError: It cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: of several processes that want to build the same engine, one does. It dies with its holder.

    Args:
        folder: Made where it is missing.

    Raises:
        ModelError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
