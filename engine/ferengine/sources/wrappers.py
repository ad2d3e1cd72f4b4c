"""Sources that thin out another one, replay it at its own pace, or change the size or rotation of its frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

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
"""Seconds of a live stream that may come at once: a segment of HLS holds up to ten."""
_MAX_EARLY = 3 * _BUNCH
"""The same of a stream that has time stamps of its own: HLS begins three segments before the newest one ends."""
_UNEVEN = 1.0
"""Seconds by which a live stream's own time stamps may be uneven."""
_SPARE = 2.0
"""Frames that a live stream may fall behind its maximum rate before its own time stamps are no longer believed."""


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
    def left_out_frames(self) -> int:
        """Frames of the source that were left out to keep to a maximum rate."""
        return self._source.left_out_frames

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

    They are counted (``left_out_frames``) but not as dropped, and the remaining ones are numbered without gaps. Of a source
    whose nominal rate is not above ``fps``, frames are left out only where it gives more than it says: in the fast parts of a
    video of variable rate, or if a camera does not keep to its rate. One frame may come a period early there, as with time
    stamps that vary a little.

    The frames of a live stream are stamped as they come, which may be in bunches, so its own time stamps say which are kept.
    Because these may be at another speed than time, no more are kept than thirty seconds of frames beyond ``fps``, and where
    fewer are, those that come a period after the last one are kept too. A live source without time stamps of its own may send
    ten seconds of frames early, if its nominal rate is not above ``fps``.

    Args:
        source: The source to thin out.
        fps: Maximum frame rate: the first frame in each period is kept, by the time stamps, periods being counted from 0.
    """

    def __init__(self, source: Source, fps: float) -> None:
        super().__init__(source)
        self._period = 1 / fps
        self._fps = fps
        self._left_out = 0
        self._is_live = False
        self._is_above = False  # whether the source's nominal rate is
        self._kept = -1  # the period of the frame kept last
        self._due = -math.inf  # when the next frame would come at the maximum rate
        self._credit = 0.0  # frames by which a live source is behind the maximum rate
        self._last = self._last_kept = -math.inf  # when frames of a live source came

    @property
    def left_out_frames(self) -> int:
        """Frames of the source that were left out to keep to a maximum rate."""
        return self._left_out + self._source.left_out_frames

    def open(self) -> SourceInfo:
        """Open the source; its rate is at most ``fps``. How many frames it has is known by their seconds only."""
        info = self._source.open()
        self._is_above = self._fps < info.fps
        self._is_live = info.live
        info = replace(info, fps=min(self._fps, info.fps))
        return replace(info, frames=None) if self._is_above or info.seconds else info

    def read(self) -> CapturedFrame | None:
        """Return the next frame that is kept; None at the end."""
        while (frame := self._source.read()) is not None:
            if self._keeps_live(frame) if self._is_live else self._keeps(frame.timestamp, self._period):
                return frame
            self._left_out += 1
        return None

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` of the frames that ``read`` would return, the last of which has the time stamp ``last``."""
        if last is not None:
            rehearsal = ThinnedSource(self._source, self._fps)
            rehearsal._is_above = self._is_above
            keeps = partial(rehearsal._keeps, tolerance=self._period)
            self._source.skip(None, last, None if frames is None else Kept(frames, keeps))
            self._keeps(last, self._period)
        else:
            before = self._left_out
            for _ in range(frames or 0):
                if self.read() is None:
                    break
            self._left_out = before

    def _keeps(self, seconds: float, tolerance: float) -> bool:
        """Whether the next frame is kept, by its time.

        Args:
            seconds: Its time.
            tolerance: Seconds by which it may come early, where the nominal rate is not above the maximum.
        """
        if self._is_above:
            before, self._kept = self._kept, max(self._kept, math.floor(seconds / self._period + _EARLY))
            return self._kept > before
        if seconds < self._due - tolerance:
            return False
        self._due = max(self._due, seconds) + self._period * (1 - _SLOW)
        return True

    def _keeps_live(self, frame: CapturedFrame) -> bool:
        """Whether the next frame of a live source is kept."""
        now, media = frame.timestamp, frame.media
        if media is None:
            return self._keeps(now, max(self._period, _BUNCH))
        since = 0.0 if self._last == -math.inf else now - self._last
        self._credit = min(_SPARE + 1, self._credit + since * self._fps)
        self._last = now
        is_due = self._keeps(media, max(self._period, _UNEVEN)) and self._credit > -_MAX_EARLY * self._fps
        is_behind = self._credit >= _SPARE and now - self._last_kept >= self._period * (1 - _SLOW)
        if is_due or is_behind:
            self._credit -= 1
            self._last_kept = now
        return is_due or is_behind


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
        if self._drops and info.seconds:
            info = replace(info, frames=None)  # late ones have no number
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
