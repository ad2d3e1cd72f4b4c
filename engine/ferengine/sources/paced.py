"""Replays a file at its own rate, as if it were a camera."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ferengine.sources.base import CapturedFrame, Source, SourceInfo

_SPARE = 0.05


class PacedSource:
    """``source`` (a file or the demo) at the pace of its own time stamps, which stay media seconds; ``live``. What is
    live already is left as it is.

    Each frame comes when it is due since the first one, so that delays do not add up. A caller that comes a
    frame period or more too late has lost the frames in between, as with a camera; ``lost`` counts them.
    ``read`` blocks no longer than a frame period and 50 ms: a longer pause in the file is shortened to that.
    ``clock`` and ``sleep`` are those of ``time``, in seconds.
    """

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._period = 0.0
        self._was_live = False
        self._start: float | None = None
        self.lost = 0

    @property
    def broken_frames(self) -> int:
        """Frames of the file that could not be decoded."""
        return int(getattr(self._source, "broken_frames", 0))

    def open(self) -> SourceInfo:
        """Open the source; time begins with the first ``read``."""
        info = self._source.open()
        self._period = 1 / info.fps
        self._was_live = info.live
        return replace(info, live=True)

    def read(self) -> CapturedFrame | None:
        """The frame that is due now, or the next one as soon as it is; ``None`` at the end."""
        frame = self._source.read()
        if frame is None or self._was_live:
            return frame
        if self._start is None:
            self._start = self._clock() - frame.timestamp
        early = self._start + frame.timestamp - self._clock()
        if early <= -self._period:
            missed = int(-early / self._period)
            self._source.skip(missed - 1)
            newer = self._source.read()
            if newer is None:
                return frame
            self.lost += missed
            frame = newer
            early = self._start + frame.timestamp - self._clock()
        longest = self._period + _SPARE
        if early > longest:
            self._start -= early - longest
            early = longest
        if early > 0:
            self._sleep(early)
        return frame

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` frames of the file, for a worker that takes over in mid-file."""
        self._source.skip(frames)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
