"""A live table on the terminal: what each camera does, where there is no screen for a window."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ferengine.results import FrameResult

_WINDOW = 3.0
"""Seconds that rates and latencies are taken over."""


class _Row:
    """What is known of one camera."""

    def __init__(self) -> None:
        self.recent: deque[tuple[float, float]] = deque()
        self.last: FrameResult | None = None
        self.frames = 0
        self.first_frame = 0

    def add(self, result: FrameResult, now: float) -> None:
        if self.last is None:
            self.first_frame = result.frame
        self.last = result
        self.frames += 1
        self.recent.append((now, result.latency_ms))
        while now - self.recent[0][0] > _WINDOW:
            self.recent.popleft()

    def cells(self, now: float) -> list[str]:
        if self.last is None:
            return ["-"] * 5
        recent = [(when, latency) for when, latency in self.recent if now - when <= _WINDOW]
        span = recent[-1][0] - recent[0][0] if recent else 0.0
        rate = (len(recent) - 1) / span if span > 0 else 0.0
        latency = f"{statistics.median(item[1] for item in recent):.0f}" if recent else "-"
        dropped = self.last.frame - self.first_frame + 1 - self.frames
        return [f"{rate:.1f}", str(self.frames), self._faces(self.last), latency, str(dropped)]

    @staticmethod
    def _faces(result: FrameResult) -> str:
        labels = Counter(face.expression.smoothed.label for face in result.faces if face.expression is not None)
        names = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        return f"{len(result.faces)}: {names}" if names else str(len(result.faces))


class LiveTable:
    """A row for each of ``cameras`` on ``console``: frames/s, frames, faces and their labels, median latency, and the
    frames missing before the last one (dropped on the way or by this table's own queue).

    Redrawn by each ``flush_if_due``; ``close`` removes it. ``clock``: monotonic seconds.
    """

    def __init__(self, cameras: Sequence[str], console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = {name: _Row() for name in cameras}
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def write(self, result: FrameResult) -> None:
        """Note ``result``."""
        self._rows.setdefault(result.camera, _Row()).add(result, self._clock())

    def flush_if_due(self) -> None:
        """Draw the table as things are now."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(self.render(), refresh=True)

    def close(self) -> None:
        """Take the table off the terminal; may be called twice."""
        self._live.stop()

    def render(self) -> Table:
        """The table as things are now."""
        table = Table("camera", "frames/s", "frames", "faces", "latency ms", "dropped")
        for column in (1, 2, 4, 5):
            table.columns[column].justify = "right"
        now = self._clock()
        for name, row in self._rows.items():
            table.add_row(name, *row.cells(now))
        return table
