"""How much an image file holds, as its headers state it, read before anything is allocated for its pixels."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 64
_BOXES_BYTES = 1 << 16
"""Bytes in which a file of boxes (JPEG 2000, AVIF) states its sizes."""
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""Markers SOF0 to SOF15 of a frame header (ITU-T T.81, table B.1)."""
_MAX_IMAGES = 100_000
"""Images that are counted; no machine has memory for more."""
_TIFF_DIRECTORIES = {
    b"II*\0": ("<", "H", "I", "HHII", 4),
    b"MM\0*": (">", "H", "I", "HHII", 4),
    b"II+\0": ("<", "Q", "Q", "HHQQ", 8),
    b"MM\0+": (">", "Q", "Q", "HHQQ", 8),
}
"""Order of bytes, number of entries, offset, entry, and where the first offset is, of TIFF 6.0 and of BigTIFF."""
_NETPBM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})\s")
_PAM = re.compile(rb"P7\s(?:.*\n)*?(?:WIDTH\s+(\d{1,10})\s(?:.*\n)*?HEIGHT\s+(\d{1,10})\s)")
_PFM = re.compile(rb"P[Ff]\s+(\d{1,10})\s+(\d{1,10})\s")
_RADIANCE = re.compile(rb"#\?.*?\n\n-Y (\d{1,10}) \+X (\d{1,10})\n", re.DOTALL)
_SUN_RASTER = b"\x59\xa6\x6a\x95"
_AVIF_SEQUENCE = b"avis"
_J2K_SIZE = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True)
class ImageExtent:
    """What an image file announces.

    Attributes:
        width: Pixels of its widest image.
        height: Pixels of its highest image.
        images: How many it holds: the frames of an animation, the pages of a TIFF.
        pixels: Of all images together, where they differ in size.
    """

    width: int
    height: int
    images: int = 1
    pixels: int | None = None

    def nbytes(self, images: int) -> int:
        """The most that so many of its images take, decoded as BGR."""
        largest = self.width * self.height * images
        return 3 * (largest if self.pixels is None else min(largest, self.pixels))


def image_extent(data: NDArray[np.uint8]) -> ImageExtent | None:
    """Return what a file of any format that OpenCV decodes announces.

    A small file may announce billions of pixels (a "decompression bomb"); a decoder would allocate them.

    Args:
        data: The file's bytes, uint8 (N,).

    Returns:
        The extent, ``None`` for another format and for a header that is cut short.
    """
    view = data.data
    head = bytes(view[:_HEADER_BYTES])
    try:
        for begins, read in _FORMATS:
            if head.startswith(begins):
                return read(view)
        if head[4:8] == b"ftyp":
            return _avif(view)
        return _text(view)
    except (struct.error, OverflowError):  # what the header says leads out of the file
        return None


def _pair(layout: str, data: bytes | memoryview, at: int) -> ImageExtent:
    first, second = struct.unpack_from(layout, data, at)
    return ImageExtent(abs(first), abs(second))


def _png(view: memoryview) -> ImageExtent:
    extent = _pair(">II", view, 16)
    before_data = bytes(view[:_BOXES_BYTES]).partition(b"IDAT")[0]
    control = before_data.find(b"acTL")
    if control < 0:
        return extent
    [images] = struct.unpack_from(">I", view, control + 4)
    return ImageExtent(extent.width, extent.height, max(1, min(images, _MAX_IMAGES)))


def _bmp(view: memoryview) -> ImageExtent:
    [length] = struct.unpack_from("<I", view, 14)
    return _pair("<HH" if length == 12 else "<ii", view, 18)


def _jpeg(view: memoryview) -> ImageExtent | None:
    """Walks the segments up to the frame header."""
    at = 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            return None
        marker = view[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", view, at + 5)
            return ImageExtent(width, height)
        elif 0xD0 <= marker <= 0xD8 or marker == 1:  # without a segment
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", view, at + 2)[0])
    return None


def _tiff(view: memoryview) -> ImageExtent | None:
    """ImageWidth and ImageLength of all directories (TIFF 6.0, section 2)."""
    sizes = list(_tiff_sizes(view))
    if not any(width for width, _ in sizes):
        return None
    width, height = (max(side) for side in zip(*sizes, strict=True))
    pixels = None if len(set(sizes)) == 1 else sum(width * height for width, height in sizes)
    return ImageExtent(width, height, len(sizes), pixels)


def _tiff_sizes(view: memoryview) -> Iterator[tuple[int, int]]:
    order, count, offset, entry, first = _TIFF_DIRECTORIES[bytes(view[:4])]
    step, value_at = struct.calcsize("=" + entry), struct.calcsize("=" + entry[:-1])
    [at] = struct.unpack_from(order + offset, view, first)
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MAX_IMAGES:
        seen.add(at)
        try:
            [entries] = struct.unpack_from(order + count, view, at)
        except (struct.error, OverflowError):  # cut off before this directory
            yield 0, 0
            return
        begins = at + struct.calcsize("=" + count)
        found: dict[int, int] = {}
        for place in range(begins, min(begins + step * entries, len(view)), step):
            tag, kind = struct.unpack_from(order + "HH", view, place)
            if tag in (256, 257):
                layout = {3: "H", 16: "Q"}.get(kind, "I")
                [found[tag]] = struct.unpack_from(order + layout, view, place + value_at)
            if len(found) == 2:
                yield found[256], found[257]
                break
        try:
            [at] = struct.unpack_from(order + offset, view, begins + step * entries)
        except (struct.error, OverflowError):  # cut off behind its first directories
            return


def _webp(view: memoryview) -> ImageExtent | None:
    kind = bytes(view[12:16])
    if kind == b"VP8 ":
        extent = _pair("<HH", view, 26)
        return ImageExtent(extent.width & 0x3FFF, extent.height & 0x3FFF)
    if kind == b"VP8L":
        [bits] = struct.unpack_from("<I", view, 21)
        return ImageExtent((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X" or len(view) < 30:
        return None
    width, height = (1 + int.from_bytes(view[at : at + 3], "little") for at in (24, 27))
    at, images = 12, 0
    while at + 8 <= len(view) and images < _MAX_IMAGES:  # RIFF chunks
        images += bytes(view[at : at + 4]) == b"ANMF"
        [size] = struct.unpack_from("<I", view, at + 4)
        at += 8 + size + size % 2
    return ImageExtent(width, height, max(1, images))


def _gif(view: memoryview) -> ImageExtent:
    """GIF89a: blocks one behind the other, each with its data in parts of up to 255 bytes."""
    extent = _pair("<HH", view, 6)
    at, images = 13 + _gif_colours(view, 10), 0
    while at < len(view) and images < _MAX_IMAGES:
        if view[at] == ord(","):
            images += 1
            at += 11 + _gif_colours(view, at + 9)
        elif view[at] == ord("!"):
            at += 2
        else:
            break
        while at < len(view) and view[at]:
            at += 1 + view[at]
        at += 1
    return ImageExtent(extent.width, extent.height, max(1, images))


def _gif_colours(view: memoryview, flags_at: int) -> int:
    """Bytes of the colour table that the flags there announce."""
    flags = view[flags_at] if flags_at < len(view) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _jpeg2000(view: memoryview) -> ImageExtent | None:
    """The header box, and the codestream's own SIZ (ISO/IEC 15444-1, I.5.3.1 and A.5.1)."""
    head = bytes(view[:_BOXES_BYTES])
    found = []
    if (header := head.find(b"ihdr")) >= 0:
        box = _pair(">II", view, header + 4)
        found.append(ImageExtent(box.height, box.width))
    if (size := head.find(_J2K_SIZE)) >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", view, size + 8)
        found.append(ImageExtent(max(0, right - left), max(0, bottom - top)))
    return _largest(found)


def _avif(view: memoryview) -> ImageExtent | None:
    """The largest of its items (ispe, ISO/IEC 23008-12, 6.5.3), and of a sequence of the brand ``avis`` the largest track and
    the samples of the longest one (ISO/IEC 14496-12, 8.5.2 and 8.7.3.2)."""
    head = bytes(view[:_BOXES_BYTES])
    found = [_pair(">II", view, place.end() + 4) for place in re.finditer(b"ispe", head)]
    images = 1
    if _AVIF_SEQUENCE in head[8 : int.from_bytes(head[:4])]:
        found += [_pair(">HH", view, place.end() + 24) for place in re.finditer(rb"stsd.{12}av01", head, re.DOTALL)]
        counts = [struct.unpack_from(">I", view, place.end() + 8)[0] for place in re.finditer(b"stsz", head)]
        images = max(1, min(max(counts, default=1), _MAX_IMAGES))
    largest = _largest(found)
    return largest and ImageExtent(largest.width, largest.height, images)


def _largest(extents: list[ImageExtent]) -> ImageExtent | None:
    if not extents:
        return None
    return ImageExtent(max(extent.width for extent in extents), max(extent.height for extent in extents))


def _text(view: memoryview) -> ImageExtent | None:
    """Formats whose headers are text."""
    head = bytes(view[:1024])
    for pattern in (_NETPBM, _PAM, _PFM):
        if found := pattern.match(head):
            return ImageExtent(int(found[1]), int(found[2]))
    if found := _RADIANCE.match(head):
        return ImageExtent(int(found[2]), int(found[1]))
    return None


_FORMATS: tuple[tuple[bytes, Callable[[memoryview], ImageExtent | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"BM", _bmp),
    *((begins, _tiff) for begins in _TIFF_DIRECTORIES),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"\0\0\0\x0cjP  ", _jpeg2000),
    (_J2K_SIZE, _jpeg2000),
    (_SUN_RASTER, lambda view: _pair(">II", view, 4)),
    (b"RIFF", lambda view: _webp(view) if bytes(view[8:12]) == b"WEBP" else None),
)
"""How files begin, and what reads their size."""
