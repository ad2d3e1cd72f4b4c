"""What to open and how: the description of a source, which travels to its worker, and the text that names one."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from glob import has_magic
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from ferengine.errors import UsageError, describe_all, shown
from ferengine.sources.options import SourceOptions
from ferengine.sources.url import STREAM_SCHEMES, hide_credentials, redact_url, show_path, url_host
from ferengine.sources.zone import ZoneOptions

Kind: TypeAlias = Literal["camera", "file", "pipe", "images", "stream", "demo", "push"]

IMAGE_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".dib",
        ".heic",
        ".heif",
        ".jpeg",
        ".jpg",
        ".jp2",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""The endings that make a file in a folder an image, in lower case."""

_MAX_NAME_BYTES = 100
_SURROGATES = re.compile("[\ud800-\udfff]")
"""Bytes of a file's name that are not UTF-8, as Python shows them, and what a program may have put into a text."""
_OWN_DESCRIPTOR = re.compile(r"(?:/dev|/proc/self)/fd/(?P<number>\d{1,6})")
_MAX_DIGITS = 6
"""Of a camera's number: the kernel numbers devices up to 2**20."""
_NAMED = re.compile(r"(?P<name>[^=/:]+)=(?P<source>.+)", re.DOTALL)


class Scenario(StrEnum):
    """What the demo shows."""

    STROLL = "stroll"
    """Faces wander, nod and come nearer, each in its own part of the frame; they never overlap."""
    OCCLUSION = "occlusion"
    """One face; a bar passes over it and covers it completely for five frames."""
    TURN = "turn"
    """One face tilts from 0 to 30 degrees and back, every four seconds."""
    CROSSING = "crossing"
    """Two faces pass each other, one just above the other: their boxes touch."""
    CUTS = "cuts"
    """Shots of one or two people; after each cut there is another person about where one was before."""
    ENTRIES = "entries"
    """People come into the frame, stay for a while and leave for good."""
    PASSING = "passing"
    """Two faces pass each other at one height: the one in front hides the other."""
    HIDING = "hiding"
    """One face; a bar covers it completely for two seconds."""
    EMPTY = "empty"
    """The background alone."""


class SourceSpec(SourceOptions, ZoneOptions):
    """A source to open, in a form that travels to other processes.

    Args:
        kind: What it is: a camera, a video file, a pipe, images, a stream, the demo, or frames that the program pushes.
        value: The camera's number or device, the path of the file or pipe, the folder or glob of images, the URL of the stream
            (which may hold credentials: ``where`` and ``repr`` do not show them) or the demo's scenario.
        name: What results call the camera, and what its video file is called.
        options: The fields of ``SourceOptions`` and ``ZoneOptions``.

    Raises:
        UsageError: If a value is invalid. The message names the field and says what is accepted.

    Example:
        >>> SourceSpec("file", "talk.mp4", "talk", loop=0, size="640x360").size
        (640, 360)
    """

    kind: Kind = Field(description="Kind of source; push is for frames that the program pushes.")
    value: str = Field(description="Number, device, path, glob, URL or scenario of the source.")
    name: str = Field(description="Name of the source in results, and of its video file.")

    __iter__ = None  # type: ignore[assignment]  # one source, not an iterable of its fields: the engine takes either

    def __init__(self, /, kind: Kind, value: str, name: str, **options: Any) -> None:
        try:
            super().__init__(**{"kind": kind, "value": value, "name": name, **options})
        except ValidationError as error:
            raise UsageError(describe_all(error, SourceSpec, lambda value: hide_credentials(repr(value)))) from None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name or len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
            raise ValueError(f"the name of a source has 1 to {_MAX_NAME_BYTES} bytes")
        if "://" in name:
            raise ValueError("the name of a source cannot be a URL; write NAME=URL")
        if "/" in name or name in (".", "..") or not name.isprintable():
            raise ValueError(f"{hide_credentials(repr(name))} cannot name a file: leave out slashes and control characters")
        return name

    @model_validator(mode="after")
    def _check_value(self) -> SourceSpec:
        if not self.value and self.kind != "push":
            raise ValueError(f"value: the source {self.name!r} needs a camera, file, folder or URL")
        _check_characters(self.value)
        if self.kind == "demo":
            _scenario(self.value)
        if self.kind == "camera":
            _check_camera(self.value)
        if self.kind == "stream":
            _check_url(self.value)
        if self.kind == "pipe" and self.loop != 1:
            raise ValueError(
                f"loop: {self.where} can be played only once: leave the loop out, or save the video to a file first"
            )
        if (
            self.kind in ("file", "images")
            and (shown := hide_credentials(self.value)) != self.value
            and not _exists(self.value)
        ):
            raise ValueError(
                f"value: {shown!r} is neither a file nor a URL: write [NAME=]SCHEME://USER:PASSWORD@HOST/PATH, without blanks, "
                "and without slashes in the name"
            )
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        rest = [(name, getattr(self, name)) for name in SourceOptions.model_fields]
        return [("kind", self.kind), ("value", self.where), ("name", self.name), *rest]

    @property
    def where(self) -> str:
        """``value`` as it may be shown: only scheme, host and port of a URL."""
        return redact_url(self.value) if self.kind == "stream" else show_path(self.value)

    @property
    def reconnects(self) -> bool:
        """Whether it is something that disconnects and can be opened again."""
        return self.kind in ("camera", "stream")

    @property
    def blocks(self) -> bool:
        """Whether opening or reading it may block for as long as a device, a network or another program likes."""
        return self.reconnects or self.kind == "pipe"

    @property
    def live(self) -> bool:
        """Whether it drops frames, as far as that is known before it is open."""
        return self.drops(self.reconnects or self.pace == "native")

    def drops(self, live: bool) -> bool:
        """Whether late frames are skipped rather than waited for.

        Args:
            live: Whether the source is live, as it turned out when it was opened.
        """
        return live if self.when_late is None else self.when_late == "skip"

    def replace(self, /, **changes: Any) -> SourceSpec:
        """Return the same source with other values.

        Args:
            changes: Fields of ``SourceSpec``.

        Raises:
            UsageError: As the constructor.
        """
        return type(self)(**{**self.model_dump(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object, credentials included: for its worker alone."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SourceSpec:
        """Make a source from a dictionary, the inverse of ``to_dict``.

        Args:
            values: The fields. ``source``, a text as on the command line, may stand in place of ``kind`` and ``value``; a
                ``name`` beside it wins.

        Raises:
            UsageError: For unknown, missing and invalid fields.
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"a source is made of a dictionary of its fields, not of {type(values).__name__}")
        values = dict(values)
        known = ["source", "kind", "value", "name", *SourceOptions.model_fields, *ZoneOptions.model_fields]
        for key in values:
            if key not in known:
                raise UsageError(f"a source has no field {key!r}: known are {', '.join(known)}")
        text = values.pop("source", None)
        if text is not None:
            if "kind" in values or "value" in values:
                raise UsageError("source: give either source or kind and value")
            return parse_source(text, **values)
        for key in ("kind", "value", "name"):
            if key not in values:
                raise UsageError(f"{key}: missing; a source needs source, or kind, value and name")
        return cls(**values)


def parse_source(source: str | int | os.PathLike[str], **options: Any) -> SourceSpec:
    """Make a source from the text that names it, as on the command line.

    Args:
        source: A camera's number or device (``/dev/video2``, ``/dev/v4l/by-id/...``), a video file, a named pipe, ``-`` for
            standard input, a folder or glob of images or one image, a URL (``rtsp://``, ``http://`` ...), ``demo`` or
            ``demo:crossing``; any of them as ``NAME=SOURCE``. A number may be NumPy's, a path any path object.
            What exists as a path is that path, also with a ``=`` in it, and a Path is never taken apart.
        options: Further fields of SourceSpec. By default a source is called after its file or folder, ``camera0``, or
            the host of a URL.

    Raises:
        UsageError: For an empty text, what is none, an unknown scenario, an unsupported or malformed URL, or an invalid option.

    Example:
        >>> parse_source("door=rtsp://10.0.0.7/live").name
        'door'
    """
    if isinstance(source, bool) or not isinstance(source, str | Integral | os.PathLike):
        raise UsageError(f"a source is a camera's number, a path, a URL or 'demo', not {type(source).__name__}")
    if isinstance(source, Integral) and source < 0:
        raise UsageError(f"a camera's number is 0 or more, not {source}")
    text = os.fsdecode(source) if isinstance(source, os.PathLike) else str(source)
    try:
        _check_characters(text)
    except ValueError as error:
        raise UsageError(f"source: {error}") from None
    named = _NAMED.fullmatch(text) if isinstance(source, str) and not _exists(text) else None
    if named is not None:
        options = {"name": named["name"], **options}
        text = named["source"]
    kind, value, name = _recognise(text)
    return SourceSpec(**{"kind": kind, "value": value, "name": _as_name(name), **options})


def unique_names(specs: Iterable[SourceSpec]) -> list[SourceSpec]:
    """Return the same sources with distinct names: the second ``woman2`` becomes ``woman2-2``.

    Raises:
        UsageError: If two of them read the same pipe.
    """
    specs = list(specs)
    pipes = [spec for spec in specs if spec.kind == "pipe"]
    for number, spec in enumerate(pipes):
        if any(spec.value == other.value for other in pipes[:number]):
            raise UsageError(f"{spec.where} can be read by one source only, and two name it")
    wanted = {spec.name for spec in specs}
    taken: set[str] = set()
    renamed = []
    for spec in specs:
        name, number = spec.name, 1
        while name in taken or (number > 1 and name in wanted):
            number += 1
            suffix = f"-{number}"
            name = _cut(spec.name, _MAX_NAME_BYTES - len(suffix)) + suffix
        taken.add(name)
        renamed.append(spec if name == spec.name else spec.replace(name=name))
    return renamed


def _check_characters(text: str) -> None:
    """Raise ValueError if no file can be called that: Python shows bytes that are not UTF-8 as the surrogates DC80 to DCFF."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate is no character: the text was decoded wrongly") from None
    if "\0" in text:
        raise ValueError("a zero byte is part of no name")


def _check_camera(value: str) -> None:
    """Raise ValueError for a number that no camera has: Python takes more for digits than the kernel."""
    if value.isdigit() and not (value.isascii() and len(value) <= _MAX_DIGITS):
        raise ValueError(f"value: there is no camera {shown(value, str)}: a camera's number is short")


def _check_url(url: str) -> None:
    scheme = url.partition("://")[0].lower()
    if "://" not in url or scheme not in STREAM_SCHEMES:
        raise ValueError(f"streams come from {', '.join(name + '://' for name in STREAM_SCHEMES)}, not {scheme[:20]}://")
    if url_host(url) is None and "@" not in url:
        raise ValueError(f"the URL {scheme}://... has no valid host and port: write {scheme}://HOST:PORT/PATH")
    if not url.isprintable() or " " in url or url_host(url) is None:
        raise ValueError(
            f"the URL {scheme}://... cannot be read: percent-encode the characters / ? # @ : % and blanks in its user "
            "name and password (%2F %3F %23 %40 %3A %25 %20)"
        )


def _recognise(text: str) -> tuple[str, str, str]:
    """Kind, value and default name."""
    if not text:
        raise UsageError("the source is empty: give a camera's number, a file, a URL or demo")
    own = _OWN_DESCRIPTOR.fullmatch(text)
    if own is not None or text in ("-", "/dev/stdin"):
        return _descriptor(0 if own is None else int(own["number"]))
    word, _, scenario = text.partition(":")
    if word == "demo":
        return "demo", _scenario(scenario), "demo"
    if text.isascii() and text.isdigit():
        if len(text) > _MAX_DIGITS:
            raise UsageError(f"there is no camera {shown(text, str)}: a camera's number is short; for a file write ./NAME")
        return "camera", str(int(text)), f"camera{int(text)}"
    if text.startswith(("/dev/video", "/dev/v4l/")) and ".." not in text.split("/"):
        return "camera", text, _device_name(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) and not _exists(text):
        host = url_host(text)
        return "stream", text, host[0].strip("[]") if host else "stream"
    scheme = text.partition(":")[0].lower()
    if ":" in text and scheme in STREAM_SCHEMES and "@" not in text and not _exists(text):
        raise UsageError(f"{scheme}:... is not a URL: write {scheme}://HOST/PATH")
    path = Path(text)
    if os.path.isdir(text) or (has_magic(text) and not _exists(text)):  # noqa: PTH112 - Path.is_dir raises for odd paths
        folder = text if os.path.isdir(text) else os.path.dirname(text)  # noqa: PTH112, PTH120
        return "images", text, os.path.basename(os.path.realpath(folder)) or "images"  # noqa: PTH119
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "images", text, path.stem
    return "pipe" if _is_pipe(text) else "file", text, path.stem or text


def _descriptor(number: int) -> tuple[str, str, str]:
    """Kind, value and default name of what this process has open, under a path that other processes can open."""
    if number == 0 and sys.__stdin__ is None:  # something else may have the number by now
        raise UsageError("standard input is closed")
    path = f"/proc/{os.getpid()}/fd/{number}"
    kind = "file" if os.path.isfile(path) else "pipe"  # noqa: PTH113
    return kind, path, "stdin" if number == 0 else f"fd{number}"


def _is_pipe(text: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(text).stat().st_mode)
    except (OSError, ValueError):
        return False


def _as_name(text: str) -> str:
    """A name for a source, from that of its file: any text becomes one."""
    readable = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    name = "".join(char if char.isprintable() and char != "/" else " " if char.isspace() else "_" for char in readable)
    return _cut(name.strip() or "source", _MAX_NAME_BYTES)


def _cut(name: str, limit: int) -> str:
    """The beginning of ``name`` that takes at most ``limit`` bytes."""
    return name.encode()[:limit].decode(errors="ignore")


def _scenario(word: str) -> str:
    if word and word not in list(Scenario):
        raise UsageError(f"the demo has no scenario {word!r}: choose one of {', '.join(Scenario)}")
    return word or Scenario.STROLL.value


def _device_name(device: str) -> str:
    """``camera2`` for /dev/video2, else the last part of the path."""
    name = Path(device).name
    number = re.fullmatch(r"video(\d+)", name)
    return f"camera{number[1]}" if number else name


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a path, or with a zero byte in it
        return False
