"""Deletes old snapshots and clips, and finishes what killed runs have left."""

from __future__ import annotations

import fcntl
import logging
import re
from pathlib import Path
from typing import get_args

from ferengine.sinks.mp4_repair import cut_incomplete_fragment
from ferengine.sinks.person_events import EventKind

_OURS = re.compile(rf".+-(\d{{8}}T\d{{6}}\.\d{{3}}Z|\d+\.\d{{3}}s)-({'|'.join(get_args(EventKind))})(-\d+){{0,2}}\.(jpg|mp4)")
_BEFORE, _AFTER = ".", ".partial.mp4"

log = logging.getLogger("ferengine")


class Retention:
    """The files of one folder, by age and size. Others' files are neither counted nor touched.

    Args:
        folder: The folder.
        days: How long a file is kept.
        max_bytes: How much all may take; the oldest go first.

    Attributes:
        deleted: Files deleted so far.
    """

    def __init__(self, folder: Path, days: float, max_bytes: int) -> None:
        self.deleted = 0
        self._keep = days * 86400
        self._max_bytes = max_bytes
        self._files: dict[Path, tuple[float, int]] = {}
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name):
                self.add(path)

    def add(self, path: Path) -> None:
        """A file is complete."""
        try:
            status = path.stat()
        except OSError:
            return  # it was removed, or was never made
        self._files[path] = status.st_mtime, status.st_size

    def enforce(self, now: float) -> None:
        """Delete what is too old or too much at ``now``, seconds since the epoch."""
        total = sum(size for _, size in self._files.values())
        for path, (written, size) in sorted(self._files.items(), key=lambda item: item[1]):
            if now - written <= self._keep and total <= self._max_bytes:
                return
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s is too old or too much and cannot be deleted: %s", path, error.strerror)
            else:
                self.deleted += 1
            del self._files[path]
            total -= size


def partial_of(path: Path) -> Path:
    """What a clip is called until it is complete."""
    return path.with_name(f"{_BEFORE}{path.stem}{_AFTER}")


def finish_leftovers(folder: Path) -> list[Path]:
    """Finish the clips that a killed run, or a killed process of this one, was writing, as far as they play.

    Returns:
        Those that there are now. Others were empty, and are removed; those that another run is writing are left alone.
    """
    finished = []
    for path in folder.glob(f"{_BEFORE}*{_AFTER}"):
        whole = path.with_name(path.name.removeprefix(_BEFORE).removesuffix(_AFTER) + ".mp4")
        if not _OURS.fullmatch(whole.name):
            continue
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if keep_what_plays(path, whole):
                    finished.append(whole)
        except BlockingIOError:
            continue
        except OSError as error:
            log.warning("%s, left by a run that was killed, cannot be finished: %s", path, error.strerror)
    return finished


def keep_what_plays(partial: Path, whole: Path) -> bool:
    """Give an unfinished clip its name as far as it plays, or remove it. Returns whether it is there. Raises OSError."""
    cut_incomplete_fragment(partial)
    if b"moof" in partial.read_bytes()[:4096]:
        partial.rename(whole)
        return True
    partial.unlink()
    return False
