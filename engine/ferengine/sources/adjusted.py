"""Images of another size, rate or orientation than their source gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ferengine.sources.base import CapturedFrame, Source, SourceInfo
from ferengine.sources.turning import rotate_image
from ferengine.vision import cv2

_EARLY = 0.01
"""Share of a period by which a frame may be early: time stamps are rounded."""


class AdjustedSource:
    """``source``, scaled down to fit into ``size`` (width, height in pixels), thinned out to ``fps`` frames/s by its
    time stamps, and turned clockwise by ``rotate`` degrees (0, 90, 180, 270), in this order.

    Proportions are kept and nothing is enlarged. Frames left out for the rate are no drops: they are not counted, and
    the rest are numbered through.
    """

    def __init__(
        self, source: Source, *, size: tuple[int, int] | None = None, fps: float | None = None, rotate: int = 0
    ) -> None:
        self._source = source
        self._size = size
        self._fps = fps
        self._rotate = rotate
        self._period = 0.0
        self._due = -np.inf

    @property
    def broken_frames(self) -> int:
        """Frames of the source that could not be decoded."""
        return int(getattr(self._source, "broken_frames", 0))

    @property
    def lost(self) -> int:
        """Frames that a paced source passed over because the caller came late."""
        return int(getattr(self._source, "lost", 0))

    def open(self) -> SourceInfo:
        """Open the source; the size is that of its images after scaling and turning."""
        info = self._source.open()
        width, height = self._scaled_size(info.width, info.height)
        if self._rotate % 180:
            width, height = height, width
        if self._fps is not None and self._fps < info.fps:
            self._period = 1 / self._fps
            info = replace(info, fps=self._fps, frames=None)
        return replace(info, width=width, height=height)

    def read(self) -> CapturedFrame | None:
        """The next frame that is due, adjusted; ``None`` at the end."""
        frame = self._next_due()
        if frame is None:
            return None
        return CapturedFrame(rotate_image(self._scale(frame.image), self._rotate), frame.timestamp)

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` frames of those that ``read`` would give."""
        if not self._period:
            self._source.skip(frames)
            return
        for _ in range(frames):
            if self._next_due() is None:
                return

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _next_due(self) -> CapturedFrame | None:
        while (frame := self._source.read()) is not None:
            if frame.timestamp < self._due - _EARLY * self._period:
                continue
            self._due += self._period
            if self._due <= frame.timestamp:  # the first one, or a pause
                self._due = frame.timestamp + self._period
            return frame
        return None

    def _scale(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        size = self._scaled_size(width, height)
        return image if size == (width, height) else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        if self._size is None:
            return width, height
        scale = min(1.0, self._size[0] / width, self._size[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))
