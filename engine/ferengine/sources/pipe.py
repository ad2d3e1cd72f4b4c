"""Video from standard input and named pipes, decoded by PyAV's FFmpeg as it arrives."""

from __future__ import annotations

import logging
import os
import select
import stat
from collections.abc import Callable, Iterator

import av
import av.error

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, SourceInfo
from ferengine.sources.clock import FALLBACK_RATE, MediaClock
from ferengine.sources.decoder import CONTAINERS, Decoder, open_container, video_stream
from ferengine.sources.nvdec import open_decoder
from ferengine.sources.url import show_path

_LOOK_UP = 0.1
"""Seconds of waiting for data after which it is asked whether to stop."""
_RATE_PACKETS = 8
"""Packets whose time stamps show the rate. A writer may be slow: it should not take long until the first frame."""
_MAX_FAILURES = 1000
"""Errors in a row after which the rest of a damaged stream is given up."""

logger = logging.getLogger(__name__)


class PipeSource(FirstFrameSource):
    """The frames of a video that another program writes into a pipe.

    It waits for the writer as long as that takes, and the writer waits for it. Time stamps are media seconds, as in
    ``VideoFileSource``; so are the shape and the rotation of the frames. Nothing is read from anywhere but the pipe, and
    what has been read cannot be read again.

    Args:
        path: The pipe: its name, or ``/proc/PID/fd/N`` for one that process PID has open.
        decoder: What decodes: "cpu" or "nvdec".
        stopped: Asked ten times a second while there is no data; true ends the stream.
        threads: Threads of the decoder.
    """

    def __init__(self, path: str, decoder: str = "cpu", stopped: Callable[[], bool] = lambda: False, threads: int = 1) -> None:
        super().__init__()
        self._path = path
        self._shown = show_path(path)
        self._decoder_name = decoder
        self._threads = threads
        self._pipe = _Pipe(stopped)
        self._container: av.container.InputContainer | None = None
        self._images: Iterator[av.VideoFrame] = iter(())
        self._clock = MediaClock(1 / FALLBACK_RATE)

    @property
    def replaced_stamps(self) -> int:
        """Time stamps so far that were missing or made no sense."""
        return self._clock.replaced

    def open(self) -> SourceInfo:
        """Open the pipe and decode the first frame: only it gives the size after rotation.

        Raises:
            SourceError: For what is no pipe, what cannot be decoded, and formats that need a file.
        """
        self._pipe.open(self._path, self._shown)
        options = {
            "analyzeduration": "1000000",  # by default it waits for 5 s of video, to no gain
            "protocol_whitelist": "data",
            "format_whitelist": CONTAINERS + ",yuv4mpegpipe",
        }
        try:
            container = open_container(self._pipe, options)
        except (av.FFmpegError, ValueError):
            raise self._unreadable() from None
        self._container = container
        stream = video_stream(container)
        if stream is None or stream.codec_context is None:
            what = "no video" if stream is None else "video in a codec that cannot be decoded"
            raise SourceError(f"{self._shown} carries {what}")
        self._decoder = open_decoder(self._decoder_name, container, stream, self._threads, self._shown)
        try:
            rate = self._decoder.read_rate(_RATE_PACKETS)
        except av.FFmpegError:  # damaged or cut off: what can be read is found out below
            rate = FALLBACK_RATE
        self._clock = MediaClock(1 / rate, self._decoder.start)
        self._images = self._read_images(self._decoder)
        self._first = self._decode()
        if self._first is None:
            raise self._unreadable()
        height, width = self._first.shape[:2]
        return SourceInfo(width, height, rate, live=False)

    def close(self) -> None:
        """Close the pipe, which ends a program that still writes into it."""
        self._images, self._first = iter(()), None
        if self._container is not None:
            self._container.close()
        self._container = None
        self._pipe.close()

    def _decode(self) -> CapturedFrame | None:
        image = next(self._images, None)
        if image is None:
            return None
        return self._decoder.capture(image, self._clock.stamp(image.time))

    def _pass_over(self) -> float | None:
        image = next(self._images, None)
        return None if image is None else self._clock.stamp(image.time)

    def _read_images(self, decoder: Decoder) -> Iterator[av.VideoFrame]:
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                for images in decoder.frames():
                    self.broken_frames = decoder.broken
                    if images:
                        failures = 0
                    yield from images
            except av.FFmpegError:
                decoder.broken += failures == 0
                failures += 1
                decoder.resume()
            else:
                break
        self.broken_frames = decoder.broken
        if (decoder.mid_packet or decoder.mid_frame) and not self.truncated:
            self.truncated = True
            logger.warning("%s is cut off: it ends in the middle of a frame", self._shown)

    def _unreadable(self) -> SourceError:
        if not self._pipe.received:
            return SourceError(f"{self._shown} ended before any data came: look for errors of the program that writes to it")
        return SourceError(
            f"{self._shown} is not a video that can be read from a pipe: send Matroska or MPEG-TS (ffmpeg ... -f matroska -); "
            "MP4 needs a file, or -movflags frag_keyframe"
        )


class _Pipe:
    """A pipe as an object that PyAV reads. It has no ``seek``: FFmpeg then knows that there is no way back.

    Attributes:
        received: Bytes so far.
    """

    name = ""  # PyAV guesses no container by it

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._poll = select.poll()
        self._descriptor = -1
        self._inherited = False
        self.received = 0

    def open(self, path: str, shown: str) -> None:
        """Open the pipe at ``path``, without waiting for a writer. Raises SourceError."""
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - pathlib's own raises for what is no error here
            if not stat.S_ISFIFO(mode):
                raise SourceError(f"{shown} is {_describe(path, mode)}")
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{shown} cannot be read: {error.strerror}") from None
        self._inherited = path.startswith("/proc/")
        self._poll.register(self._descriptor, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end."""
        while not self._stopped():
            if not self._poll.poll(_LOOK_UP * 1000) and not self._inherited:
                continue  # an inherited pipe has had a writer: without one it is over, which poll does not report
            try:
                data = os.read(self._descriptor, size)
            except BlockingIOError:  # another reader was quicker
                continue
            self.received += len(data)
            return data
        return b""

    def close(self) -> None:
        if self._descriptor >= 0:
            self._poll.unregister(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = -1


def _describe(path: str, mode: int) -> str:
    """What is no pipe, and what to do instead."""
    if stat.S_ISSOCK(mode):
        return "a socket, which cannot be opened again: put cat between (... | cat | ferengine run -)"
    if stat.S_ISCHR(mode):
        if os.path.realpath(path).startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
            return "a terminal: pipe a video into the command (ffmpeg ... -f matroska - | ferengine run -)"
        return "a device: pipe a video into the command (ffmpeg ... -f matroska - | ferengine run -)"
    return "not a pipe"
