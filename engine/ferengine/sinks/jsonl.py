"""Results as JSON lines."""

from __future__ import annotations

import json

from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.lines import LineWriter


class EventWriter(LineWriter):
    """One JSON object a frame or camera event (their ``to_dict``), one a line. How it is written, and what is raised when
    that fails: see ``LineWriter``."""

    def write(self, result: FrameResult | CameraEvent) -> None:
        """Append one line."""
        self.write_line(json.dumps(result.to_dict(), separators=(",", ":"), ensure_ascii=False))
