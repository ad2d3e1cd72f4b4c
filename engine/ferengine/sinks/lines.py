"""Writes text files by complete lines."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ferengine.errors import SinkError
from ferengine.sinks.files import create_output, is_still_at, write_failed

_FLUSH_SECONDS = 0.5
_BUFFER_BYTES = 1 << 16


class LineWriter:
    """Writes lines, UTF-8, to a file or standard output.

    A file is written half a second after a line came, if the caller calls ``flush_if_due`` often enough; standard output at
    once. Only complete lines are written. When writing fails (disk full, file removed, reader gone), SinkError is raised
    once, and the writer then ignores everything. ``close`` writes what waits; so does the end of a ``with`` block.

    Args:
        path: The file, or "-" for standard output.
        overwrite: Replace a file that exists.
        clock: Monotonic seconds.

    Raises:
        UsageError: If the file exists, without ``overwrite``.
        SinkError: If the file cannot be created.
    """

    def __init__(self, path: str | Path, overwrite: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        to_stdout = str(path) == "-"
        if to_stdout and sys.stdout is None:  # descriptor 1 may belong to another file by now
            raise SinkError("standard output is closed: name a file")
        self._path = None if to_stdout else Path(path)
        self._name = "stdout" if to_stdout else str(path)
        self._delay = 0.0 if to_stdout else _FLUSH_SECONDS
        self._clock = clock
        self._buffer = bytearray()
        self._buffered_since = 0.0
        self._written = 0
        self._closed = False
        self._ends: list[int] = []  # where the buffered results end, in bytes from the beginning
        self._descriptor: int | None = os.dup(1) if self._path is None else create_output(self._path, overwrite=overwrite)

    def write_line(self, line: str, *, ends_result: bool = False) -> None:
        """Append a line.

        Args:
            line: The line.
            ends_result: Whether it is the last one of a result: ``SinkError.lost`` counts these.

        Raises:
            SinkError: If the buffer is flushed and that fails, or the writer has been closed.
        """
        if self._closed:
            raise SinkError(f"{self._name} is already closed")
        if self._descriptor is None:
            return
        if not self._buffer:
            self._buffered_since = self._clock()
        self._buffer += line.encode(errors="backslashreplace") + b"\n"  # a lone surrogate, from a name that is not UTF-8
        if ends_result:
            self._ends.append(self._written + len(self._buffer))
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()
        else:
            self.flush_if_due()

    def flush_if_due(self, now: float | None = None) -> None:
        """Write the lines that have waited long enough; call it a few times a second, also when no line comes.

        Args:
            now: Seconds, by the writer's clock; read from it if not given.
        """
        now = self._clock() if now is None else now
        if self._buffer and now - self._buffered_since >= self._delay:
            self._flush()

    def close(self) -> None:
        """Write the remaining lines and close; may be called twice.

        Raises:
            SinkError: If that fails.
        """
        self._closed = True
        if self._descriptor is None:
            return
        try:
            self._flush()
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush(self) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            return
        before, lines = self._written, bytes(self._buffer)
        ends, self._ends = self._ends, []
        view = memoryview(lines)
        self._buffer.clear()
        try:
            if self._path is not None and not is_still_at(self._path, descriptor):
                self._release()
                raise _losing(SinkError(f"{self._name} was removed while it was being written"), len(ends))
            while view:
                count = os.write(descriptor, view)
                self._written += count
                view = view[count:]
        except BrokenPipeError:
            self._release()
            closed = SinkError(f"{self._name} was closed by its reader")
            raise _losing(closed, sum(end > self._written for end in ends)) from None
        except OSError as error:
            kept = before + lines.rfind(b"\n", 0, self._written - before) + 1
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.ftruncate(descriptor, kept)  # leave no partial line
            self._release()
            raise _losing(write_failed(self._name, error), sum(end > kept for end in ends)) from error

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._buffer.clear()


def _losing(error: SinkError, results: int) -> SinkError:
    error.lost = results
    return error
