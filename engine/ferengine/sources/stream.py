"""Streams over the network: RTSP, MJPEG and video files over HTTP, decoded by PyAV's FFmpeg.

PyAV rather than OpenCV, because its error types tell wrong credentials from a dead network, and because it takes options
and timeouts for each stream instead of from the environment. Decoding to BGR is as fast.
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
from ferengine.frames import rotate
from ferengine.sources.base import CapturedFrame, FirstFrameSource, SourceInfo
from ferengine.sources.url import redact_url, url_host

_OPEN_TIMEOUT = 10.0
_FALLBACK_FPS = 25.0
_UNDECODABLE_TIMEOUT = 20.0
"""Seconds in which data may come that no frame can be decoded from: key frames are never further apart."""
_MIN_STEP = 1e-3
"""Seconds between two time stamps at least."""


class StreamSource(FirstFrameSource):
    """The frames of a network stream.

    Live streams are stamped with ``time.time()`` when a frame is decoded. A file over HTTP, which has a duration, is not
    live and keeps its own media seconds. Frames are rotated upright where the stream says how; what cannot be decoded is
    passed over and counted in ``broken_frames``.

    Errors and log messages show no more of the URL than scheme, host and port.

    Args:
        url: An rtsp, rtsps, http or https URL, with credentials or without.
        timeout: Seconds after which a silent stream is given up; connecting may take 10.
        transport: Of RTSP: "tcp" or "udp".
        threads: Threads of the decoder.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, transport: str = "tcp", threads: int = 1) -> None:
        super().__init__()
        self._url = url
        self._where = redact_url(url)
        self._timeout = timeout
        self._transport = transport
        self._threads = threads
        self._container: av.container.InputContainer | None = None
        self._converter = VideoReformatter()
        self._images: Iterator[av.VideoFrame] = iter(())
        self._live = True
        self._origin: float | None = None
        self._timestamp = -1.0

    def open(self) -> SourceInfo:
        """Connect and decode the first frame, which alone tells the size after rotation.

        Raises:
            CredentialsError: If the user name and password are refused.
            SourceError: If nothing answers, there is no such stream, or it cannot be decoded.
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
        self._images = self._decode_images(self._container, stream)
        self._first = self._decode()
        if self._first is None:
            raise SourceError(f"{self._where} ended before its first frame")
        if self._live:
            self.broken_frames = 0  # a stream joined between two key frames cannot decode its first frames
        height, width = self._first.image.shape[:2]
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        fps = fps if 0 < fps <= 1000 else _FALLBACK_FPS
        frames = None if self._live else stream.frames or None
        return SourceInfo(width, height, fps, self._live, frames, ends=not self._live)

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` frames of a file without converting them; do nothing for a live stream."""
        if not self._live:
            super().skip(frames)

    def _decode(self) -> CapturedFrame | None:
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
        # One converter for all frames, and in this thread: PyAV's default makes a new one each time, on all cores.
        array: NDArray[Any] = self._converter.reformat(image, format="bgr24", threads=1).to_ndarray()
        return CapturedFrame(rotate(np.asarray(array, np.uint8), -image.rotation), self._timestamp)

    def _pass_over(self) -> bool:
        return next(self._images, None) is not None

    def close(self) -> None:
        """Disconnect."""
        self._images, self._first = iter(()), None
        if self._container is not None:
            self._container.close()
        self._container = None

    def _connect(self) -> av.container.InputContainer:
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}  # by default it analyses 5 s of video, to no gain
        if self._url.lower().startswith("rtsp"):
            options |= {"rtsp_transport": self._transport, "allowed_media_types": "video"}
        started = time.monotonic()
        try:
            return av.open(self._url, options=options, timeout=(_OPEN_TIMEOUT, self._timeout))
        except av.FFmpegError as error:
            raise self._open_error(error, time.monotonic() - started) from None

    def _decode_images(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        last_image = time.monotonic()
        try:
            for packet in container.demux(stream):
                for image in self._decode_packet(packet):
                    yield image
                    last_image = time.monotonic()
                if time.monotonic() - last_image > _UNDECODABLE_TIMEOUT:
                    codec = stream.codec_context.name
                    raise SourceError(f"{self._where} sends data, but no frame can be decoded from it (codec {codec})")
        except av.error.EOFError:
            return
        except (av.error.ExitError, av.error.TimeoutError):
            raise SourceError(f"{self._where} stopped sending frames (waited {self._timeout:g} s)") from None
        except av.FFmpegError as error:
            if self._live and error.errno == errno.EIO:  # FFmpeg's name for the end of an MJPEG stream
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

    def _open_error(self, error: av.FFmpegError, seconds: float) -> SourceError:
        where = self._where
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            code = 401 if isinstance(error, av.error.HTTPUnauthorizedError) else 403
            return CredentialsError(
                f"{where} refuses the user name and password ({code}): write them as USER:PASSWORD@ before the host, "
                "special characters percent-encoded (@ as %40)"
            )
        if isinstance(error, av.error.HTTPNotFoundError):
            return SourceError(f"{where} has no such stream (404): check the path in its URL")
        if isinstance(error, av.error.HTTPError):
            return SourceError(f"{where} answers with an error ({error.strerror})")
        if isinstance(error, av.error.ConnectionRefusedError):
            return SourceError(f"nothing answers at {where} (connection refused): is it switched on, and the port right?")
        if seconds > _OPEN_TIMEOUT - 0.5 or isinstance(error, av.error.TimeoutError | av.error.ExitError):
            return SourceError(f"{where} does not answer (waited {seconds:.0f} s): check the URL and the network")
        if isinstance(error, av.error.InvalidDataError):
            return SourceError(f"{where} answers, but not with a readable video")
        if isinstance(error, OSError) and (reason := _resolve_error(self._url)):
            return SourceError(f"{where} cannot be reached: {reason}")
        return SourceError(f"{where} cannot be opened: {error.strerror}")


def _resolve_error(url: str) -> str | None:
    """Why the host's name cannot be resolved, which FFmpeg reports as an input/output error."""
    host = url_host(url)
    if host is None:
        return None
    try:
        socket.getaddrinfo(host[0].strip("[]"), None)
    except OSError as error:
        return f"there is no host {host[0]} ({error.strerror or 'not found'})"
    return None
