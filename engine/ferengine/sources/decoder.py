"""Decodes the video of a container with PyAV's FFmpeg, for files and streams alike.

PyAV rather than OpenCV, although both are FFmpeg: OpenCV returns uninitialised memory for interlaced frames, keeps the size
of the first frame, ignores the shape of the pixels, and its errors say nothing.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import av.error
import av.filter
from av.stream import Disposition

from ferengine.sources.base import CapturedFrame
from ferengine.sources.clock import believable_rate
from ferengine.sources.conversion import FrameConverter

CONTAINERS = (
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpjpeg,mjpeg,jpeg_pipe,flv,live_flv,avi,mpeg,mpegvideo,asf,ogg,h264,hevc,m4v,"
    "av1,obu,ivf,nut,mxf,dv,gif,apng,wtv,rm,dhav,h263,vc1"
)
"""The containers that are read from networks and pipes: none of them is a playlist, which leads to other places."""

_PROBE_PACKETS = 48
"""Packets whose time stamps show the true rate of a file."""

_MAX_PROBE_PACKETS = 256
_MAX_PROBE_BYTES = 16_000_000
"""How many are read where all of them have the same time stamp, as in the first second of a clock of whole seconds."""

_SILENT_PACKETS = 8
"""How many packets at the end of a stream may give no image, because only other frames refer to them."""


_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""From 19 on PyAV reads metadata that is not UTF-8 without being asked to, and takes no such argument."""


def open_container(
    file: object, options: dict[str, str], timeout: tuple[float, float] | None = None
) -> av.container.InputContainer:
    """Open a container to be read, whatever its metadata is made of.

    Args:
        file: A path, a URL, or an object with a method ``read``.
        options: FFmpeg's options.
        timeout: The seconds that opening it and each later read may take.

    Raises:
        av.FFmpegError: If it cannot be opened.
    """
    container: av.container.InputContainer = av.open(file, "r", options=options, timeout=timeout, **_METADATA)
    return container


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the first video of a container, None where it holds none; the cover image of a recording is no video."""
    return next((stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic), None)


def declared_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """How long a video is by what its container declares of it, else of the whole, which may be its sound's; None where
    nothing is declared."""
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    begins = max(0, container.start_time or 0) / av.time_base  # which both durations of a Matroska file include
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    ends = 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) if tag else (container.duration or 0) / av.time_base
    return (ends - begins if begins < ends else ends) or None


def is_reordered_avi(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Whether it is an AVI whose frames are not shown in the order of their packets.

    AVI has no time stamps of its own, and those that FFmpeg then gives its packets are false from the first on.
    """
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


class StampChoice:
    """Which of a frame's two time stamps is its own: that of the packet it came from, or that of the packet decoded last.

    The rule is FFmpeg's (``guess_correct_pts`` in libavcodec/decode.c, whose result PyAV does not show): the kind that ran
    backward less often.

    Args:
        reordered_avi: See ``is_reordered_avi``.
    """

    def __init__(self, *, reordered_avi: bool) -> None:
        self._last_pts = self._last_dts = -math.inf
        self._faulty_pts, self._faulty_dts = int(reordered_avi), 0

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        """Return the one of the next frame."""
        if dts is not None:
            self._faulty_dts += dts <= self._last_dts
            self._last_dts = dts
        if pts is not None:
            self._faulty_pts += pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        trusts_pts = self._faulty_pts <= self._faulty_dts or self._last_dts == -math.inf
        return pts if pts is not None and trusts_pts else dts


class Decoder:
    """The frames of one video stream, in order.

    Args:
        container: The open container; the caller closes it.
        stream: The stream of it that is decoded.
        threads: Threads of the decoder.

    Attributes:
        broken: Packets so far that could not be decoded.
        discarded: Packets so far that the container says not to show.
        mid_packet: Whether the last packet so far was incomplete.
        mid_frame: Whether a part of the last frame is missing, which of the common codecs only H.264 shows, or all of it.
        start: Media seconds at which the stream begins, None where it does not say, or has no time stamps of its own.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, threads: int = 1) -> None:
        stream.codec_context.thread_count = threads
        self._container = container
        self._stream = stream
        self._demuxed: Iterator[av.Packet[Any]] = container.demux(stream)
        self._ahead: deque[av.Packet[Any]] = deque()
        self._converter = FrameConverter(stream)
        self._deinterlacer = Deinterlacer()
        self._choice = self._new_choice()
        begins, unit = stream.start_time, stream.time_base  # now: seeking changes it
        self.start = None if begins is None or not unit else float(begins * unit)
        if container.format.name == "avi":
            self.start = None  # it has no time stamps: those that FFmpeg makes up may begin later
        self.broken = 0
        self.discarded = 0
        self.mid_packet = False
        self.mid_frame = False
        self._silent = 0

    def read_ahead(self) -> int | None:
        """Demux one packet, to be decoded later; returns its bytes, None at the end."""
        packet = next(self._demuxed, None)
        if packet is None:
            return None
        self._ahead.append(packet)
        return int(packet.size)

    def read_rate(self, packets: int = _PROBE_PACKETS) -> float:
        """Return the nominal rate in frames per second, reading ahead so many packets to make sure of it, and some more of a
        recording whose clock stands still in these."""
        while len(self._ahead) < packets and self.read_ahead() is not None:
            pass
        while packets and len(set(self.stamps_ahead())) == 1 and self._may_read_on() and self.read_ahead() is not None:
            pass
        return believable_rate(
            float(self._stream.average_rate or 0),
            float(self._stream.guessed_rate or 0),
            [None if packet.pts is None else float(packet.pts * packet.time_base) for packet in self._ahead],
        )

    def stamps_ahead(self) -> list[float]:
        """Return the media seconds of the packets that have been read ahead."""
        return [float(packet.pts * packet.time_base) for packet in self._ahead if packet.pts is not None]

    def look_ahead(self) -> list[float]:
        """Return the media seconds of the next packets, which are demuxed for it."""
        try:
            while len(self._ahead) < _PROBE_PACKETS and self._may_read_on() and self.read_ahead() is not None:
                pass
        except av.FFmpegError:  # damaged: what lies behind that is read in its turn
            self.broken += 1
            self.resume()
        return self.stamps_ahead()

    def _may_read_on(self) -> bool:
        return len(self._ahead) < _MAX_PROBE_PACKETS and sum(packet.size for packet in self._ahead) < _MAX_PROBE_BYTES

    def frames(self) -> Iterator[list[av.VideoFrame]]:
        """Yield the frames of each packet, which may be none.

        Raises:
            av.FFmpegError: If demuxing fails. What cannot be decoded is counted in ``broken`` instead.
        """
        while True:
            packet = self._ahead.popleft() if self._ahead else next(self._demuxed, None)
            if packet is None:
                break
            self.discarded += packet.is_discard
            if packet.size:
                self.mid_packet = packet.is_corrupt
            yield self._deinterlacer.push(self._decode(packet))
        yield self._deinterlacer.push([None])

    def flush(self) -> list[av.VideoFrame]:
        """Return the frames that the decoder holds back, where a stream ended with an error, so that ``frames`` did not."""
        end: av.Packet[Any] = av.Packet(0)
        end.stream = self._stream
        if self._stream.time_base:
            end.time_base = self._stream.time_base
        return self._deinterlacer.push([*self._decode(end), None])

    def seek(self, stamp: int) -> None:
        """Go on at the key frame at or before ``stamp``, in units of the stream's time base.

        Raises:
            av.FFmpegError: If the container cannot seek.
        """
        self._container.seek(stamp, stream=self._stream, backward=True)
        self._ahead.clear()
        self._deinterlacer = Deinterlacer()
        self._choice = self._new_choice()
        self.resume()

    def resume(self) -> None:
        """Go on demuxing after an error."""
        self._demuxed = self._container.demux(self._stream)

    def capture(self, frame: av.VideoFrame, timestamp: float) -> CapturedFrame:
        """Return a frame as BGR, upright and with square pixels, which is converted when its pixels are needed."""
        return self._converter.capture(frame, timestamp)

    def _new_choice(self) -> StampChoice:
        return StampChoice(reordered_avi=is_reordered_avi(self._container, self._stream))

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame | None]:
        try:
            frames = packet.decode()
        except (av.error.ExitError, av.error.EOFError):
            return []
        except av.FFmpegError:
            self.broken += 1
            self._silent = 0
            self.mid_frame = True  # until another is decoded: so little may be left of the last that it is no frame
            return []
        images = [frame for frame in frames if isinstance(frame, av.VideoFrame) and frame.planes]
        over = packet.size == 0 and packet.dts is None
        if images:  # at the end come those that were held back for their order, of which any may be the last that was coded
            self.mid_frame = (over and self.mid_frame) or any(image.is_corrupt for image in images)
        for image in images:
            image.pts = self._choice.choose(image.pts, image.dts)
        self._note_silence(over, len(images))
        return list(images)

    def _note_silence(self, over: bool, images: int) -> None:
        """Count the packets at the end that gave neither an image nor an error, as where another codec goes on in the stream.

        A decoder holds back as many images as it reorders, made of one packet each or of two, and gives them at the end.
        """
        if not over:
            self._silent = 0 if images else self._silent + 1
        elif self._silent > 2 * images + _SILENT_PACKETS:
            self.broken += self._silent - images
            self._silent = 0


class Deinterlacer:
    """Makes whole images of interlaced frames, one for each, with FFmpeg's ``bwdif``; passes on progressive ones.

    The filter holds back one frame. It is started by the first interlaced frame of each size and pixel format.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[int, int, str] | None = None

    def push(self, frames: list[av.VideoFrame | None]) -> list[av.VideoFrame]:
        """Return the frames that are ready; None among ``frames`` is the end."""
        if self._graph is None and not any(frame is not None and frame.interlaced_frame for frame in frames):
            return [frame for frame in frames if frame is not None]
        return [ready for frame in frames for ready in self._push(frame)]

    def _push(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        ready: list[av.VideoFrame] = []
        layout = None if frame is None else (frame.width, frame.height, frame.format.name)
        if layout != self._layout:
            ready += self._finish()
            if frame is not None and frame.interlaced_frame:
                self._start(frame)
                self._layout = layout
        if self._graph is None:
            return ready if frame is None else [*ready, frame]
        self._graph.push(frame)
        return ready + self._pull()

    def _start(self, frame: av.VideoFrame) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
        graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")).configure()
        self._graph = graph

    def _finish(self) -> list[av.VideoFrame]:
        ready: list[av.VideoFrame] = []
        if self._graph is not None:
            self._graph.push(None)
            ready = self._pull()
        self._graph = self._layout = None
        return ready

    def _pull(self) -> list[av.VideoFrame]:
        assert self._graph is not None
        ready = []
        while True:
            try:
                ready.append(self._graph.pull())
            except (BlockingIOError, av.error.EOFError):
                return [frame for frame in ready if isinstance(frame, av.VideoFrame)]
