"""What to open and how: the description of a source that travels to its worker."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from ferengine.errors import UsageError
from ferengine.sources.url import STREAM_SCHEMES, address_host, shown_address

Kind: TypeAlias = Literal["camera", "file", "images", "stream", "demo", "push"]
Pace: TypeAlias = Literal["fast", "native"]
Drop: TypeAlias = Literal["newest", "none"]
Reconnect: TypeAlias = Literal["never", "lost", "always"]
Transport: TypeAlias = Literal["tcp", "udp"]

_ROTATIONS = (0, 90, 180, 270)
_MAX_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True, repr=False)
class SourceSpec:
    """What to open, in a form that travels to other processes.

    ``value``: the camera's index or device, the path of the file, the folder or glob of images, the stream's address
    (which may hold credentials: ``where`` and ``repr`` do not) or the demo's scenario. ``name``: what results call
    the camera, and its video file. ``loop``: how often a file, a folder or the demo is played (0: for ever).
    ``pace``: "fast" (as fast as it can be processed) or "native" (at its own rate, like a camera); means nothing to
    what is live anyway.

    ``size``: width and height in pixels, such as "1280x720" (kept as a pair), that cameras are asked for and may round,
    and that other images are scaled down to fit into, before turning. ``fps``: frame rate that cameras are asked
    for, that images are counted at (default 25) and other sources are thinned out to. ``pixel_format``: four
    characters (MJPG, YUYV) that a camera is asked for; means nothing to other sources. ``rotate``: degrees clockwise
    (0, 90, 180, 270), on top of what the file itself says.

    ``drop``: "newest" skips to the newest frame and counts the skipped, "none" waits until each is processed; by
    default what is live drops and the rest waits. ``reconnect``: whether a camera or stream is opened again "never",
    when it was open and is "lost", or "always", also when it does not open at the start. ``timeout``: seconds without
    an image after which it counts as lost (with RTSP up to twice as many). ``transport``: what RTSP streams come
    over.

    Raises UsageError, which names field and hint.
    """

    kind: Kind
    value: str
    name: str
    loop: int = 1
    pace: Pace = "fast"
    size: str | tuple[int, int] | None = None
    fps: float | None = None
    pixel_format: str | None = None
    rotate: int = 0
    drop: Drop | None = None
    reconnect: Reconnect = "lost"
    timeout: float = 5.0
    transport: Transport = "tcp"

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, get_args(Kind))
        _check_name(self.name)
        if not isinstance(self.value, str) or "\0" in self.value or (not self.value and self.kind != "push"):
            raise UsageError(f"value: the source {self.name!r} needs a camera, file, folder or address")
        if self.kind == "stream":
            _check_address(self.value)
        if not _is_whole(self.loop) or self.loop < 0:
            raise UsageError(f"loop: a source is played 0 (for ever) or more times, not {self.loop!r}")
        _check_choice("pace", self.pace, get_args(Pace))
        if self.size is not None:
            object.__setattr__(self, "size", _read_size(self.size))
        if self.fps is not None and not _between(self.fps, 0.01, 1000):
            raise UsageError(f"fps: a frame rate is a number from 0.01 to 1000, not {self.fps!r}")
        if self.pixel_format is not None and not re.fullmatch(r"[\x20-\x7e]{4}", str(self.pixel_format)):
            raise UsageError(f"pixel_format: give four characters, such as MJPG or YUYV, not {self.pixel_format!r}")
        _check_choice("rotate", self.rotate, _ROTATIONS)
        _check_choice("drop", self.drop, (None, *get_args(Drop)))
        _check_choice("reconnect", self.reconnect, get_args(Reconnect))
        if not _between(self.timeout, 0.1, 600):
            raise UsageError(f"timeout: give seconds from 0.1 to 600, not {self.timeout!r}")
        _check_choice("transport", self.transport, get_args(Transport))

    def __repr__(self) -> str:
        shown = {**asdict(self), "value": self.where}
        return f"SourceSpec({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def where(self) -> str:
        """``value`` for messages: of an address only scheme, host and port."""
        return shown_address(self.value) if self.kind == "stream" else self.value

    @property
    def pixels(self) -> tuple[int, int] | None:
        """``size`` as the pair that it is kept as."""
        return self.size if isinstance(self.size, tuple) else None

    @property
    def blocks(self) -> bool:
        """Whether opening or reading it may hang for as long as a device or a network likes."""
        return self.kind in ("camera", "stream")

    @property
    def live(self) -> bool:
        """Whether it drops frames, as far as that is known before it was opened."""
        return self.drops(self.blocks or self.pace == "native")

    def drops(self, live: bool) -> bool:
        """Whether frames are dropped rather than waited for, once it is known whether the source is ``live``."""
        return live if self.drop is None else self.drop == "newest"

    def to_dict(self) -> dict[str, Any]:
        """A JSON object, credentials included: for the worker alone."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SourceSpec:
        """The inverse of ``to_dict``.

        In place of ``kind`` and ``value`` there may be ``source``, a text as on the command line (a ``name`` beside it
        wins). Raises UsageError for unknown, missing and wrong fields.
        """
        values = dict(values)
        known = ["source", *(field.name for field in fields(cls))]
        for key in values:
            if key not in known:
                raise UsageError(f"a source has no field {key!r}: known are {', '.join(known)}")
        text = values.pop("source", None)
        if text is not None:
            if "kind" in values or "value" in values:
                raise UsageError("source: give either source or kind and value")
            from ferengine.sources.parse import parse_source

            parsed = parse_source(text)
            values = {"kind": parsed.kind, "value": parsed.value, "name": parsed.name, **values}
        for key in ("kind", "value", "name"):
            if key not in values:
                raise UsageError(f"{key}: missing; a source needs source, or kind, value and name")
        return cls(**values)


def unique_names(specs: Iterable[SourceSpec]) -> list[SourceSpec]:
    """The same sources with distinct names: the second ``woman2`` becomes ``woman2-2``."""
    specs = list(specs)
    wanted = {spec.name for spec in specs}
    taken: set[str] = set()
    renamed = []
    for spec in specs:
        name, number = spec.name, 1
        while name in taken or (number > 1 and name in wanted):
            number += 1
            name = f"{spec.name}-{number}"
        taken.add(name)
        renamed.append(replace(spec, name=name))
    return renamed


def _check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices or isinstance(value, bool):
        raise UsageError(f"{field}: there is no {value!r}: choose {', '.join(str(c) for c in choices if c is not None)}")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or len(name.encode(errors="replace")) > _MAX_NAME_LENGTH:
        raise UsageError(f"name: a source's name is a text of 1 to {_MAX_NAME_LENGTH} bytes")
    if "://" in name:
        raise UsageError("name: a source's name is no address; write NAME=ADDRESS")
    if "/" in name or name in (".", "..") or not name.isprintable():
        raise UsageError(f"name: {name!r} cannot name a file: leave out slashes and control characters")


def _check_address(url: str) -> None:
    scheme = url.partition("://")[0].lower()
    if "://" not in url or scheme not in STREAM_SCHEMES:
        raise UsageError(f"streams come from {', '.join(name + '://' for name in STREAM_SCHEMES)}, not {scheme[:20]}://")
    if address_host(url) is None and "@" not in url:
        raise UsageError(f"the address {scheme}://... has no host and port that make sense: write {scheme}://HOST:PORT/PATH")
    if not url.isprintable() or " " in url or address_host(url) is None:
        raise UsageError(
            f"the address {scheme}://... cannot be read: write the characters / ? # @ : % and blanks in its user "
            "name and password percent-encoded (%2F %3F %23 %40 %3A %25 %20)"
        )


def _read_size(value: object) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value) if isinstance(value, str) else None
    size = [int(found[1]), int(found[2])] if found else value
    if isinstance(size, list | tuple) and len(size) == 2 and all(_is_whole(n) and 16 <= n <= 16384 for n in size):
        return size[0], size[1]
    raise UsageError(f"size: give width x height, each from 16 to 16384 pixels, such as 1280x720, not {value!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _between(value: object, low: float, high: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high  # type: ignore[arg-type,operator]
