"""Streams over the network: RTSP, MJPEG and video files over HTTP, decoded by PyAV's FFmpeg.

PyAV and not OpenCV: it tells wrong credentials from a dead network by the type of its error, and takes options and
timeouts for each stream instead of from the environment; decoding to BGR is as fast.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.turning import rotate_image
from ferengine.sources.url import address_host, shown_address

_OPEN_TIMEOUT = 10.0
_FALLBACK_FPS = 25.0
_NO_IMAGE = 20.0
"""Seconds in which data may come that no image can be decoded from: key frames are never further apart."""
_MIN_STEP = 1e-3


class StreamSource:
    """The images of the stream at ``url`` (rtsp, rtsps, http or https, with credentials or without).

    ``timeout``: seconds after which a silent stream is given up; connecting may take 10. ``transport``: "tcp" or
    "udp", of RTSP. ``threads``: of the decoder.

    Live streams are stamped with ``time.time()`` when an image is decoded. A file over HTTP, which has a duration,
    is not live and has its own media seconds. Images are turned upright where the stream says how; what cannot be
    decoded is passed over and counted in ``broken_frames``.

    Errors, and all that is logged, show no more of the address than scheme, host and port.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, transport: str = "tcp", threads: int = 1) -> None:
        self._url = url
        self._where = shown_address(url)
        self._timeout = timeout
        self._transport = transport
        self._threads = threads
        self._container: av.container.InputContainer | None = None
        self._converter = VideoReformatter()
        self._images: Iterator[av.VideoFrame] = iter(())
        self._first: CapturedFrame | None = None
        self._live = True
        self._origin: float | None = None
        self._timestamp = -1.0
        self.broken_frames = 0

    def open(self) -> SourceInfo:
        """Connect, and decode the first image, which alone tells the size after turning.

        Raises CredentialsError when user name and password are refused, else SourceError, which says whether nothing
        answers, there is no such stream, or it cannot be decoded.
        """
        self._container = self._connect()
        try:
            stream = self._container.streams.video[0]
        except IndexError:
            raise SourceError(f"{self._where} carries no video") from None
        if stream.codec_context is None:
            raise SourceError(f"{self._where} sends a codec that FFmpeg cannot decode: set the camera to H.264 or MJPEG")
        stream.codec_context.thread_count = self._threads
        is_rtsp = self._url.lower().startswith("rtsp")
        self._live = is_rtsp or self._container.duration is None
        self._images = self._decode(self._container, stream)
        self._first = self.read()
        if self._first is None:
            raise SourceError(f"{self._where} ended before its first image")
        if self._live:
            self.broken_frames = 0  # whoever joins between two key frames cannot decode the first images
        height, width = self._first.image.shape[:2]
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        fps = fps if 0 < fps <= 1000 else _FALLBACK_FPS
        frames = None if self._live else stream.frames or None
        return SourceInfo(width, height, fps, self._live, frames, ends=not self._live)

    def read(self) -> CapturedFrame | None:
        """The next image, in an array of its own, or ``None`` at the end. Raises SourceError when it breaks off."""
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        image = next(self._images, None)
        if image is None:
            return None
        if self._live:
            stamp = time.time()
        else:
            media = image.time or 0.0
            self._origin = media if self._origin is None else self._origin
            stamp = media - self._origin
        self._timestamp = max(stamp, self._timestamp + _MIN_STEP)
        # One converter for all images, and in this thread: PyAV's default makes a new one each time, on all cores.
        array: NDArray[Any] = self._converter.reformat(image, format="bgr24", threads=1).to_ndarray()
        return CapturedFrame(rotate_image(np.asarray(array, np.uint8), -image.rotation), self._timestamp)

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` images of a file without converting them; nothing for a live stream."""
        if self._live or frames <= 0:
            return
        if self._first is not None:
            self._first = None
            frames -= 1
        for _ in range(frames):
            if next(self._images, None) is None:
                return

    def close(self) -> None:
        """Hang up."""
        self._images, self._first = iter(()), None
        if self._container is not None:
            self._container.close()
        self._container = None

    def _connect(self) -> av.container.InputContainer:
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}  # else it looks at 5 s of images, to no gain
        if self._url.lower().startswith("rtsp"):
            options |= {"rtsp_transport": self._transport, "allowed_media_types": "video"}
        begun = time.monotonic()
        try:
            return av.open(self._url, options=options, timeout=(_OPEN_TIMEOUT, self._timeout))
        except av.FFmpegError as error:
            raise self._open_problem(error, time.monotonic() - begun) from None

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        last_image = time.monotonic()
        try:
            for packet in container.demux(stream):
                for image in self._decode_packet(packet):
                    yield image
                    last_image = time.monotonic()
                if time.monotonic() - last_image > _NO_IMAGE:
                    codec = stream.codec_context.name
                    raise SourceError(f"{self._where} sends data, but no image can be decoded from it (codec {codec})")
        except av.error.EOFError:
            return
        except (av.error.ExitError, av.error.TimeoutError):
            raise SourceError(f"{self._where} sends no image any more (waited {self._timeout:g} s)") from None
        except av.FFmpegError as error:
            if self._live and error.errno == errno.EIO:  # so FFmpeg calls the end of an MJPEG stream
                return
            raise SourceError(f"{self._where} broke off: {error.strerror}") from None

    def _decode_packet(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            return [item for item in packet.decode() if isinstance(item, av.VideoFrame)]
        except (av.error.ExitError, av.error.EOFError):
            raise
        except av.FFmpegError:
            self.broken_frames += 1
            return []

    def _open_problem(self, error: av.FFmpegError, seconds: float) -> SourceError:
        where = self._where
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            code = 401 if isinstance(error, av.error.HTTPUnauthorizedError) else 403
            return CredentialsError(
                f"{where} refuses the user name and password ({code}): write them as USER:PASSWORD@ before the host, "
                "special characters percent-encoded (@ as %40)"
            )
        if isinstance(error, av.error.HTTPNotFoundError):
            return SourceError(f"{where} has no such stream (404): check the path in its address")
        if isinstance(error, av.error.HTTPError):
            return SourceError(f"{where} answers with an error ({error.strerror})")
        if isinstance(error, av.error.ConnectionRefusedError):
            return SourceError(f"nothing answers at {where} (connection refused): is it switched on, and the port right?")
        if seconds > _OPEN_TIMEOUT - 0.5 or isinstance(error, av.error.TimeoutError | av.error.ExitError):
            return SourceError(f"{where} does not answer (waited {seconds:.0f} s): check the address and the network")
        if isinstance(error, av.error.InvalidDataError):
            return SourceError(f"{where} answers, but not with a video that can be read")
        if isinstance(error, OSError) and (problem := _name_problem(self._url)):
            return SourceError(f"{where} cannot be reached: {problem}")
        return SourceError(f"{where} cannot be opened: {error.strerror}")


def _name_problem(url: str) -> str | None:
    """What is wrong with the host's name, which FFmpeg reports as an input/output error."""
    host = address_host(url)
    if host is None:
        return None
    try:
        socket.getaddrinfo(host[0].strip("[]"), None)
    except OSError as error:
        return f"there is no host {host[0]} ({error.strerror or 'not found'})"
    return None
