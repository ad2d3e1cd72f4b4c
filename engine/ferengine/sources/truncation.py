"""Recognises files that were cut off.

Decoders read such a file up to where it ends and report nothing. A recording that has no declared length, because it is still
being written or was streamed, is complete wherever a packet ends.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import BinaryIO

from ferengine.sources.container_ends import CONTAINER_ENDS, MID_FRAME, MID_PACKET, mp4_boxes

_UNMARKED = frozenset({"h264", "mpegts"})
"""Streams that may be cut off between two packets: their last frame shows it."""


def find_truncation(
    path: Path, container: str, duration: float | None, *, mid_packet: bool, mid_frame: bool, opened_size: int
) -> str | None:
    """Say why a file is cut off.

    Args:
        path: The file, which has been read to its end.
        container: FFmpeg's name of its container.
        duration: Seconds as FFmpeg reports them for the container, None where it does not.
        mid_packet: Whether FFmpeg called the last packet incomplete.
        mid_frame: Whether the decoder missed a part of the last frame.
        opened_size: Bytes of the file when it was opened.

    Returns:
        How it shows, or None for a file that is complete, grows, or cannot be read any more.
    """
    kind = container.partition(",")[0]
    look = CONTAINER_ENDS.get(kind)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = None if look is None else look(file, size, duration)
            if found is None and mid_packet:
                found = MID_PACKET
            if found is None and mid_frame and kind in _UNMARKED:
                found = MID_FRAME
            if found is None or (not found.declared and (size > opened_size or _is_open_for_writing(file))):
                return None
    except OSError:
        return None
    return found.text


def _is_open_for_writing(file: BinaryIO) -> bool:
    """Whether another program has the file open to write to it, where the system says so (see F_SETLEASE in fcntl(2))."""
    descriptor = file.fileno()
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # one that is ignored: the default would end the process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # another user's file, or a file system without leases
        return False
    return False


def find_cut_fragment(path: Path) -> int | None:
    """Return where the last fragment of an MP4 begins, if its header is cut off: FFmpeg then refuses the whole file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        boxes = list(mp4_boxes(file, size))
    if boxes and boxes[-1].kind == b"moof" and boxes[-1].start + boxes[-1].length > size:
        return boxes[-1].start
    return None
