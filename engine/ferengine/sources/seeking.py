"""Finds the exact place of a frame in a file, so that a successor need not decode all the frames before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
import av.error

_STEPS_BACK = (1, 2, 4, 8, 16)
"""Key frames to go back: MPEG-TS has no index, and a seek in it may land behind its aim."""


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
        The table, or None where packets and frames do not correspond for certain: time stamps that are missing or repeated,
        packets that hold half a frame or none, or damage.
    """
    stamps: list[int] = []
    keyframes: list[int] = []
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or _is_hidden(packet, stream):
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            stamps.append(packet.pts)
            if packet.is_keyframe:
                keyframes.append(packet.pts)
    except av.FFmpegError:
        return None
    stamps.sort()
    if not stamps or any(before == after for before, after in pairwise(stamps)):
        return None
    return FrameTable(stamps, sorted(keyframes))


def _is_hidden(packet: av.Packet[Any], stream: av.VideoStream) -> bool:
    """Whether it is a VP8 frame that only others refer to (RFC 6386, section 9.1: show_frame)."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
