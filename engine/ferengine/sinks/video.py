"""Writes H.264 video files that browsers play."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import stat
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Self

import av
import av.error
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from ferengine.errors import SinkError, UsageError, shown
from ferengine.frames import MAX_SIDE, AnyImage, check_image
from ferengine.sinks.files import create_output, is_still_at, write_failed
from ferengine.sinks.mp4_repair import cut_incomplete_fragment
from ferengine.vision import cv2

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
"""FFmpeg's name of the format of each kind of file."""
_TIME_BASE = Fraction(1, 90_000)
_KEYFRAME_SECONDS = 1.0
MAX_PAUSE = 60.0
"""Seconds without a frame that the video shows as they were."""
SHORT_PAUSE = 1.0
"""Seconds that a longer pause lasts in the video: a camera that was away for a night would be a frozen image for hours, and MP4
has no room for more than 13 of them."""
_BT601 = 6  # AVCOL_SPC_SMPTE170M: the matrix of cv2's conversion
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_FAILED = (OSError, av.error.FFmpegError)
"""What FFmpeg raises: errors of the system, and those of its own, which are no OSError."""

logger = logging.getLogger(__name__)


class VideoWriter:
    """Encodes frames into a video file. A frame lasts until the time stamp of the next one, or for one second where there is
    none for over a minute; a warning says so.

    The file is written in fragments that start with a key frame, at least one per second: after the process is killed or
    the disk is full, it plays up to its last fragment. ``close`` finishes it; so does the end of a ``with`` block.

    Args:
        path: The file: .mp4, .mkv or .mov.
        width: Width in pixels; an odd last column is cut off.
        height: Height in pixels; an odd last row is cut off.
        fps: Nominal frame rate.
        overwrite: Replace a file that exists.
        threads: Threads of the encoder.
        descriptor: The file, if it has been created already; it is closed by ``close``.

    Attributes:
        frames: Frames that were written.
        safe: Those of them that a file left behind by a killed process is certain to hold.

    Raises:
        UsageError: If the file exists, without ``overwrite``.
        SinkError: For another suffix, an impossible size or rate, or a file that cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: float,
        overwrite: bool = False,
        threads: int = 1,
        descriptor: int | None = None,
    ) -> None:
        self._path = Path(path)
        self.frames = self.safe = 0
        if self._path.suffix.lower() not in FORMATS:
            raise SinkError(f"{self._path} is not the name of a video: it must end in {', '.join(FORMATS)}")
        if (
            not all(map(_is_finite, (width, height, fps)))
            or fps <= 0
            or not all(2 <= side < MAX_SIDE + 2 and side == int(side) for side in (width, height))
        ):
            raise SinkError(f"{self._path} cannot be a video of {width}x{height} pixels at {fps} frames/s")
        self._size, fps = (int(width) & ~1, int(height) & ~1), float(fps)  # Fraction takes no float32
        self._descriptor = create_output(self._path, overwrite=overwrite) if descriptor is None else descriptor
        options = container_options(self._path)
        rate = Fraction(min(max(fps, 1.0), 1000.0)).limit_denominator(1001)
        name = path_for_ffmpeg(self._path, self._descriptor)
        try:
            self._container = av.open(name, "w", format=FORMATS[self._path.suffix.lower()], options=options)
        except _FAILED as error:
            os.close(self._descriptor)
            raise write_failed(self._path, error) from error
        self._stream = self._container.add_stream("libx264", rate=rate)
        context = self._stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = _TIME_BASE
        context.thread_count = threads
        context.gop_size = 600  # key frames come by time instead: see write
        context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
        context.options = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}
        self._fps = fps
        self._start: float | None = None
        self._last = 0.0
        self._pts = -1
        self._next_keyframe = 0
        self._closed = False

    def write(self, image: AnyImage, timestamp: float) -> None:
        """Add a frame.

        Args:
            image: BGR uint8 (H, W, 3). An image of another size is scaled to fit and letterboxed.
            timestamp: When it is shown, in seconds from any origin. One that is before the last one's begins a new origin,
                one frame later.

        Raises:
            UsageError: If the image is another array, or the time stamp no number.
            SinkError: If the file cannot be written, or was removed (noticed within a second), or the writer has been closed.
        """
        if self._closed:
            raise SinkError(f"{self._path} is already closed")
        if not _is_finite(timestamp):
            raise UsageError(f"a time stamp is a number of seconds, not {shown(timestamp)}")
        timestamp = float(timestamp)  # differences of unsigned integers would not be negative
        planes = cv2.cvtColor(_fit(check_image(image, channels=(3,)), *self._size), cv2.COLOR_BGR2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        if self._start is None:
            self._start = timestamp
        elif timestamp < self._last:  # a clock was set back: the video goes on at its speed
            self._start += timestamp - self._last - 1 / self._fps
        elif timestamp - self._last > MAX_PAUSE:
            pause = timestamp - self._last
            self._start += pause - SHORT_PAUSE
            logger.warning("%s: a pause of %.0f s without frames lasts %g s in the video", self._path, pause, SHORT_PAUSE)
        self._last = timestamp
        self._pts = max(self._pts + 1, round((timestamp - self._start) / _TIME_BASE))
        frame.pts, frame.time_base = self._pts, _TIME_BASE
        keyframe = self._pts >= self._next_keyframe
        if keyframe:
            frame.pict_type = PictureType.I
            self._next_keyframe = self._pts + round(_KEYFRAME_SECONDS / _TIME_BASE)
            if not is_still_at(self._path, self._descriptor):
                self._abandon()
                raise SinkError(f"{self._path} was removed while it was being written")
        self._encode(frame)
        if keyframe:  # its packet has ended the fragment before
            self.safe = self.frames
        self.frames += 1

    def close(self) -> None:
        """Finish the file; may be called twice.

        Raises:
            SinkError: If that fails.
        """
        if self._closed:
            return
        if self._start is not None:
            self._encode(None)
        self._closed = True
        try:
            self._container.close()
        except _FAILED as error:
            self._cut()
            raise write_failed(self._path, error) from error
        finally:
            os.close(self._descriptor)
        self.safe = self.frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except _FAILED as error:
            self._abandon()
            raise write_failed(self._path, error) from error

    def _abandon(self) -> None:
        """Close the file after a failure and keep what plays."""
        self._closed = True
        with contextlib.suppress(*_FAILED):
            self._container.close()
        self._cut()
        os.close(self._descriptor)

    def _cut(self) -> None:
        if self._path.suffix.lower() != ".mkv" and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            with contextlib.suppress(OSError):
                cut_incomplete_fragment(self._path)


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def container_options(path: Path) -> dict[str, str]:
    """Return FFmpeg's options for the file: fragments, each written at once and not when FFmpeg's own buffer is full."""
    if path.suffix.lower() == ".mkv":
        return {"flush_packets": "1", "cluster_time_limit": str(round(1000 * _KEYFRAME_SECONDS))}
    return {"flush_packets": "1", "movflags": "frag_keyframe+empty_moov+default_base_moof"}


def path_for_ffmpeg(path: Path, descriptor: int = -1) -> str:
    """Return a name under which FFmpeg opens the file.

    Args:
        path: The file.
        descriptor: The open file, by which it is named where its own name is not UTF-8, which FFmpeg's binding takes alone.
    """
    name = str(path.absolute())  # it begins with a slash, so FFmpeg takes no colon in it for a protocol
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"/proc/self/fd/{descriptor}"
    return name


def _fit(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """``image`` in ``width`` x ``height``: as it is, without an odd last row or column, or letterboxed."""
    rows, columns = image.shape[:2]
    if rows - rows % 2 == height and columns - columns % 2 == width:
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / columns, height / rows)
    new_columns, new_rows = max(1, round(columns * scale)), max(1, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (width - new_columns) // 2, (height - new_rows) // 2
    letterboxed = np.zeros((height, width, 3), np.uint8)
    scaled = cv2.resize(image, (new_columns, new_rows), interpolation=method)
    letterboxed[top : top + new_rows, left : left + new_columns] = scaled
    return letterboxed
