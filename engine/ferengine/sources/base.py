"""The interface of a source of frames, and what sources share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The properties of an open source.

    Attributes:
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        fps: Nominal frame rate, frames per second.
        live: Whether the source cannot wait, like a camera: a frame that is not read in time is gone.
        frames: The number of frames, or None if it is not surely known beforehand.
        seconds: How long it is in media time, over all loops, or None if it is not known: where ``frames`` is not, it says how
            far the source has come.
        ends: Whether the source has an end. Cameras and live streams have none; when they stop they are disconnected.
    """

    width: int
    height: int
    fps: float
    live: bool
    frames: int | None = None
    ends: bool = True
    seconds: float | None = None


class CapturedFrame:
    """One frame.

    Args:
        image: BGR uint8 (H, W, 3).
        timestamp: Seconds since the epoch for live sources, media seconds otherwise.
        media: Of a live source that has time stamps of its own, the seconds by those: even also where frames come in bunches.
    """

    __slots__ = ("_image", "media", "timestamp")

    def __init__(self, image: NDArray[np.uint8], timestamp: float, media: float | None = None) -> None:
        self._image = image
        self.timestamp = timestamp
        self.media = media

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3, without the cost of ``image`` where that has still to be made."""
        height, width, channels = self._image.shape
        return height, width, channels

    @property
    def image(self) -> NDArray[np.uint8]:
        """BGR uint8 (H, W, 3), valid until the next ``read``; rows may be padded."""
        return self._image

    def write(self, out: NDArray[np.uint8]) -> None:
        """Write the image to memory of the caller: the quickest way to have it there.

        Args:
            out: Contiguous uint8 of the image's ``shape``.
        """
        out[:] = self._image


@dataclass(frozen=True, slots=True)
class Kept:
    """What a wrapper has passed on of the frames of a source.

    Attributes:
        frames: How many there were.
        keeps: Whether it passes on the next frame of the source, by its time stamp; called for each, from the first one.
    """

    frames: int
    keeps: Callable[[float], bool]


class Source(Protocol):
    """Yields the frames of one camera, file, stream or rendering, in order.

    A source knows nothing of processes and is not thread-safe. The engine calls ``open`` once, then ``skip`` if it
    resumes a file, then ``read`` until it returns None or raises, then ``close``.
    """

    @property
    def broken_frames(self) -> int:
        """Frames so far that could not be decoded."""
        ...

    @property
    def late_frames(self) -> int:
        """Frames so far that were passed over because the caller read them too late."""
        ...

    @property
    def left_out_frames(self) -> int:
        """Frames so far that were left out to keep to a maximum rate."""
        ...

    @property
    def replaced_stamps(self) -> int:
        """Time stamps so far that were missing or made no sense, and were replaced."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether the file turned out, at its end, to have been cut off."""
        ...

    def open(self) -> SourceInfo:
        """Open the source.

        Raises:
            SourceError: If it cannot be opened; the message names the device, file or host, and the reason.
        """
        ...

    def read(self) -> CapturedFrame | None:
        """Return the next frame, or None at the end.

        Raises:
            SourceError: If a live source breaks off.
        """
        ...

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames, for a worker that takes over in the middle of a file; live sources do nothing.

        Args:
            frames: How many; None where only ``last`` is known, because a wrapper around the source has left some out.
            last: Time stamp of the last of them, where it is known: a source that does not read them makes sure by it that
                it goes on with the right one.
            kept: Where ``frames`` is None, what is known of them: a source that does not read them finds out by it how many
                could not be decoded.
        """
        ...

    def close(self) -> None:
        """Release the device or file. May be called twice, and before ``open``."""
        ...


_SAME_STAMP = 1e-6
"""Seconds by which the same time stamp may differ when it was summed up in another way."""


def is_reached(stamp: float, last: float | None) -> bool:
    """Whether a frame of this time stamp is the one of ``last``, or lies behind it."""
    return last is None or stamp >= last - _SAME_STAMP


class FirstFrameSource:
    """Base of the sources whose size is known only from their first frame.

    ``open`` of the subclass decodes that frame and keeps it in ``_first``; ``read`` and ``skip`` here hand it out, or
    pass over it, before the others. The subclass decodes with ``_decode``.
    """

    late_frames = 0
    left_out_frames = 0

    def __init__(self) -> None:
        self.broken_frames = 0
        self.truncated = False
        self._first: CapturedFrame | None = None

    @property
    def replaced_stamps(self) -> int:
        """Time stamps so far that were missing or made no sense, and were replaced."""
        return 0

    def read(self) -> CapturedFrame | None:
        """Return the next frame in an array of its own, or None at the end."""
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return self._decode()

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames, or over all up to the time stamp ``last``."""
        passed = 0
        while frames is None or passed < frames:
            first, self._first = self._first, None
            stamp = self._pass_over() if first is None else first.timestamp
            if stamp is None or (frames is None and is_reached(stamp, last)):
                return
            passed += 1

    def _decode(self) -> CapturedFrame | None:
        raise NotImplementedError

    def _pass_over(self) -> float | None:
        """Skip one frame, without converting it where that is possible; returns its time stamp, None at the end."""
        frame = self._decode()
        return None if frame is None else frame.timestamp
