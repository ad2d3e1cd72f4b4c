"""Writes results as JSON lines."""

from __future__ import annotations

import json

from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.lines import LineWriter


class JsonlWriter(LineWriter):
    """Writes one JSON object per line for each frame or camera event (their ``to_dict``).

    See ``LineWriter`` for the arguments, for how lines are written and which errors are raised.
    """

    def write(self, result: FrameResult | CameraEvent) -> None:
        """Append one line."""
        self.write_line(json.dumps(result.to_dict(), separators=(",", ":"), ensure_ascii=False))
