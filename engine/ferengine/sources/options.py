"""How a source is read, whichever it is: the options that the command line, settings files and the service share."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from ferengine.errors import shown
from ferengine.frames import MAX_SIDE
from ferengine.sources.url import hide_credentials

DecoderName: TypeAlias = Literal["cpu", "nvdec"]
Reconnect: TypeAlias = Literal["never", "disconnected", "always"]

_MIN_SIZE = 16


def _read_size(value: object) -> object:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value) if isinstance(value, str) else None
    size = (int(found[1]), int(found[2])) if found else value
    if isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int and _MIN_SIZE <= n <= MAX_SIDE for n in size):
        return tuple(size)
    raise ValueError(
        f"give WIDTHxHEIGHT, each from {_MIN_SIZE} to {MAX_SIDE} pixels, such as 1280x720, not "
        f"{shown(value, lambda each: hide_credentials(repr(each)))}"
    )


def _check_pixel_format(value: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]{4}", value):
        raise ValueError(f"give four characters, such as MJPG or YUYV, not {hide_credentials(repr(value))}")
    return value


_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^\d{1,5}x\d{1,5}$"},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": _MIN_SIZE, "maximum": MAX_SIDE},
            "minItems": 2,
            "maxItems": 2,
        },
    ]
}
Size = Annotated[tuple[int, int], BeforeValidator(_read_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Width and height in pixels; "1280x720" is read too."""


class SourceOptions(BaseModel):
    """How a source is read. Sizes are in pixels, times in seconds.

    The descriptions are the help of ``ferengine run`` and the comments of ``ferengine config --example``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    loop: int = Field(
        1, ge=0, strict=True, description="Play a file, a folder or the demo this many times; 0 repeats it forever."
    )
    pace: Literal["fast", "native"] = Field(
        "fast",
        description="Read a file as fast as it can be processed, or at its native rate like a camera. Live sources ignore it.",
    )
    size: Size | None = Field(
        None,
        description="Ask cameras for WIDTHxHEIGHT pixels, which they may round; scale other sources down to fit into it, "
        "before rotating.",
        examples=["1280x720"],
    )
    fps: float | None = Field(
        None,
        ge=0.01,
        le=1000,
        strict=True,
        allow_inf_nan=False,
        description="Ask cameras for this frame rate, and those that give still images over HTTP (2 if not given); thin out "
        "other sources to it; time images at it (25 if not given).",
        examples=[15.0],
    )
    pixel_format: Annotated[str, AfterValidator(_check_pixel_format)] | None = Field(
        None, description="Ask cameras for this pixel format, four characters such as MJPG or YUYV.", examples=["MJPG"]
    )
    rotate: Literal[0, 90, 180, 270] = Field(
        0, description="Rotate frames clockwise by this many degrees, in addition to what the file says."
    )
    decoder: DecoderName = Field(
        "cpu",
        description="Decode files and streams on the CPU, or on an NVIDIA GPU's NVDEC (needs PyNvVideoCodec; H.264, HEVC, AV1, "
        "VP8 and VP9 of 8 bits). Other sources ignore it.",
    )
    when_late: Literal["skip", "wait"] | None = Field(
        None,
        description="When processing falls behind, skip to the newest frame and count the skipped ones, or wait so that every "
        "frame is processed. If not given, live sources skip and others wait.",
        examples=["skip"],
    )
    reconnect: Reconnect = Field(
        "disconnected",
        description="When to open a camera or stream again: never, after it was disconnected, or always, also when it could "
        "not be opened at the start.",
    )
    timeout: float = Field(
        5.0,
        ge=0.1,
        le=600,
        strict=True,
        allow_inf_nan=False,
        description="Treat a camera or stream as disconnected after this many seconds without a frame (up to twice as many "
        "with RTSP).",
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="Transport of RTSP streams.")

    @field_validator("rotate", mode="before")
    @classmethod
    def _refuse_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # False would pass as 0
            raise ValueError(f"input should be 0, 90, 180 or 270, not {value}")
        return value
