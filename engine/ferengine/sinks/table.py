"""A live table of the cameras on the terminal, for runs without a window."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table

from ferengine.results import FrameResult

_WINDOW = 3.0
"""Seconds over which rates and latencies are measured."""

_LEFT_WINDOW = 10.0
"""Seconds whose progress shows how much time is left."""

_SHORTEST = 0.5
"""Seconds after the first result from which there is a rate."""

_COLUMNS = ("camera", "state", "progress", "left", "frames/s", "frames", "faces", "latency ms", "dropped")
_LABELS = "labels"
"""The labels of the faces, which stand behind their number."""
_LEFT_OUT = ("latency ms", "state", "frames", "dropped", _LABELS, "left", "frames/s")
"""What a narrow terminal does not show, the first of these first."""
_TEXTS = ("camera", "state", "faces")
"""The columns that are aligned to the left."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """What the table shows of a camera besides its results.

    Attributes:
        state: As ``CameraHealth.state``.
        dropped: Frames.
        progress: The fraction of its frames that has come out, ``None`` where no end is known.
    """

    state: str
    dropped: int
    progress: float | None = None


class _Row:
    """The values of one camera."""

    def __init__(self) -> None:
        self.recent: deque[tuple[float, float]] = deque()
        self.last: FrameResult | None = None
        self.frames = 0
        self.begun = 0.0
        self.came_to: deque[tuple[float, float]] = deque()

    def add(self, result: FrameResult, now: float) -> None:
        if self.last is None:
            self.begun = now
        self.last = result
        self.frames += 1
        self.recent.append((now, result.latency_ms))
        while now - self.recent[0][0] > _WINDOW:
            self.recent.popleft()

    def cells(self, now: float, camera: CameraState) -> dict[str, str]:
        if self.last is None:
            return {}
        recent = [(when, latency) for when, latency in self.recent if now - when <= _WINDOW]
        rate = self._rate(now, len(recent))
        cells = {"frames": str(self.frames), "faces": self._faces(self.last)}
        if rate is not None:
            cells["frames/s"] = f"{rate:.1f}"
        if recent:
            cells["latency ms"] = f"{statistics.median(item[1] for item in recent):.0f}"
        if camera.progress is not None:
            cells["progress"] = f"{int(100 * camera.progress + 1e-9)} %"
            left = self._seconds_left(now, camera.progress)
            if left is not None and camera.state == "running":
                cells["left"] = clock_text(left)
        return cells

    def _seconds_left(self, now: float, progress: float) -> float | None:
        """By the progress of the last seconds; None where that is not known yet."""
        self.came_to.append((now, progress))
        while len(self.came_to) > 2 and now - self.came_to[1][0] >= _LEFT_WINDOW:
            self.came_to.popleft()
        then, before = self.came_to[0]
        if now - then < _SHORTEST or progress <= before:
            return None
        return (1 - progress) * (now - then) / (progress - before)

    def _rate(self, now: float, recent: int) -> float | None:
        """Results a second of the window, however they are bunched in it; None where there is no rate yet."""
        if now - self.begun <= _WINDOW:  # the first one marks the beginning
            return (recent - 1) / (now - self.begun) if now - self.begun >= _SHORTEST else None
        return recent / _WINDOW

    @staticmethod
    def _faces(result: FrameResult) -> str:
        labels = Counter(face.expression.smoothed.label for face in result.faces if face.expression is not None)
        names = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        return f"{len(result.faces)}: {names}" if names else str(len(result.faces))


class LiveTable:
    """A row for each camera: its state, how far a file has come, frames/s, faces and their labels, latency and drops.

    Progress and the time left are shown where the end of a source is known. On a narrow terminal the columns that
    matter least are left out; that of dropped frames never is once there are any. Each ``flush_if_due`` redraws the table;
    ``close`` removes it.

    Args:
        console: Where it is drawn.
        states: Returns the present state of each camera, by name.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        states: Callable[[], Mapping[str, CameraState]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows: defaultdict[str, _Row] = defaultdict(_Row)
        self._console = console
        self._states = states
        self._clock = clock
        self._faces_width = 0  # never shrinks: else the table would change its width with each label
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
        """Return the table with the present values, as wide as the terminal allows."""
        now, states = self._clock(), self._states()
        rows = [
            {"camera": name, "state": camera.state, "dropped": str(camera.dropped), **self._rows[name].cells(now, camera)}
            for name, camera in states.items()
        ]
        files = any(camera.progress is not None for camera in states.values())
        shown = [column for column in _COLUMNS if files or column not in ("progress", "left")]
        lossy = any(camera.dropped for camera in states.values())
        for row in rows:
            self._faces_width = max(self._faces_width, len(row.get("faces", "")))
            row["faces"] = row.get("faces", "-").ljust(self._faces_width)
        for column in _LEFT_OUT:
            if self._fits(table := _table(shown, rows)):
                return table
            if column == _LABELS:
                rows = [{**row, "faces": row["faces"].partition(":")[0].strip()} for row in rows]
            elif column in shown and not (column == "dropped" and lossy):
                shown.remove(column)
        return _table(shown, rows)

    def _fits(self, table: Table) -> bool:
        options = self._console.options
        return Measurement.get(self._console, options.update(max_width=10_000), table).maximum <= options.max_width


def _table(columns: list[str], rows: list[dict[str, str]]) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in _TEXTS else "right", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row.get(column, "-") for column in columns))
    return table


def clock_text(seconds: float) -> str:
    """A duration as ``1:05`` or ``2:10:00``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
