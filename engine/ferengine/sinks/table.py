"""A live table of the cameras on the terminal, for runs without a window."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ferengine.results import FrameResult

_WINDOW = 3.0
"""Seconds over which rates and latencies are measured."""


class _Row:
    """The values of one camera."""

    def __init__(self) -> None:
        self.recent: deque[tuple[float, float]] = deque()
        self.last: FrameResult | None = None
        self.frames = 0

    def add(self, result: FrameResult, now: float) -> None:
        self.last = result
        self.frames += 1
        self.recent.append((now, result.latency_ms))
        while now - self.recent[0][0] > _WINDOW:
            self.recent.popleft()

    def cells(self, now: float) -> list[str]:
        if self.last is None:
            return ["-"] * 4
        recent = [(when, latency) for when, latency in self.recent if now - when <= _WINDOW]
        span = recent[-1][0] - recent[0][0] if recent else 0.0
        rate = (len(recent) - 1) / span if span > 0 else 0.0
        latency = f"{statistics.median(item[1] for item in recent):.0f}" if recent else "-"
        return [f"{rate:.1f}", str(self.frames), self._faces(self.last), latency]

    @staticmethod
    def _faces(result: FrameResult) -> str:
        labels = Counter(face.expression.smoothed.label for face in result.faces if face.expression is not None)
        names = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        return f"{len(result.faces)}: {names}" if names else str(len(result.faces))


class LiveTable:
    """A row for each camera: its state, frames/s, frames, faces and their labels, median latency, and dropped frames.

    Each ``flush_if_due`` redraws it; ``close`` removes it.

    Args:
        console: Where it is drawn.
        states: Returns the current state and the number of dropped frames of each camera, by name.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        states: Callable[[], Mapping[str, tuple[str, int]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows: defaultdict[str, _Row] = defaultdict(_Row)
        self._states = states
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def write(self, result: FrameResult) -> None:
        """Add a result."""
        self._rows[result.camera].add(result, self._clock())

    def flush_if_due(self) -> None:
        """Redraw the table."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(self.render(), refresh=True)

    def close(self) -> None:
        """Remove the table; may be called twice."""
        self._live.stop()

    def render(self) -> Table:
        """Return the table with the current values."""
        table = Table("camera", "state", "frames/s", "frames", "faces", "latency ms", "dropped")
        for column in (2, 3, 5, 6):
            table.columns[column].justify = "right"
        now = self._clock()
        for name, (state, dropped) in self._states().items():
            table.add_row(name, state, *self._rows[name].cells(now), str(dropped))
        return table
