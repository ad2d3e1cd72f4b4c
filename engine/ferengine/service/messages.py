"""What the service says to its child processes and to viewers: records of fixed layout or JSON, and bytes behind them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ferengine.json_text import json_text
from ferengine.results import Box


@dataclass(frozen=True, slots=True)
class Encode:
    """Encode the frame that lies in the shared memory.

    Attributes:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        time: When it is shown, in units of ``fragments.TIMESCALE``.
        video: Whether to encode it as the next frame of the video.
        key: Whether that has to be decodable by itself.
        jpeg: Whether to make a JPEG of it, too.
        blur: What to blur in it: x, y, w, h of each region, pixels.
    """

    width: int
    height: int
    time: int
    video: bool
    key: bool
    jpeg: bool
    blur: tuple[Box, ...] = ()

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IIQ???")
    REGION: ClassVar[struct.Struct] = struct.Struct("<4d")

    def encode(self) -> bytes:
        head = self.LAYOUT.pack(self.width, self.height, self.time, self.video, self.key, self.jpeg)
        return head + b"".join(self.REGION.pack(*box) for box in self.blur)

    @classmethod
    def decode(cls, data: bytes) -> Encode:
        blur = tuple((x, y, w, h) for x, y, w, h in cls.REGION.iter_unpack(data[cls.LAYOUT.size :]))
        width, height, time, video, key, jpeg = cls.LAYOUT.unpack_from(data)
        return cls(width, height, time, video, key, jpeg, blur)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a frame.

    Attributes:
        key: Whether the fragment is decodable by itself.
        width: Width of the video in pixels.
        height: Height of the video in pixels.
        mime: The type of the video, where ``init`` is given.
        init: The init segment, where it is new.
        fragment: The frame of the video; empty where none was asked for.
        jpeg: The image; empty where none was asked for.
        error: Why there is no video; empty where there is.
    """

    key: bool = False
    width: int = 0
    height: int = 0
    mime: str = ""
    init: bytes = b""
    fragment: bytes = b""
    jpeg: bytes = b""
    error: str = ""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<?II5I")

    def encode(self) -> bytes:
        parts = [self.mime.encode(), self.init, self.fragment, self.jpeg, self.error.encode()]
        return b"".join([self.LAYOUT.pack(self.key, self.width, self.height, *map(len, parts)), *parts])

    @classmethod
    def decode(cls, data: bytes) -> Encoded:
        key, width, height, *sizes = cls.LAYOUT.unpack_from(data)
        parts, at = [], cls.LAYOUT.size
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        mime, init, fragment, jpeg, error = parts
        return cls(key, width, height, mime.decode(), init, fragment, jpeg, error.decode())


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an image.

    Attributes:
        ok: Whether the image could be read.
        text: JSON, or what is wrong with the image.
    """

    ok: bool
    text: str

    def encode(self) -> bytes:
        return bytes([self.ok]) + self.text.encode(errors="backslashreplace")

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        return cls(bool(data[0]), data[1:].decode())


def video_message(head: Mapping[str, Any], data: bytes) -> bytes:
    """A message of the live video: the length of a JSON text (4 bytes, big-endian), that text, and bytes of the video."""
    text = json_text(head, separators=(",", ":")).encode()
    return b"".join((struct.pack(">I", len(text)), text, data))
