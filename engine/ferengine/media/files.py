"""Files that are not complete yet: how their names are reserved, and what becomes of them where a run is killed."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Container
from pathlib import Path
from typing import get_args

from ferengine.errors import SinkError
from ferengine.sinks.files import create_output, is_still_at, write_failed
from ferengine.sinks.mp4_repair import cut_incomplete_fragment
from ferengine.sinks.person_events import EventKind

OURS = re.compile(rf".+-(\d{{8}}T\d{{6}}\.\d{{3}}Z|\d+\.\d{{3}}s)-({'|'.join(get_args(EventKind))})(-\d+){{0,2}}\.(jpg|mp4)")
"""Names of snapshots and clips."""
_BEFORE, _BETWEEN = ".", ".partial"

log = logging.getLogger("ferengine")


def partial_of(path: Path) -> Path:
    """What a file is called until it is complete."""
    return path.with_name(f"{_BEFORE}{path.stem}{_BETWEEN}{path.suffix}")


def reserve(folder: Path, name: str, suffix: str, taken: Container[Path]) -> Path:
    """Choose a name that nothing in the folder has, and reserve it with an empty ``partial_of``.

    Another run may write to the folder, too: the same video read twice at once has the same events at the same times.

    Args:
        folder: The folder.
        name: The name, to which a number is added if it is needed.
        suffix: The suffix.
        taken: Files that have been reserved before.
    """
    number = 1
    while True:
        path = folder / (f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}")
        number += 1
        if path in taken or os.path.lexists(path):
            continue
        partial = partial_of(path)
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            if os.path.lexists(path):  # another run has just completed it
                partial.unlink(missing_ok=True)
                continue
        except FileExistsError:
            continue
        except OSError:
            pass  # an error of the one who writes the file
        return path


def open_partial(path: Path) -> int:
    """Open ``partial_of`` a file, emptied and locked: other runs see by the lock that it is being written.

    Returns:
        Its descriptor; the lock lasts as long as it, or a copy of it, is open.

    Raises:
        SinkError: It cannot be written.
    """
    partial = partial_of(path)
    while True:
        try:
            descriptor = create_output(partial, overwrite=True)
        except SinkError as error:
            raise SinkError(str(error).replace(str(partial), str(path))) from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_still_at(partial, descriptor):
            return descriptor
        os.close(descriptor)  # another run took it for one that a killed run had left


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that no reader sees a part of it. Raises SinkError."""
    try:
        with os.fdopen(open_partial(path), "wb") as file:
            file.write(data)
            file.flush()
            partial_of(path).rename(path)
    except OSError as error:
        remove_partial(path)
        raise write_failed(path, error) from None


def remove_partial(path: Path) -> None:
    """A file is not written after all: remove what there is of it, if it can be."""
    with contextlib.suppress(OSError):
        partial_of(path).unlink()


def finish_leftovers(folder: Path) -> list[Path]:
    """Finish the clips that a killed run, or a killed process of this one, was writing, as far as they play.

    Returns:
        Those that there are now. Others were empty, and are removed, as parts of snapshots are; those that another run is
        writing are left alone.
    """
    finished = []
    for path in folder.glob(f"{_BEFORE}*{_BETWEEN}.*"):
        whole = path.with_name(path.stem.removeprefix(_BEFORE).removesuffix(_BETWEEN) + path.suffix)
        if not OURS.fullmatch(whole.name):
            continue
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.suffix == ".jpg":
                    path.unlink()
                elif keep_what_plays(path, whole):
                    finished.append(whole)
        except (BlockingIOError, FileNotFoundError):
            continue  # another run is writing it, or has just removed it
        except OSError as error:
            log.warning("%s, left by a run that was killed, cannot be finished: %s", path, error.strerror)
    return finished


def keep_what_plays(partial: Path, whole: Path) -> bool:
    """Give an unfinished clip its name as far as it plays, or remove it. Returns whether it is there. Raises OSError."""
    cut_incomplete_fragment(partial)
    with partial.open("rb") as file:
        begins = b"moof" in file.read(4096)
    if begins:
        partial.rename(whole)
        return True
    partial.unlink()
    return False
