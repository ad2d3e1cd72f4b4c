"""Finds the exact place of a frame in a file, so that a successor need not decode all the frames before it."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import av
import av.error

from ferengine.sources.base import Kept, is_reached
from ferengine.sources.clock import MediaClock
from ferengine.sources.decoder import is_reordered_avi

_STEPS_BACK = (1, 2, 4, 8, 16)
"""Key frames to go back: MPEG-TS has no index, and a seek in it may land behind its aim."""

_MAX_REORDERED = 16
"""Frames that the decoders of H.264 and HEVC hold back at most to show them in order."""


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The frames of a file, in the order in which they are shown.

    Attributes:
        stamps: The time stamp of each, in units of the stream's time base.
        keyframes: The time stamps at which decoding can begin.
    """

    stamps: list[int]
    keyframes: list[int]

    def keyframes_before(self, index: int) -> list[int]:
        """Return time stamps of key frames at or before frame ``index``: the last one first, then some further back."""
        found = bisect_right(self.keyframes, self.stamps[index])
        return [self.keyframes[found - back] for back in _STEPS_BACK if back <= found]


def read_frame_table(container: av.container.InputContainer, stream: av.VideoStream) -> FrameTable | None:
    """List the frames of a file by demuxing it, without decoding.

    Args:
        container: The file, just opened.
        stream: Its video.

    Returns:
        The table, or None where packets and frames do not correspond for certain: time stamps that are missing, repeated or
        wrong, packets that hold half a frame or none, or damage.
    """
    stamps: list[int] = []
    keyframes: list[int] = []
    highest = highest_before = -math.inf  # of all packets so far, and of those before the last key frame
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or _is_hidden(packet, stream):
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            stamps.append(packet.pts)
            if packet.is_keyframe:
                keyframes.append(packet.pts)
                highest_before = highest
            if packet.pts <= highest_before:
                return None  # no frame is shown before those of an earlier group, so that one of the stamps is wrong
            highest = max(highest, packet.pts)
    except av.FFmpegError:
        return None
    reordered = _MAX_REORDERED if stream.codec_context.has_b_frames else 0
    if is_reordered_avi(container, stream) or not _are_plausible(stamps, reordered):
        return None
    stamps.sort()
    if not stamps or any(before == after for before, after in pairwise(stamps)):
        return None
    return FrameTable(stamps, sorted(keyframes))


def _are_plausible(stamps: list[int], reordered: int) -> bool:
    """Whether the order of time stamps is that in which a decoder shows frames that it reorders by at most so many.

    A stamp that lies further from its place is wrong: the frame is shown elsewhere than it says, and the clock of a file that
    is read through replaces it.
    """
    order = sorted(range(len(stamps)), key=stamps.__getitem__)
    return all(abs(shown - decoded) <= reordered for shown, decoded in enumerate(order))


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file a frame is.

    Attributes:
        loops: How often the file was played before.
        index: The frame, of the file's table.
        broken: How many of those before it in the table could not be decoded.
    """

    loops: int
    index: int
    broken: int


def find_place(
    clock: MediaClock, seconds: list[float], frames: int | None, last: float | None, kept: Kept | None = None
) -> Place | None:
    """Find where to go on in a file of which ``frames`` frames were read.

    Frames that cannot be decoded are in the table but were not read, so that the number alone leads too far back.

    Args:
        clock: A new clock of the file; it is advanced to the place.
        seconds: Media seconds of the frames in the table.
        frames: How many frames were read, at least one; None if only ``last`` is known.
        last: Time stamp of the last of them, None if it is not known.
        kept: What was passed on of them, where ``frames`` is None.

    Returns:
        The place of the next frame, or None where it is not certain.
    """
    if frames is None:
        return None if last is None else _find_behind(clock, seconds, last, kept)
    loops, index = divmod(frames, len(seconds))
    stamp = -math.inf
    for _ in range(loops):
        for second in seconds:
            stamp = clock.stamp(second)
        clock.restart()
    for second in seconds[:index]:
        stamp = clock.stamp(second)
    if last is None or _is_same(stamp, last):
        return Place(loops, index, 0)
    if loops:
        return None  # what was broken in which loop is not known
    for broken, second in enumerate(seconds[index:-1], 1):
        stamp = clock.stamp(second)
        if _is_same(stamp, last):
            return Place(0, index + broken, broken)
        if stamp > last:
            return None
    return None


def _find_behind(clock: MediaClock, seconds: list[float], last: float, kept: Kept | None) -> Place | None:
    """The place behind the frame of the time stamp ``last``; what was broken before it is known only where all frames would
    have been kept."""
    keeps_all = kept is not None
    for loops in count():
        for index, second in enumerate(seconds, 1):
            stamp = clock.stamp(second)
            keeps_all = keeps_all and kept is not None and kept.keeps(stamp)
            if not is_reached(stamp, last):
                continue
            if not _is_same(stamp, last):
                return None
            broken = max(0, loops * len(seconds) + index - kept.frames) if kept is not None and keeps_all else 0
            if broken and (loops or index == len(seconds)):
                return None  # what was broken in which loop is not known
            if index < len(seconds):
                return Place(loops, index, broken)
            clock.restart()
            return Place(loops + 1, 0, 0)
        clock.restart()
    return None


def _is_same(stamp: float, last: float) -> bool:
    return is_reached(stamp, last) and is_reached(last, stamp)


def _is_hidden(packet: av.Packet[Any], stream: av.VideoStream) -> bool:
    """Whether it is a VP8 frame that only others refer to (RFC 6386, section 9.1: show_frame)."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
