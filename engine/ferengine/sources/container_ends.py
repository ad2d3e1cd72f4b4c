"""What containers say of their own length, against what there is of a file."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

_SEGMENT = 0x18538067
_UNBOUNDED_RIFF = (0, 0xFFFFFFFF)
"""What the header of an AVI says until it is finished."""
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SYNC = 0x47
_TS_PACKETS = 8
"""Packets of an MPEG-TS whose first bytes show where packets begin."""
_TS_SIZES = (188, 192, 204)
_BOXES = frozenset(
    {
        b"ftyp",
        b"styp",
        b"moov",
        b"moof",
        b"mdat",
        b"mfra",
        b"sidx",
        b"ssix",
        b"free",
        b"skip",
        b"wide",
        b"uuid",
        b"meta",
        b"udta",
    }
)
"""The boxes of an MP4 that stand alone; anything else behind its end was appended."""
_PROGRAM_END, _PACK = 0xB9, 0xBA
_PACK_HEADER = 14
_FLV_TAGS = 16
"""Tags at the end of an FLV whose times are looked at: the very last only closes a stream, at that stream's time."""
_FLV_TOLERANCE = 1.0
"""Seconds by which an FLV may end before the duration that it declares."""
_DV_PAL, _DV_NTSC = 144_000, 120_000
"""Bytes of a frame."""
_Y4M_LINE = 512
_Y4M_DEEPEST = 8
"""Bytes of a pixel at most: three or four components of 16 bits."""
_EOI = b"\xff\xd9"
_PADDING = 1 << 16
_SWF_COMPRESSED = b"CWS"
_NUT_INDEX = bytes.fromhex("4e58dd672f23e64e")
_OBU_HAS_EXTENSION, _OBU_HAS_SIZE = 4, 2
_OGG_PAGE = 27 + 255 + 255 * 255
"""Bytes of an Ogg page at most."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """A file ends too early.

    Attributes:
        text: How that shows.
        declared: Whether the file itself says how long it is. Otherwise it ends in the middle of something, as a recording
            also does that is still being written.
    """

    text: str
    declared: bool


MID_FRAME = CutOff("a part of its last frame is missing", declared=False)
MID_PACKET = CutOff("it ends in the middle of a packet", declared=False)


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _missing(count: int) -> CutOff:
    return CutOff(f"{count:,} bytes that it declares are missing", declared=True)


def _matroska(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """EBML (RFC 8794): the segment has a size, or else its clusters have, or else their blocks."""
    position = 0
    unbounded = False
    while position < size:
        head = _read(file, position, 12)
        element, first = _vint(head, keep_marker=True)
        content, second = _vint(head[first:], keep_marker=False)
        if not first or not second:
            return MID_PACKET if unbounded and len(head) < 12 else None
        position += first + second
        if content is None:  # of unknown length
            unbounded = True
        elif element == _SEGMENT and not unbounded:
            return _missing(position + content - size) if position + content > size else None
        else:
            position += content
    return MID_PACKET if unbounded and position > size else None


def _vint(data: bytes, *, keep_marker: bool) -> tuple[int | None, int]:
    """A number of variable length, None where all its bits are set, and its bytes, 0 where there is none."""
    length = 9 - data[0].bit_length() if data else 9
    if length > min(8, len(data)):
        return None, 0
    value = int.from_bytes(data[:length])
    if keep_marker:
        return value, length
    mask = (1 << 7 * length) - 1
    return (None if value & mask == mask else value & mask), length


@dataclass(frozen=True, slots=True)
class Box:
    """A box of an MP4: its type, where it begins, and its bytes."""

    kind: bytes
    start: int
    length: int


def mp4_boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """Yield the outer boxes of an MP4 (ISO/IEC 14496-12, 4.2), the last of which may be incomplete."""
    position = 0
    while position < size:
        head = _read(file, position, 16)
        kind, length = head[4:8], int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length == 0:
            length = size - position  # up to the end of the file
        if length < 8 or kind not in _BOXES:
            return
        yield Box(kind, position, length)
        position += length


def _mp4(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """Fragments come while they are recorded; all else is declared beforehand."""
    boxes = list(mp4_boxes(file, size))
    missing = boxes[-1].start + boxes[-1].length - size if boxes else 0
    if missing <= 0:
        return None
    in_fragment = any(box.kind == b"moof" for box in boxes[-2:])
    return MID_PACKET if in_fragment else _missing(missing)


def _riff(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """AVI is one RIFF chunk, and further ones behind the first gigabyte."""
    position = 0
    while position < size:
        head = _read(file, position, 8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in _UNBOUNDED_RIFF:
            return None
        position += 8 + length
    return _missing(position - size) if position > size else None


def _asf(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """ASF specification, 3 to 5: objects one behind the other; a live recording's data object has no size."""
    position = 0
    while position < size:
        head = _read(file, position, 24)
        length = int.from_bytes(head[16:24], "little")
        if length < 24 or (head[:16] == _ASF_DATA and length <= 50):
            return None
        position += length
    return _missing(position - size) if position > size else None


def _flv(file: BinaryIO, size: int, duration: float | None) -> CutOff | None:
    """Adobe's Flash Video specification, annex E: each tag is followed by its size."""
    start = int.from_bytes(_read(file, 5, 4)) + 4
    first = int.from_bytes(_read(file, start + 1, 3)) + 11
    if int.from_bytes(_read(file, start + first, 4)) != first:
        return None  # written without these sizes
    ends, position = 0.0, size
    for tags in range(_FLV_TAGS):
        last = int.from_bytes(_read(file, position - 4, 4))
        head = _read(file, position - 4 - last, 11) if start <= position - 4 - last else b""
        if len(head) < 11 or int.from_bytes(head[1:4]) + 11 != last:
            if tags == 0:
                return MID_PACKET
            break
        ends = max(ends, (int.from_bytes(head[4:7]) | head[7] << 24) / 1000)
        position -= 4 + last
    if duration is not None and duration > ends + _FLV_TOLERANCE:
        return CutOff(f"it declares {duration:.1f} s and ends at {ends:.1f} s", declared=True)
    return None


def _ts(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """ISO/IEC 13818-1: packets of 188 bytes, of which Blu-ray and tuners make 192 and 204."""
    kept = (_TS_PACKETS + 1) * max(_TS_SIZES)
    head = _read(file, 0, kept)
    packet = next((length for length in _TS_SIZES if _phase(head, length) is not None), None)
    if packet is None:
        return None
    tail = _read(file, max(0, size - kept), kept)
    phase = _phase(tail, packet)
    if phase is None:
        return None
    before_sync = 4 if packet == 192 else 0
    rest = (len(tail) - phase + before_sync) % packet
    return MID_PACKET if rest and (rest <= before_sync or tail[len(tail) - rest + before_sync] == _SYNC) else None


def _phase(data: bytes, packet: int) -> int | None:
    """Where packets begin in ``data``, None where there are none of this size."""
    places = range(0, _TS_PACKETS * packet, packet)
    if len(data) < (_TS_PACKETS + 1) * packet:
        return None
    return next((phase for phase in range(packet) if all(data[phase + place] == _SYNC for place in places)), None)


def _mpeg_ps(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """ISO/IEC 13818-1, 2.5: start codes from 0xB9 on are in the data of no packet; behind those of packets comes their size."""
    kept = min(size, 2 * (0x10000 + 6))
    tail = _read(file, size - kept, kept)
    found = tail.rfind(b"\0\0\1")
    while found >= 0:
        code = tail[found + 3] if found + 3 < kept else 0
        if code == _PACK:
            return MID_PACKET if found + _PACK_HEADER > kept else None
        if code > _PACK:
            ends = found + 6 + int.from_bytes(tail[found + 4 : found + 6])
            rest = tail[ends:]
            return MID_PACKET if ends > kept or (rest and b"\0\0\1".startswith(rest)) else None
        if code == _PROGRAM_END:
            return None
        found = tail.rfind(b"\0\0\1", 0, found + 2)
    return None


def _ogg(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """RFC 3533, 6: the header of a page lists the sizes of its segments."""
    kept = min(size, _OGG_PAGE)
    tail = _read(file, size - kept, kept)
    found = tail.rfind(b"OggS\0")
    if found < 0:
        return None
    segments = tail[found + 26] if found + 26 < kept else 255
    sizes = tail[found + 27 : found + 27 + segments]
    return MID_PACKET if len(sizes) < segments or found + 27 + segments + sum(sizes) > kept else None


def _gif(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """GIF89a: blocks one behind the other, up to the trailer."""
    flags = _read(file, 10, 1)
    position = 13 + _colours(flags)
    while position < size:
        head = _read(file, position, 10)
        if head[:1] == b";":
            return None
        if head[:1] == b"!":
            position += 2
        elif head[:1] == b",":
            position += 11 + _colours(head[9:10])
        else:
            return None  # no block
        while (length := _read(file, position, 1)) and length != b"\0":
            position += 1 + length[0]
        position += 1
    return MID_PACKET


def _png(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """PNG specification, 5: chunks one behind the other, up to IEND."""
    position = 8
    while position < size:
        head = _read(file, position, 8)
        if head[4:] == b"IEND":
            return None
        position += 12 + int.from_bytes(head[:4])
    return MID_PACKET


def _dv(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """IEC 61834: frames of one size, by the system (the flag DSF); those of DV 50 are twice as large."""
    frame = _DV_PAL if _read(file, 3, 1) >= b"\x80" else _DV_NTSC
    return MID_PACKET if size % frame else None


def _y4m(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """A line about the video, then frames of one size, each behind a line of its own."""
    head = _read(file, 0, _Y4M_LINE)
    first = head.find(b"\nFRAME") + 1
    width, height = (re.search(rb" %b(\d+)" % letter, head[:first]) for letter in (b"W", b"H"))
    if not first or width is None or height is None:
        return None
    begins = head.find(b"\n", first) + 1
    fewest = int(width[1]) * int(height[1])  # grey; all other frames are larger
    following = _read(file, begins + fewest, _Y4M_DEEPEST * fewest + _Y4M_LINE).find(b"FRAME")
    if following < 0:
        return None  # a single frame
    return MID_PACKET if (size - first) % (begins + fewest + following - first) else None


def _mjpeg(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """Images one behind the other, each of which ends with EOI (ITU-T T.81, B.1.1.3); some cameras pad them."""
    tail = _read(file, max(0, size - _PADDING), _PADDING).rstrip(b"\0")
    return None if not tail or tail.endswith(_EOI) else MID_PACKET


def _swf(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """SWF specification, "The SWF header": the length of the file, of which all behind eight bytes may be compressed."""
    head = _read(file, 0, 8)
    declared = int.from_bytes(head[4:], "little")
    if head[:3] == _SWF_COMPRESSED:
        size = len(head) + _inflated(file, declared)
    return _missing(declared - size) if declared > size else None


def _inflated(file: BinaryIO, maximum: int) -> int:
    """Bytes that the rest of ``file`` holds uncompressed, counted up to ``maximum``."""
    inflate, count = zlib.decompressobj(), 0
    try:
        while count < maximum and not inflate.eof and (data := inflate.unconsumed_tail or file.read(_PADDING)):
            count += len(inflate.decompress(data, _PADDING))
    except zlib.error:
        return maximum  # damaged, so it is not known
    return count


def _nut(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """NUT specification, "index": the last of a file, which ends with its length and a checksum of four bytes."""
    length = int.from_bytes(_read(file, max(0, size - 12), 8))
    if length <= size and _read(file, size - length, 8) == _NUT_INDEX:
        return None
    return CutOff("it ends without its index", declared=False)


def _mxf(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """SMPTE ST 377-1, 7.1: the first pack says where the last part of the file begins, 0 if that is not known."""
    head = _read(file, 0, 64)
    begins = 17 + (head[16] & 0x7F if len(head) > 16 and head[16] & 0x80 else 0)
    footer = int.from_bytes(head[begins + 24 : begins + 32])
    return CutOff("its last part is missing, which it declares", declared=True) if footer >= size else None


def _obu(file: BinaryIO, size: int, _duration: float | None) -> CutOff | None:
    """AV1 specification, 5.3: units one behind the other, each with its size."""
    position = 0
    while position < size:
        head = _read(file, position, 10)
        begins = 2 if head[0] & _OBU_HAS_EXTENSION else 1
        length, bytes_of_it = _leb128(head[begins:])
        if not head[0] & _OBU_HAS_SIZE:
            return None
        if not bytes_of_it:
            return MID_PACKET
        position += begins + bytes_of_it + length
    return MID_PACKET if position > size else None


def _leb128(data: bytes) -> tuple[int, int]:
    """A number and its bytes, 0 where it is cut off (AV1 specification, 4.10.5)."""
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, index + 1
    return 0, 0


def _colours(flags: bytes) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


CONTAINER_ENDS: dict[str, Callable[[BinaryIO, int, float | None], CutOff | None]] = {
    "matroska": _matroska,
    "mov": _mp4,
    "avi": _riff,
    "asf": _asf,
    "flv": _flv,
    "mpegts": _ts,
    "mpeg": _mpeg_ps,
    "ogg": _ogg,
    "gif": _gif,
    "apng": _png,
    "dv": _dv,
    "yuv4mpegpipe": _y4m,
    "mjpeg": _mjpeg,
    "swf": _swf,
    "nut": _nut,
    "mxf": _mxf,
    "obu": _obu,
}
"""By the first of FFmpeg's names."""
