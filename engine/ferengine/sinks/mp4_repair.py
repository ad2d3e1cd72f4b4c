"""Repairs a fragmented MP4 file whose end could not be written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO


def cut_incomplete_fragment(path: Path) -> None:
    """Cut an incomplete last fragment off an MP4 or QuickTime file.

    Each fragment is a box ``moof`` and a box ``mdat`` (ISO/IEC 14496-12, sections 4.2 and 8.8); players may refuse a file
    with half of one.

    Args:
        path: The file, changed in place.

    Raises:
        OSError: If it cannot be read or truncated.
    """
    with path.open("r+b") as file:
        file.truncate(_complete_bytes(file, path.stat().st_size))


def _complete_bytes(file: BinaryIO, size: int) -> int:
    """The length of the complete part of the file."""
    complete = position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:  # the length is too large for four bytes
            [length] = struct.unpack(">Q", header[8:])
        if length < 8 or position + length > size:
            break
        position += length
        if kind != b"moof":
            complete = position
    return complete
