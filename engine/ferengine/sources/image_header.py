"""The size of an image as its header states it, read before anything is allocated for its pixels."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 64
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""Markers SOF0 to SOF15 of a frame header (ITU-T T.81, table B.1)."""


def image_size(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return width and height of a JPEG, PNG, BMP, TIFF, WebP or GIF file.

    A small file may announce billions of pixels (a "decompression bomb"); a decoder would allocate them.

    Args:
        data: The file's bytes, uint8 (N,).

    Returns:
        Pixels, ``None`` for another format and for a header that is cut short.
    """
    head = data[:_HEADER_BYTES].tobytes()
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _pair(">II", head, 16)
        if head.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if head.startswith(b"BM"):
            return _bmp(head)
        if head.startswith((b"II*\0", b"MM\0*")):
            return _tiff(data)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _pair("<HH", head, 6)
    except struct.error:
        pass
    return None


def _pair(layout: str, head: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, head, at)
    return abs(first), abs(second)


def _bmp(head: bytes) -> tuple[int, int]:
    [length] = struct.unpack_from("<I", head, 14)
    return _pair("<HH" if length == 12 else "<ii", head, 18)


def _jpeg(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Walks the segments up to the frame header."""
    view, at = data.data, 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            return None
        marker = view[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", view, at + 5)
            return width, height
        elif 0xD0 <= marker <= 0xD8 or marker == 1:  # without a segment
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", view, at + 2)[0])
    return None


def _tiff(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """ImageWidth and ImageLength of the first directory (TIFF 6.0, section 2)."""
    view = data.data
    order = "<" if view[0] == ord("I") else ">"
    [at] = struct.unpack_from(f"{order}I", view, 4)
    [entries] = struct.unpack_from(f"{order}H", view, at)
    found: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(f"{order}HH", view, entry)
        if tag in (256, 257):
            [found[tag]] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", view, entry + 8)
    return (found[256], found[257]) if len(found) == 2 else None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = _pair("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        [bits] = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return None
