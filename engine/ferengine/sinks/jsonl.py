"""Writes results as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.lines import LineWriter


class JsonlWriter(LineWriter):
    """Writes one JSON object per line for each frame or camera event (their ``to_dict``).

    See ``LineWriter`` for the other arguments, for how lines are written and which errors are raised.

    Args:
        path: The file, or "-" for standard output.
        overwrite: Replace a file that exists.
        clock: Monotonic seconds.
        prior: The name of the class prior in force: the lines of frames get it as the key ``prior``.
    """

    def __init__(
        self,
        path: str | Path,
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
        prior: str | None = None,
    ) -> None:
        super().__init__(path, overwrite, clock)
        self._prior = prior

    def write(self, result: FrameResult | CameraEvent) -> None:
        """Append one line.

        Args:
            result: The result of a frame, or a camera event.

        Raises:
            UsageError: It is something else.
            SinkError: It cannot be written, or the writer has been closed.
        """
        if not isinstance(result, FrameResult | CameraEvent):
            raise UsageError(f"a line holds the result of a frame or a camera event, not {type(result).__name__}")
        record = result.to_dict()
        if self._prior is not None and isinstance(result, FrameResult):
            record["prior"] = self._prior
        text = json_text(record, separators=(",", ":"), ensure_ascii=False)
        self.write_line(text, ends_result=isinstance(result, FrameResult))
