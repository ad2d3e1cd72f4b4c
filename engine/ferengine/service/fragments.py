"""Fragmented MP4 of one H.264 track, one fragment a frame: what browsers play as it comes (Media Source Extensions).

FFmpeg's muxer writes a frame when it knows the next one's time; here a frame goes out at once. The boxes are those of
ISO/IEC 14496-12 (file format) and 14496-15 (H.264 in it).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

TIMESCALE = 90_000
"""Units of time a second."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_KEPT = {1, 5}
"""Types of the NAL units that are kept: slices. Parameter sets are in the init segment."""
_IDR = 5
_SYNC, _NON_SYNC = 0x02000000, 0x01010000
"""Flags of a sample: decodable by itself, or depending on others (14496-12, 8.8.3.1)."""


class FragmentWriter:
    """Writes the init segment and the fragments of one stream.

    Args:
        width: Width of the video in pixels.
        height: Height of the video in pixels.
        extradata: The parameter sets (SPS and PPS) of the encoder, with start codes.

    Attributes:
        init: The init segment, which precedes the first fragment.
        mime: Its type, as ``MediaSource.addSourceBuffer`` takes it.

    Raises:
        ValueError: The parameter sets are missing.
    """

    def __init__(self, width: int, height: int, extradata: bytes) -> None:
        units = {unit[0] & 31: unit for unit in nal_units(extradata)}
        if 7 not in units or 8 not in units:
            raise ValueError("the encoder gave no parameter sets")
        sps, pps = units[7], units[8]
        self.mime = f'video/mp4; codecs="avc1.{sps[1:4].hex().upper()}"'
        self.init = _init_segment(width, height, sps, pps)
        self._number = 0

    def fragment(self, data: bytes, time: int, duration: int) -> bytes:
        """One frame.

        Args:
            data: What the encoder made of it, with start codes.
            time: When it is shown, in units of ``TIMESCALE``; ascending.
            duration: For how long.
        """
        units = [unit for unit in nal_units(data) if unit[0] & 31 in _KEPT]
        sample = b"".join(struct.pack(">I", len(unit)) + unit for unit in units)
        key = any(unit[0] & 31 == _IDR for unit in units)
        self._number += 1
        head = _moof(self._number, time, duration, len(sample), key, 0)
        head = _moof(self._number, time, duration, len(sample), key, len(head) + 8)
        return head + _box(b"mdat", sample)


def nal_units(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream with start codes (ITU-T H.264, annex B).

    Example:
        >>> [unit.hex() for unit in nal_units(bytes.fromhex("0000000167aa00000168bb"))]
        ['67aa', '68bb']
    """
    begin = data.find(b"\0\0\1")
    while begin >= 0:
        begin += 3
        end = data.find(b"\0\0\1", begin)
        unit = data[begin : end if end >= 0 else len(data)].rstrip(b"\0")  # a unit never ends in a zero byte
        if unit:
            yield unit
        begin = end


def _box(kind: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _init_segment(width: int, height: int, sps: bytes, pps: bytes) -> bytes:
    avcc = _box(
        b"avcC",
        bytes([1, *sps[1:4], 0xFF, 0xE1]), struct.pack(">H", len(sps)), sps,
        bytes([1]), struct.pack(">H", len(pps)), pps,
    )  # fmt: skip
    entry = _box(
        b"avc1",
        struct.pack(">6xH16xHHII4xH32sHh", 1, width, height, 0x480000, 0x480000, 1, b"", 24, -1),
        avcc,
    )
    tables = [
        _full(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, 0, bytes(4)), _full(b"stsc", 0, 0, bytes(4)),
        _full(b"stsz", 0, 0, bytes(8)), _full(b"stco", 0, 0, bytes(4)),
    ]  # fmt: skip
    here = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, 0, struct.pack(">8xIIHH", TIMESCALE, 0, 0x55C4, 0)),  # no language
        _full(b"hdlr", 0, 0, struct.pack(">4x4s12x", b"vide"), b"ferengine\0"),
        _box(b"minf", _full(b"vmhd", 0, 1, bytes(8)), here, _box(b"stbl", *tables)),
    )
    header = _full(b"tkhd", 0, 3, struct.pack(">8xI4xI8xHHHH", 1, 0, 0, 0, 0, 0), _MATRIX,
                   struct.pack(">II", width << 16, height << 16))  # fmt: skip
    movie = _full(b"mvhd", 0, 0, struct.pack(">8xIIIH10x", TIMESCALE, 0, 0x10000, 0x100), _MATRIX, bytes(24),
                  struct.pack(">I", 2))  # fmt: skip
    extends = _box(b"mvex", _full(b"trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    kind = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso6avc1mp41")
    return kind + _box(b"moov", movie, _box(b"trak", header, media), extends)


def _moof(number: int, time: int, duration: int, size: int, key: bool, offset: int) -> bytes:
    track = _box(
        b"traf",
        _full(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),  # offsets count from the beginning of the moof
        _full(b"tfdt", 1, 0, struct.pack(">Q", time)),
        _full(b"trun", 0, 0x000701, struct.pack(">IiIII", 1, offset, duration, size, _SYNC if key else _NON_SYNC)),
    )
    return _box(b"moof", _full(b"mfhd", 0, 0, struct.pack(">I", number)), track)
