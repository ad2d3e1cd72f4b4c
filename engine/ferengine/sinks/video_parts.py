"""Joins the parts of a video, which several lives of a video worker have written, into one file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.video.stream import VideoStream

from ferengine.errors import SinkError
from ferengine.sinks.files import write_failed
from ferengine.sinks.mp4_repair import cut_incomplete_fragment
from ferengine.sinks.video import FORMATS, MAX_PAUSE, SHORT_PAUSE, container_options, path_for_ffmpeg

_HEADER_BYTES = 1 << 16
"""Bytes within which the first frames of a part begin."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, and the second of the video at which it begins."""

    path: Path
    offset: float


def join_parts(parts: Sequence[Part], beat: Callable[[], None]) -> list[Path]:
    """Put all parts into the first one's file, without encoding anything again, and remove the others.

    Pauses between them are kept or shortened as ``VideoWriter`` does within one.

    A part whose writer was killed before its first fragment was complete holds no frame, and is left out.

    Args:
        parts: The files in their order, at least one.
        beat: Called for each packet.

    Returns:
        The parts of which something was left out because it cannot be read. They stay where they are, except the first
        one, whose place the video takes.

    Raises:
        SinkError: If they cannot be joined. All parts are then as they were.
    """
    target = parts[0].path
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".ferengine-", suffix=target.suffix)
    except OSError as error:
        raise write_failed(target, error) from error
    joined = Path(name)
    try:
        os.fchmod(descriptor, target.stat().st_mode & 0o777)
        unreadable = _copy_packets(parts, joined, descriptor, beat)
        os.fsync(descriptor)
        joined.replace(target)
    except (OSError, ValueError) as error:  # PyAV's errors are either
        with contextlib.suppress(OSError):
            joined.unlink()
        raise SinkError(f"{getattr(error, 'strerror', None) or error}") from error
    finally:
        os.close(descriptor)
    for part in parts[1:]:
        if part.path not in unreadable:
            with contextlib.suppress(OSError):
                part.path.unlink()
    return unreadable


def count_frames(path: Path, beat: Callable[[], None]) -> int:
    """Count the frames of a file that a killed writer has left. What is incomplete at its end is cut off.

    Args:
        path: The file.
        beat: Called for each packet.

    Raises:
        OSError, ValueError: It cannot be read: PyAV's errors are either.
    """
    if path.suffix.lower() != ".mkv":
        cut_incomplete_fragment(path)
    frames = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with av.open(path_for_ffmpeg(path, descriptor)) as source:
            for packet in _packets(source, source.streams.video[0], path, []):
                frames += packet.pts is not None
                beat()
    finally:
        os.close(descriptor)
    return frames


def _copy_packets(parts: Sequence[Part], joined: Path, descriptor: int, beat: Callable[[], None]) -> list[Path]:
    """The parts that hold frames which cannot be read. Raises OSError or ValueError where the parts are not of one kind, or
    one cannot be opened or written."""
    output: VideoStream | None = None
    unreadable: list[Path] = []
    extradata: bytes | None = None
    last, left_out = -1, 0.0
    name, format_ = path_for_ffmpeg(joined, descriptor), FORMATS[joined.suffix.lower()]
    with av.open(name, "w", format=format_, options=container_options(joined)) as container:
        for part in parts:
            if part.path.suffix.lower() != ".mkv":
                cut_incomplete_fragment(part.path)
            part_descriptor = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                try:
                    source = av.open(path_for_ffmpeg(part.path, part_descriptor))
                except av.FFmpegError:
                    if _holds_frames(part_descriptor):
                        unreadable.append(part.path)
                    continue
                with source:
                    if not source.streams.video:
                        continue
                    video = source.streams.video[0]
                    if output is None:
                        output = container.add_stream_from_template(video)
                        extradata = video.codec_context.extradata
                    elif video.codec_context.extradata != extradata:
                        raise ValueError(f"{part.path} was encoded in another way")
                    begins = True
                    for packet in _packets(source, video, part.path, unreadable):
                        if packet.dts is None or packet.pts is None:
                            continue  # the end
                        beat()
                        assert packet.time_base is not None
                        if begins:
                            pause = float((packet.pts - last) * packet.time_base) + part.offset - left_out
                            left_out += pause - SHORT_PAUSE if last >= 0 and pause > MAX_PAUSE else 0.0
                        begins = False
                        packet.pts = max(last + 1, packet.pts + round((part.offset - left_out) / packet.time_base))
                        last = packet.dts = packet.pts  # without B frames these are the same
                        packet.stream = output
                        container.mux(packet)
            finally:
                os.close(part_descriptor)
        if output is None:
            raise ValueError("no part holds a frame")
    return unreadable


def _packets(
    source: av.container.InputContainer, video: av.VideoStream, path: Path, unreadable: list[Path]
) -> Iterator[av.Packet[Any]]:
    """The packets of a part up to its end, or to where it cannot be read."""
    packets = source.demux(video)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            unreadable.append(path)
            return
        if packet is None:
            return
        yield packet


def _holds_frames(descriptor: int) -> bool:
    """Whether a file got beyond its header: to the box moof of MP4, or the element Cluster of Matroska."""
    beginning = os.pread(descriptor, _HEADER_BYTES, 0)
    return b"moof" in beginning or b"\x1f\x43\xb6\x75" in beginning
