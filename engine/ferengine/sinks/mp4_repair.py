"""Cuts a fragmented MP4 file whose end could not be written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO


def cut_to_whole_fragments(path: Path) -> None:
    """Take an unfinished last fragment off the MP4 or QuickTime file ``path``.

    Each fragment is a box ``moof`` and a box ``mdat`` (ISO/IEC 14496-12, sections 4.2 and 8.8); a player that meets
    half of one may refuse the file. Raises OSError.
    """
    with path.open("r+b") as file:
        file.truncate(_whole_bytes(file, path.stat().st_size))


def _whole_bytes(file: BinaryIO, size: int) -> int:
    """Up to where the file is whole."""
    whole = position = 0
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
            whole = position
    return whole
