"""Sources that thin out another one, replay it at its own pace, or change the size or rotation of its frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ferengine.frames import rotate
from ferengine.sources.base import CapturedFrame, Kept, Source, SourceInfo
from ferengine.vision import cv2

PAUSE_TOLERANCE = 0.05
"""Seconds beyond a frame period that ``PacedSource.read`` may block, unless other ones are given."""
_CATCH_UP = 1.0
"""Seconds that ``PacedSource.read`` passes over late frames."""
_EARLY = 0.01
"""Fraction of a period by which a frame may be early: time stamps are rounded."""
_SLOW = 0.02
"""Fraction by which a source may be faster than the maximum rate that it was set to: clocks differ."""
_BUNCH = 10.0
"""Seconds of a live stream that may come at once and are stamped as they come: a segment of HLS holds up to ten."""


class SourceWrapper:
    """Passes everything on to ``source``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def broken_frames(self) -> int:
        """Frames of the source that could not be decoded."""
        return self._source.broken_frames

    @property
    def replaced_stamps(self) -> int:
        """Time stamps of the source that were missing or made no sense."""
        return self._source.replaced_stamps

    @property
    def late_frames(self) -> int:
        """Frames of the source that were passed over because the caller read them too late."""
        return self._source.late_frames

    @property
    def truncated(self) -> bool:
        """Whether the source's file was cut off."""
        return self._source.truncated

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames."""
        self._source.skip(frames, last, kept)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class ThinnedSource(SourceWrapper):
    """Leaves out frames of another source.

    They are not counted as dropped, and the remaining ones are numbered without gaps. Of a source whose nominal rate is not
    above ``fps``, frames are left out only where it gives more than it says: in the fast parts of a video of variable rate,
    or if a camera does not keep to its rate. One frame may come a period early there, as with time stamps that vary a little,
    and those of a live stream up to ten seconds early: they are stamped as they come, which may be in bunches. So a camera
    that sends more than it says is thinned once it has sent ten seconds more.

    Args:
        source: The source to thin out.
        fps: Maximum frame rate: the first frame in each period is kept, by the time stamps, periods being counted from 0.
    """

    def __init__(self, source: Source, fps: float) -> None:
        super().__init__(source)
        self._period = 1 / fps
        self._fps = fps
        self._is_above = False  # whether the source's nominal rate is
        self._kept = -1  # the period of the frame kept last
        self._due = -math.inf  # when the next frame would come at the maximum rate
        self._tolerance = self._period  # seconds by which it may come before that

    def open(self) -> SourceInfo:
        """Open the source; its rate is at most ``fps``."""
        info = self._source.open()
        self._is_above = self._fps < info.fps
        if info.live:
            self._tolerance = max(self._period, _BUNCH)
        return replace(info, fps=self._fps, frames=None) if self._is_above else info

    def read(self) -> CapturedFrame | None:
        """Return the next frame that is kept; None at the end."""
        while (frame := self._source.read()) is not None:
            if self._keeps(frame.timestamp):
                return frame
        return None

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` of the frames that ``read`` would return, the last of which has the time stamp ``last``."""
        if last is not None:
            rehearsal = ThinnedSource(self._source, self._fps)
            rehearsal._is_above = self._is_above
            self._source.skip(None, last, None if frames is None else Kept(frames, rehearsal._keeps))
            self._keeps(last)
        else:
            for _ in range(frames or 0):
                if self.read() is None:
                    return

    def _keeps(self, timestamp: float) -> bool:
        """Whether the next frame is kept, which has this time stamp."""
        if self._is_above:
            before, self._kept = self._kept, max(self._kept, math.floor(timestamp / self._period + _EARLY))
            return self._kept > before
        if timestamp < self._due - self._tolerance:
            return False
        self._due = max(self._due, timestamp) + self._period * (1 - _SLOW)
        return True


class PacedSource(SourceWrapper):
    """Replays a file or the demo at its own rate, as if it were a camera.

    Each frame comes when it is due since the first one, so that delays do not add up. A caller that is a frame period
    or more late misses the frames in between, as with a camera; ``late_frames`` counts them. Where passing over them takes
    longer than a second, because decoding is slower than the rate, time goes on from the frame that it has come to. Otherwise
    ``read`` blocks for at most a frame period and ``tolerance``: a longer pause in the file is shortened to that. Time stamps
    stay media seconds. A source that is live already is passed through.

    Args:
        source: The source to replay, already thinned out: frames that are left out anyway are not late.
        drops: Whether late frames are passed over; otherwise all of them come, as fast as they are read.
        tolerance: Seconds.
        clock: Monotonic seconds, as ``time.monotonic``.
        sleep: Waits for some seconds, as ``time.sleep``.
    """

    def __init__(
        self,
        source: Source,
        *,
        drops: bool = True,
        tolerance: float = PAUSE_TOLERANCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(source)
        self._drops = drops
        self._tolerance = tolerance
        self._clock = clock
        self._sleep = sleep
        self._period = 0.0
        self._was_live = False
        self._start: float | None = None
        self._late = 0

    @property
    def late_frames(self) -> int:
        """Frames that were passed over because the caller read them too late."""
        return self._late + self._source.late_frames

    def open(self) -> SourceInfo:
        """Open the source; time starts with the first ``read``."""
        info = self._source.open()
        self._period = 1 / info.fps
        self._was_live = info.live
        return replace(info, live=True)

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over all frames up to the time stamp ``last``: more than ``frames``, where some were late."""
        self._source.skip(frames if last is None else None, last, kept)

    def read(self) -> CapturedFrame | None:
        """Return the frame that is due now, or wait for the next one; None at the end."""
        frame = self._source.read()
        if frame is None or self._was_live:
            return frame
        if self._start is None:
            self._start = self._clock() - frame.timestamp
        began = self._clock()
        late = began - self._start - self._period  # media seconds up to which frames are late
        while self._drops and frame.timestamp <= late and (newer := self._source.read()) is not None:
            self._late += 1
            frame = newer
            if self._clock() - began > _CATCH_UP:
                self._start = self._clock() - frame.timestamp
                return frame
        early = self._start + frame.timestamp - self._clock()
        longest = self._period + self._tolerance
        if early > longest:
            self._start -= early - longest
            early = longest
        if early > 0:
            self._sleep(early)
        return frame


class AdjustedSource(SourceWrapper):
    """Scales down and rotates the frames of another source, in this order. Proportions are kept and nothing is enlarged.

    Args:
        source: The source to adjust.
        size: Width and height in pixels that frames are scaled down to fit into.
        rotate: Degrees clockwise: 0, 90, 180 or 270.
    """

    def __init__(self, source: Source, *, size: tuple[int, int] | None = None, rotate: int = 0) -> None:
        super().__init__(source)
        self._size = size
        self._rotate = rotate

    def open(self) -> SourceInfo:
        """Open the source; the size is that of its frames after scaling and rotating."""
        info = self._source.open()
        width, height = self._scaled_size(info.width, info.height)
        if self._rotate % 180:
            width, height = height, width
        return replace(info, width=width, height=height)

    def read(self) -> CapturedFrame | None:
        """Return the next frame, adjusted; None at the end."""
        frame = self._source.read()
        if frame is None:
            return None
        return CapturedFrame(rotate(self._scale(frame.image), self._rotate), frame.timestamp)

    def _scale(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        size = self._scaled_size(width, height)
        return image if size == (width, height) else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        if self._size is None:
            return width, height
        scale = min(1.0, self._size[0] / width, self._size[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))
