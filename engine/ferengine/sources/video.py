"""Video files, decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, SourceInfo
from ferengine.sources.opencv_log import quiet_opencv
from ferengine.vision import cv2

_FALLBACK_FPS = 25.0
_MAX_FAILURES = 1000
"""Failed grabs in a row after which the rest of a damaged file is given up (each passes over one packet or more)."""
_MIN_STEP = 1e-3
"""Seconds between two time stamps at least."""

logger = logging.getLogger(__name__)


class VideoFileSource(FirstFrameSource):
    """The frames of a video file.

    Time stamps are media seconds from 0; they strictly increase and continue over the loops. Frames are rotated upright
    where the file says how.

    Frames that cannot be decoded are passed over and counted in ``broken_frames`` at the end of each loop: exactly if the
    container has an index of its frames (MP4, MOV, AVI), else at least one for each damaged place.

    Args:
        path: The file.
        loop: How often it is played; 0 for ever.
        threads: Threads of the decoder. One is enough, since more gain nothing on the slices that files usually have.
    """

    def __init__(self, path: str | Path, loop: int = 1, threads: int = 1) -> None:
        super().__init__()
        self._path = Path(path)
        self._loop = loop
        self._threads = threads
        self._capture: cv2.VideoCapture | None = None
        self._loops_done = 0
        self._declared = 0  # frames in one loop, as the container estimates it
        self._delivered = 0  # in this loop
        self._damaged_places = 0  # in this loop
        self._period = 1 / _FALLBACK_FPS
        self._offset = 0.0
        self._timestamp = -math.inf

    def open(self) -> SourceInfo:
        """Open the file and decode its first frame, which alone tells the size after rotation.

        Raises:
            SourceError: For a missing or unreadable file, a folder, and a file that is not a video.
        """
        _check_readable(self._path)
        self._capture = self._open_capture()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps <= 1000 else _FALLBACK_FPS
        self._period = 1 / fps
        self._declared = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._first = self._decode()
        if self._first is None:
            raise SourceError(f"{self._path} holds no frame that can be decoded")
        height, width = self._first.image.shape[:2]
        frames = self._declared * self._loop or None
        return SourceInfo(width, height, fps, live=False, frames=frames)

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
        self._capture = self._first = None

    def _open_capture(self) -> cv2.VideoCapture:
        # The absolute path begins with a slash, so FFmpeg takes no colon in it for a protocol.
        with quiet_opencv():
            capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, self._threads])
        if not capture.isOpened():
            raise SourceError(_unreadable(self._path))
        return capture

    def _decode(self) -> CapturedFrame | None:
        while (capture := self._grab()) is not None:
            ok, image = capture.retrieve()
            if ok:
                return CapturedFrame(np.asarray(image, np.uint8), self._timestamp)
            self._damaged_places += 1
        return None

    def _pass_over(self) -> bool:
        return self._grab() is not None

    def _grab(self) -> cv2.VideoCapture | None:
        """Go to the next frame, over damaged places and into the next loop; None at the end."""
        while self._capture is not None:
            if self._grab_in_loop(self._capture):
                return self._capture
            self._finish_loop()
            if self._delivered == 0 or self._loops_done == self._loop:
                self.close()
            else:
                self._capture.release()
                self._capture = self._open_capture()
                self._offset = self._timestamp + self._period
                self._delivered = self._damaged_places = 0
        return None

    def _grab_in_loop(self, capture: cv2.VideoCapture) -> bool:
        # OpenCV says "no frame" both at the end and at a damaged place: ask again as long as frames are missing.
        attempts = 1 + min(max(0, self._declared - self._delivered), _MAX_FAILURES)
        for attempt in range(attempts):
            if capture.grab():
                self._damaged_places += attempt > 0
                self._delivered += 1
                media = self._offset + max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
                self._timestamp = max(media, self._timestamp + _MIN_STEP)
                return True
        return False

    def _finish_loop(self) -> None:
        self._loops_done += 1
        if self._delivered >= self._declared and self._damaged_places == 0:
            return
        indexed = _indexed_frames(self._path)
        broken = max(0, indexed - self._delivered) if indexed else self._damaged_places
        if broken:
            logger.warning("%s: %d frames could not be decoded", self._path.name, broken)
        self.broken_frames += broken


def _check_readable(path: Path) -> None:
    """Raise SourceError that says why ``path`` cannot be a readable file."""
    if path.is_dir():
        raise SourceError(f"{path} is a folder, not a video file")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}") from None
    except PermissionError:
        raise SourceError(f"{path} cannot be read: permission denied (see ls -l {path})") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if empty:
        raise SourceError(f"{path} is empty")


def _unreadable(path: Path) -> str:
    """Why OpenCV cannot open ``path``; it does not say itself."""
    import av  # only here, for the file that does not open

    try:
        with av.open(str(path.absolute())) as container:
            videos = container.streams.video
            if not videos:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                return f"{path} is not a video: it holds {kinds} only"
            if videos[0].codec_context is None:
                return f"{path} is in a codec that cannot be decoded: convert it (ffmpeg -i {path.name} converted.mp4)"
    except av.FFmpegError:
        pass
    return f"{path} is not a video that OpenCV can read, or it is cut off or damaged"


def _indexed_frames(path: Path) -> int:
    """How many frames the container's own index lists, 0 if it has none (OpenCV then estimates silently)."""
    import av  # only here, for the rare file that came up short

    try:
        with av.open(str(path.absolute())) as container:
            return int(container.streams.video[0].frames)
    except (av.FFmpegError, IndexError):
        return 0
