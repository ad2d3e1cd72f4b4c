"""What all output files have in common: how they are created, and how their loss is noticed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import tempfile
from pathlib import Path

from ferengine.errors import SinkError, UsageError

_MAX_SHOWN = 200
"""Characters of a path that a message shows in full."""
_READER_SECONDS = 5.0
"""Seconds that the reader of a pipe gets to take something."""
_NAMED = 100
"""Bytes of a file's name in that of its temporary file."""


def create_output(path: Path, *, overwrite: bool) -> int:
    """Open an output file for writing, created if it is absent and emptied if it is present.

    A device or a named pipe is opened whether or not it may exist: nothing is overwritten there.

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
        if is_folder(path):
            raise SinkError(f"{path} is a folder: name a file") from None
        if _is_device(path):
            return create_output(path, overwrite=True)
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite") from None
    except FileNotFoundError as error:
        if is_folder(path.parent):  # /proc and the like
            raise write_failed(path, error) from error
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}") from None
    except IsADirectoryError:
        raise SinkError(f"{path} is a folder: name a file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise write_failed(path, error) from error


def create_numbered(path: Path) -> tuple[Path, int]:
    """Create a file beside ``path`` under a name that nothing has: ``out.part2.mp4``, ``out.part3.mp4`` and so on.

    Returns:
        The file and its descriptor.

    Raises:
        SinkError: If it cannot be created.
    """
    number = 1
    while True:
        number += 1
        part = path.with_name(f"{path.stem}.part{number}{path.suffix}")
        try:
            return part, create_output(part, overwrite=False)
        except UsageError:
            continue  # it exists, and is not ours


def write_atomically(path: Path, data: bytes, *, durable: bool = False, private: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    What ``path`` leads to is replaced if it is a file; a device, or a pipe that a program reads, is written to.

    Args:
        path: The file.
        data: Its content.
        durable: Whether that also holds after the machine has lost its power.
        private: Whether its owner alone may read it, also where others could before.

    Raises:
        SinkError: If that fails. The old content is then still there.
    """
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            _write_through(path, data)
            return
        target = path.resolve()  # a pipe of a shell (/dev/fd/63) leads to none
        if target.is_symlink():  # links in a circle, which raises an error before Python 3.13
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        descriptor, name = _make_temporary(target)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if not private:  # as it was made
                    os.fchmod(descriptor, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(descriptor)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink()
            raise
    except (OSError, ValueError, RuntimeError) as error:
        raise write_failed(path, error) from None


def remove_leftovers(path: Path) -> int:
    """Remove the temporary files that processes have left which were killed while they wrote ``path``.

    Those of processes that live are locked by them, and stay.

    Args:
        path: What they wrote with ``write_atomically``.

    Returns:
        How many there were.
    """
    removed = 0
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # what cannot be seen or removed stays: nothing depends on it
        target = path.resolve()
        with os.scandir(target.parent) as entries:
            left = [entry.path for entry in entries if entry.name.startswith(_temporary_prefix(target))]
        for name in left:
            removed += _remove_unlocked(name)
    return removed


def _remove_unlocked(name: str) -> bool:
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name)  # noqa: PTH108 - as it was found
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _make_temporary(target: Path) -> tuple[int, str]:
    """A new file beside ``target``, locked for as long as it is open: its descriptor and its name."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=_temporary_prefix(target))
        with contextlib.suppress(OSError):  # a file system without locks: nothing is removed there
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _temporary_prefix(target: Path) -> str:
    return f".ferengine-{os.fsencode(target.name)[:_NAMED].decode(errors='ignore')}-"


def _write_through(path: Path, data: bytes) -> None:
    """Write to a device or a pipe. Raises OSError, also where no program reads the pipe, for which opening it would wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    try:
        left = memoryview(data)
        while left:
            if not room.poll(_READER_SECONDS * 1000):
                raise TimeoutError(errno.ETIMEDOUT, "the program that reads it does not take anything")
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The process's, which can be read only by setting it; another thread's file would be created with the one set here."""
    status = Path("/proc/self/status").read_text()
    return next((int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:")), 0o077)


def write_failed(path: Path | str, error: Exception) -> SinkError:
    """Return the error to raise when writing ``path`` failed with ``error``."""
    reason = getattr(error, "strerror", None) or error
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        reason = "no program reads it"
    return SinkError(f"{shortened(path)} cannot be written: {reason}")


def shortened(path: Path | str) -> str:
    """Return a path for a message of one line, with the middle left out if it is very long."""
    text = str(path)
    return text if len(text) <= _MAX_SHOWN else f"{text[:40]}...{text[-40:]}"


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
    try:
        one, other = one.resolve(), other.resolve()
        if one.exists() and other.exists():
            return one.is_file() and one.samefile(other)
    except (OSError, ValueError, RuntimeError):  # a name that the system refuses is no file yet
        return os.fspath(one) == os.fspath(other)
    return one == other


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder; one that this process may not see, or whose name is refused, is not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _why_refused(path: Path) -> str:
    """Why this process may not write to ``path``."""
    with contextlib.suppress(OSError):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return "the file system is read-only"
    return "permission denied"


def _is_device(path: Path) -> bool:
    """Return whether ``path`` is a device or a pipe, such as /dev/stdout."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def make_folder(folder: Path) -> None:
    """Make the folder of an output if it is missing, and see that it can be written.

    Raises:
        SinkError: If it cannot.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise SinkError(f"{folder} is not a folder: name one") from None
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_folder(folder.parent):  # /proc and the like
            raise write_failed(folder, error) from None
        raise SinkError(f"{folder} cannot be created: there is no folder {folder.parent}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise write_failed(folder, error) from None
    if not os.access(folder, os.W_OK):
        raise SinkError(f"{folder} cannot be written: {_why_refused(folder)}")
    _try_creating(folder / "output", folder)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check now that an output can be written at the end.

    Raises:
        UsageError: If it exists and ``overwrite`` is false.
        SinkError: If it cannot be written.
    """
    exists = leads_to_something(path)
    if is_folder(path):
        raise SinkError(f"{path} is a folder: name a file")
    if exists and not overwrite and not _is_device(path):
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
    if not is_folder(path.parent):
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}")
    written = path if exists else path.parent
    if not os.access(written, os.W_OK):
        raise SinkError(f"{path} cannot be written: {_why_refused(written)}")
    if not exists:
        _try_creating(path, path)


def _try_creating(file: Path, shown: Path) -> None:
    """Write a byte to a new file beside ``file``, and remove that: by its mode /proc can be written, and so can a full disk.

    Raises:
        SinkError: If that fails; it names ``shown``.
    """
    try:
        descriptor, name = _make_temporary(file)
        try:
            os.write(descriptor, b"\n")  # a full disk takes files, but only empty ones
        finally:
            os.close(descriptor)
            with contextlib.suppress(OSError):  # a folder in which files may be created, but not removed
                Path(name).unlink()
    except OSError as error:
        raise write_failed(shown, error) from None


def leads_to_something(path: Path) -> bool:
    """Return whether an output exists already.

    Raises:
        SinkError: If the system refuses its name, or does not let this process see it.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise write_failed(path, error) from None
    return True
