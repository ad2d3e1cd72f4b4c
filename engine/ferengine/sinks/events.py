"""Results as JSON lines."""

from __future__ import annotations

import json

from ferengine.results import FrameResult
from ferengine.sinks.lines import LineWriter


class EventWriter(LineWriter):
    """One JSON object a frame (``FrameResult.to_dict``), one a line. How it is written, and what is raised when
    that fails: see ``LineWriter``."""

    def write(self, result: FrameResult) -> None:
        """Append one line."""
        self.write_line(json.dumps(result.to_dict(), separators=(",", ":"), ensure_ascii=False))
