"""The file of ``--health-file``, for a supervisor that cannot call ``Engine.health``."""

from __future__ import annotations

import json
import logging
import stat
import threading
import time
from dataclasses import asdict
from pathlib import Path

from ferengine.engine import Engine
from ferengine.errors import SinkError
from ferengine.json_text import json_text
from ferengine.sinks.files import remove_leftovers, write_atomically

_EVERY = 1.0
_MAX_BYTES = 1 << 24


def is_health_file(path: Path) -> bool:
    """Whether a path leads to what a run before may have left, to an empty file, or to none: a file of another kind is not
    replaced."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return True  # a device or a pipe, which is written to
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES)
        found = json.loads(text) if text.strip() else {"time": 0, "ok": True}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= {"time", "ok"}


class HealthFile:
    """Writes ``Engine.health`` as one JSON object every second, in a dedicated thread, and once more at the end.

    The file is replaced each time, so a reader never sees a part of it; ``time`` (seconds since the epoch) shows whether it
    is still being written.

    Args:
        path: The file.
        engine: The engine to report on.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.error: str | None = None
        self._path = path
        remove_leftovers(path)
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ferengine-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write the last state, after the end of the run."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._write()
            self._over.wait(_EVERY)
        self._write()

    def _write(self) -> None:
        health = self._engine.health()
        record = {"time": round(time.time(), 3), "ok": health.ok, **asdict(health)}
        try:
            write_atomically(self._path, json_text(record).encode() + b"\n")
        except SinkError as error:
            if self.error is None:  # reported once; the folder may come back
                logging.getLogger("ferengine").error("%s", error)
            self.error = str(error)
