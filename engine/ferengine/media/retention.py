"""Deletes old snapshots and clips."""

from __future__ import annotations

import logging
from pathlib import Path

from ferengine.media.files import OURS

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
            if OURS.fullmatch(path.name):
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
