"""What a camera has shown: faces, people and expressions, and when."""

from __future__ import annotations

import threading
from collections import Counter
from copy import deepcopy
from typing import Any

from ferengine.errors import UsageError
from ferengine.results import FrameResult

BINS = 32
"""Columns of the timeline, unless fewer are asked for."""

_FIRST_BIN = 0.1
"""Seconds of a bin at the start; bins are merged in pairs whenever twice ``BINS`` are full."""
_FRAME = ""
"""In a bin, what counts its frames; labels have names."""
_NEARLY = 1e-6
"""Of a bin: times are sums of fractions, and a frame at the edge of a bin belongs to it."""
_MAX_TRACKS = 10_000
"""Track numbers that are remembered, the newest ones; older ones have long ended."""


class Seen:
    """What one camera has shown. Takes the same memory however long it runs; may be read, copied and pickled while it is added
    to.

    Attributes:
        frames: Results.
        with_faces: Results with at least one face.
        faces: Faces in all of them.
        max_at_once: The largest number of faces in one.
        people: Tracks. A person who leaves and comes back, or is lost from sight, counts again.
        labels: Classified faces by their smoothed label.
        seconds: From the first frame to the last.
    """

    def __init__(self) -> None:
        self.frames = self.with_faces = self.faces = self.max_at_once = self.people = 0
        self.labels: Counter[str] = Counter()
        self.seconds = 0.0
        self._start: float | None = None
        self._tracks: set[int] = set()
        self._forgotten = 0
        self._bin = _FIRST_BIN
        self._bins: list[Counter[str]] = []
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return deepcopy({name: value for name, value in vars(self).items() if name != "_lock"})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def add(self, result: FrameResult) -> None:
        """Count one more result.

        Args:
            result: The camera's next one.
        """
        with self._lock:
            self._add(result)

    def _add(self, result: FrameResult) -> None:
        self.frames += 1
        self.faces += len(result.faces)
        self.with_faces += bool(result.faces)
        self.max_at_once = max(self.max_at_once, len(result.faces))
        if self._start is None:
            self._start = result.timestamp
        self.seconds = max(self.seconds, result.timestamp - self._start)
        labels = [face.expression.smoothed.label for face in result.faces if face.expression is not None]
        self.labels.update(labels)
        self._bin_at(result.timestamp - self._start).update([_FRAME, *labels])
        for face in result.faces:
            if face.track is not None and face.track > self._forgotten and face.track not in self._tracks:
                self._tracks.add(face.track)
                self.people += 1
        if len(self._tracks) > _MAX_TRACKS:
            newest = sorted(self._tracks)[_MAX_TRACKS // 2 :]
            self._tracks, self._forgotten = set(newest), newest[0] - 1

    def fractions(self) -> dict[str, float]:
        """The fraction of the classified faces with each label, the most frequent first; empty where none was classified."""
        with self._lock:
            total = self.labels.total()
            return {label: count / total for label, count in self.labels.most_common()}

    def timeline(self, label: str, columns: int = BINS) -> list[float | None]:
        """The fraction of the faces of each stretch of time that had a label, ``None`` where there was no face.

        The stretches have the same length and cover the run; there are at most ``columns``. One in which no frame came has the
        value of the one before.

        Args:
            label: A smoothed label.
            columns: How many stretches there may be, 1 or more.

        Returns:
            Fractions in [0, 1], in order of time.

        Raises:
            UsageError: There is to be less than one stretch.
        """
        if columns < 1:
            raise UsageError(f"a timeline has 1 column or more, not {columns}")
        with self._lock:
            per_stretch = -(-len(self._bins) // columns)
            stretches = [
                sum(self._bins[i : i + per_stretch], Counter()) for i in range(0, len(self._bins), max(per_stretch, 1))
            ]
        values: list[float | None] = []
        for stretch in stretches:
            faces = stretch.total() - stretch[_FRAME]
            values.append(stretch[label] / faces if faces else None if stretch or not values else values[-1])
        return values

    def _bin_at(self, seconds: float) -> Counter[str]:
        """The bin of a time after the first frame. Time that steps back stays in the last bin."""
        index = max(int(seconds / self._bin + _NEARLY), len(self._bins) - 1, 0)
        while index >= 2 * BINS:
            self._bin *= 2
            self._bins = [sum(self._bins[i : i + 2], Counter()) for i in range(0, len(self._bins), 2)]
            index = max(int(seconds / self._bin + _NEARLY), len(self._bins) - 1)
        self._bins.extend(Counter() for _ in range(index + 1 - len(self._bins)))
        return self._bins[index]
