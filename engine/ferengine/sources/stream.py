"""Streams over the network: RTSP, RTMP, SRT, MPEG-TS over UDP, MJPEG and video files over HTTP, decoded by PyAV's FFmpeg."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import av
import av.error

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, Kept, SourceInfo
from ferengine.sources.clock import FALLBACK_RATE, MediaClock, believable_rate, wall_clock
from ferengine.sources.credentials import refused_credentials
from ferengine.sources.decoder import CONTAINERS, Decoder, declared_seconds, open_container, video_stream
from ferengine.sources.nvdec import open_decoder
from ferengine.sources.redirects import redirect_target
from ferengine.sources.url import redact_url, url_host

logger = logging.getLogger(__name__)

T = TypeVar("T")

_OPEN_TIMEOUT = 10.0
_UNDECODABLE_TIMEOUT = 20.0
"""Seconds in which data may come that no frame can be decoded from: key frames are never further apart."""
_FILE_LEAD = 10.0
"""Media seconds by which what arrives must be ahead of the clock to be a recording. Cameras begin with the frames since
their last key frame, which are fewer."""
_LIVE_AFTER = 1.0
"""Seconds of waiting while that lead does not grow, nor the end comes, after which a stream without a duration is live."""
_LEAD_GROWS = 0.5
"""Media seconds by which it must grow. Behind a camera's last key frame nothing leads; a recording whose server hesitates, or
that a busy machine reads slowly, goes on to lead by more than before."""
_LONGEST_WAIT = 0.4
"""Of the seconds of waiting one packet counts so many at the most."""
_DURATION_TOLERANCE = 1.0
"""Seconds by which a recording may end before the duration that it declares."""
_MAX_PROBE_BYTES = 64 << 20
"""Data that is kept to decide it."""

_PROTOCOLS = {
    "rtsp": "rtsp,rtp,srtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "http": "http,https,httpproxy,tcp,tls",
    "https": "http,https,httpproxy,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "srt": "srt",
    "udp": "udp",
}
"""What FFmpeg may open for a URL of each kind: never a file."""
MAX_REDIRECTS = 5
_STILL_IMAGE = "jpeg_pipe"
"""FFmpeg's format for a JPEG that is sent by itself; other images are in none of ``CONTAINERS``."""
_PLAYLISTS = {".m3u8": "hls", ".mpd": "dash"}
"""Playlists, which lead to other places, are read only where the URL names one."""


class NoVideoError(SourceError):
    """What answers over HTTP is neither a stream nor a recording."""


class StreamSource(FirstFrameSource):
    """The frames of a network stream.

    Live streams are stamped with the time of day when a frame is decoded. A file over HTTP is not live and keeps its own
    media seconds. Which of them it is shows the duration, or without one what arrives: a recording comes as fast as it is
    read, and ends. Frames become upright, whole and square as in ``VideoFileSource``; what cannot be decoded is passed over
    and counted in ``broken_frames``.

    A stream opens nothing but network connections of its own kind. A redirect to another host is refused, and a
    playlist is read only where the URL itself names one.

    Errors and log messages show no more of the URL than scheme, host and port.

    Args:
        url: A URL of one of ``STREAM_SCHEMES``, with credentials or without.
        timeout: Seconds after which a silent stream is given up; connecting may take 10.
        transport: Of RTSP: "tcp" or "udp".
        threads: Threads of the decoder.
        decoder: What decodes: "cpu" or "nvdec".
    """

    def __init__(
        self, url: str, *, timeout: float = 5.0, transport: str = "tcp", threads: int = 1, decoder: str = "cpu"
    ) -> None:
        super().__init__()
        self._url = url
        self._where = redact_url(url)
        self._timeout = timeout
        self._transport = transport
        self._threads = threads
        self._decoder_name = decoder
        self._scheme = url.partition("://")[0].lower()
        self._is_rtsp = self._scheme in ("rtsp", "rtsps")
        self._is_http = self._scheme in ("http", "https")
        self._container: av.container.InputContainer | None = None
        self._images: Iterator[av.VideoFrame] = iter(())
        self._live = True
        self._end_unannounced = False
        self._replaced_live = 0
        self._media = self._own = MediaClock(1 / FALLBACK_RATE)

    @property
    def replaced_stamps(self) -> int:
        """Time stamps so far that were missing, made no sense, or came while the system's clock was behind."""
        return self._media.replaced + self._replaced_live

    def open(self) -> SourceInfo:
        """Connect and decode the first frame: only it gives the size after rotation.

        Raises:
            CredentialsError: If the user name and password are refused.
            NoVideoError: If it is a still image, or of no format that is read from this URL.
            SourceError: If nothing answers, there is no such stream, or it cannot be decoded.
        """
        self._container = self._connect()
        if self._is_http and self._container.format.name == _STILL_IMAGE:
            raise NoVideoError(f"{self._where} answers with a still image")
        stream = video_stream(self._container)
        if stream is None:
            raise SourceError(f"{self._where} carries no video")
        if stream.codec_context is None:
            raise SourceError(f"{self._where} sends a codec that FFmpeg cannot decode: set the camera to H.264 or MJPEG")
        decoder = self._decoder = open_decoder(self._decoder_name, self._container, stream, self._threads, self._where)
        self._live = self._is_live(self._container, decoder)
        fps = (_live_rate(stream) if self._live else self._translate(decoder.read_rate)) or FALLBACK_RATE
        self._media, self._own = MediaClock(1 / fps, decoder.start), MediaClock(1 / fps)
        self._images = self._decode_images(decoder, stream)
        self._first = self._decode()
        if self._first is None:
            raise SourceError(f"{self._where} ended before its first frame")
        if self._live:
            decoder.broken = self.broken_frames = 0  # a stream joined between two key frames cannot decode its first frames
        height, width = self._first.shape[:2]
        frames = None if self._live else stream.frames or None
        seconds = None if self._live else declared_seconds(self._container, stream)
        return SourceInfo(width, height, fps, self._live, frames, ends=not self._live, seconds=seconds)

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames of a file without converting them; do nothing for a live stream."""
        if not self._live:
            super().skip(frames, last, kept)

    def _is_live(self, container: av.container.InputContainer, decoder: Decoder) -> bool:
        """Decide by what arrives: a recording comes as fast as it is read, and ends; a camera comes at its own rate."""
        if not self._is_http or container.format.name == "mpjpeg":
            return True
        if container.duration is not None:
            return False
        began = now = time.monotonic()
        size, waited, furthest = 0, 0.0, 0.0
        while size < _MAX_PROBE_BYTES:
            before = now
            arrived = self._translate(decoder.read_ahead)
            if arrived is None:
                return False
            size += arrived
            now = time.monotonic()
            waited += min(now - before, _LONGEST_WAIT)
            stamps = decoder.stamps_ahead()
            lead = max(stamps) - min(stamps) - (now - began) if stamps else 0.0
            if lead > _FILE_LEAD:
                return False
            if lead > furthest + _LEAD_GROWS:
                furthest, waited = lead, 0.0
            if waited > _LIVE_AFTER:
                return True
        return False

    def _decode(self) -> CapturedFrame | None:
        image = next(self._images, None)
        if image is None:
            return None
        captured = self._decoder.capture(image, self._stamp(image))
        if self._live:
            captured.media = self._own.stamp(image.time)
        return captured

    def _stamp(self, image: av.VideoFrame) -> float:
        if not self._live:
            return self._media.stamp(image.time)
        replaced, now = wall_clock.replaced, wall_clock.stamp()
        self._replaced_live += wall_clock.replaced - replaced
        return now

    def _pass_over(self) -> float | None:
        image = next(self._images, None)
        return None if image is None else self._media.stamp(image.time)

    def close(self) -> None:
        """Disconnect."""
        self._images, self._first = iter(()), None
        if self._container is not None:
            self._container.close()
        self._container = None

    def _connect(self) -> av.container.InputContainer:
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}  # by default it analyses 5 s of video, to no gain
        options["protocol_whitelist"] = _PROTOCOLS[self._scheme]
        if self._is_rtsp:
            options |= {"rtsp_transport": self._transport, "allowed_media_types": "video"}
        elif not self._is_http:
            options |= {"format_whitelist": CONTAINERS} | ({"overrun_nonfatal": "1"} if self._scheme == "udp" else {})
        else:
            path = self._url.partition("?")[0].lower()
            playlist = next((f",{name}" for ending, name in _PLAYLISTS.items() if path.endswith(ending)), "")
            options |= {"format_whitelist": CONTAINERS + playlist, "max_redirects": "0"}
        url = self._url
        for _ in range(1 + MAX_REDIRECTS):
            if self._is_rtsp and (target := redirect_target(url, self._timeout)) is not None:
                url = target  # before FFmpeg follows it, which nothing can forbid
                continue
            started = time.monotonic()
            try:
                return open_container(url, options, (_OPEN_TIMEOUT, self._timeout))
            except av.FFmpegError as error:
                redirected = self._is_http and error.errno == errno.EIO
                target = redirect_target(url, self._timeout) if redirected else None
                if target is None:
                    raise self._open_error(error, time.monotonic() - started) from None
                url = target
        raise SourceError(f"{self._where} redirects in a circle")

    def _decode_images(self, decoder: Decoder, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        last_image = time.monotonic()
        packets = decoder.frames()
        while (images := self._translate(lambda: next(packets, None))) is not None:
            self.broken_frames = decoder.broken
            for image in images:
                yield image
                last_image = time.monotonic()
            if time.monotonic() - last_image > _UNDECODABLE_TIMEOUT:
                codec = stream.codec_context.name
                raise SourceError(f"{self._where} sends data, but no frame can be decoded from it (codec {codec})")
        if not self._live:
            yield from decoder.flush()
            self._look_for_truncation(decoder, stream)

    def _look_for_truncation(self, decoder: Decoder, stream: av.VideoStream) -> None:
        """Of a recording that has ended."""
        assert self._container is not None
        declared, ends = self._surely_declared_seconds(stream), self._media.now + self._media.period
        if decoder.mid_packet or decoder.mid_frame:
            found = "it ends in the middle of a frame"
        elif declared is not None and ends < declared - _DURATION_TOLERANCE:
            found = f"it declares {declared:.1f} s and ends at {ends:.1f} s"
        else:
            if declared is None and (self._end_unannounced or self._has_no_length):
                logger.warning("%s ended without having said how much it sends: what came may not be all", self._where)
            return
        self.truncated = True
        logger.warning("%s is cut off: %s", self._where, found)

    def _surely_declared_seconds(self, stream: av.VideoStream) -> float | None:
        """How long the video is by its own declaration, None where there is none: that of the whole may be its sound's."""
        assert self._container is not None
        alone = len(self._container.streams) == 1
        return declared_seconds(self._container, stream) if alone or stream.duration is not None else None

    def _translate(self, read: Callable[[], T]) -> T | None:
        """What ``read`` returns, None at the end. Raises SourceError for FFmpeg's errors."""
        try:
            return read()
        except av.error.EOFError:
            return None
        except (av.error.ExitError, av.error.TimeoutError):
            raise SourceError(f"{self._where} stopped sending frames (waited {self._timeout:g} s)") from None
        except av.FFmpegError as error:
            if error.errno == errno.EIO and (self._live or self._has_no_length):  # FFmpeg's name for the end of such a stream
                self._end_unannounced = True
                return None
            raise SourceError(f"{self._where} broke off: {error.strerror}") from None

    @property
    def _has_no_length(self) -> bool:
        """Whether the server has not said how much it sends, and ends it by closing the connection, as in HTTP 1.0. That a
        connection broke off cannot be told from such an end."""
        return self._container is not None and self._container.size <= 0

    def _open_error(self, error: av.FFmpegError, seconds: float) -> SourceError:
        where = self._where
        if isinstance(error, av.error.ProtocolNotFoundError):
            return SourceError(
                f"{where}: this FFmpeg (PyAV's) has no {self._scheme.upper()}: let MediaMTX or go2rtc make RTSP of it, or pipe "
                "it (ffmpeg -i URL -c copy -f mpegts - | ferengine run -)"
            )
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            code = 401 if isinstance(error, av.error.HTTPUnauthorizedError) else 403
            return CredentialsError(refused_credentials(where, code))
        if isinstance(error, av.error.HTTPNotFoundError):
            return SourceError(f"{where} has no such stream (404): check the path in its URL")
        if isinstance(error, av.error.HTTPError):
            return SourceError(f"{where} answers with an error ({error.strerror})")
        if isinstance(error, av.error.ConnectionRefusedError):
            return SourceError(f"nothing answers at {where} (connection refused): is it switched on, and the port right?")
        if seconds > _OPEN_TIMEOUT - 0.5 or isinstance(error, av.error.TimeoutError | av.error.ExitError):
            return SourceError(f"{where} does not answer (waited {seconds:.0f} s): check the URL and the network")
        if isinstance(error, av.error.ArgumentError):
            text = f"a playlist's own ends in {' or '.join(_PLAYLISTS)}"
            return NoVideoError(f"{where} answers with a playlist or another format that is not read from this URL: {text}")
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


def _live_rate(stream: av.VideoStream) -> float:
    return believable_rate(float(stream.average_rate or 0), float(stream.guessed_rate or 0), [])
