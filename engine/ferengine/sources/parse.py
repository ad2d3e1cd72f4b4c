"""From the text of ``--source`` to a SourceSpec."""

from __future__ import annotations

import re
from glob import has_magic
from pathlib import Path
from typing import Any

from ferengine.errors import UsageError
from ferengine.sources.spec import SourceSpec
from ferengine.sources.url import address_host

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".dib", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What counts as an image in a folder, in lower case."""

_NAMED = re.compile(r"(?P<name>[^=/:]+)=(?P<source>.+)", re.DOTALL)


def parse_source(source: str | int | Path, **options: Any) -> SourceSpec:
    """The source that a text names, with ``options``: further fields of SourceSpec.

    A camera's number or device (``/dev/video2``, ``/dev/v4l/by-id/...``), a video file, a folder or glob of images or
    one image, an address (``rtsp://``, ``http://`` ...), ``demo`` or ``demo:crossing``; any of them as
    ``NAME=SOURCE``. What exists as a path is that path, also with a ``=`` in it, and a Path is never taken apart.

    By default a source is called after its file or folder, ``camera0``, or an address's host.

    Raises UsageError for an empty text, an unknown scenario, and addresses that are not supported or make no sense.
    """
    text = str(source)
    named = _NAMED.fullmatch(text) if isinstance(source, str) and not _exists(text) else None
    if named is not None:
        options = {"name": named["name"], **options}
        text = named["source"]
    kind, value, name = _recognise(text)
    return SourceSpec(**{"kind": kind, "value": value, "name": name, **options})


def _recognise(text: str) -> tuple[str, str, str]:
    """Kind, value and default name."""
    if not text:
        raise UsageError("the source has no name: give a camera's number, a file, an address or demo")
    word, _, scenario = text.partition(":")
    if word == "demo":
        return "demo", _scenario(scenario), "demo"
    if text.isascii() and text.isdigit():
        return "camera", str(int(text)), f"camera{int(text)}"
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return "camera", text, _device_name(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) and not _exists(text):
        host = address_host(text)
        return "stream", text, host[0].strip("[]") if host else "stream"
    path = Path(text)
    if path.is_dir() or (has_magic(text) and not _exists(text)):
        folder = path if path.is_dir() else path.parent
        return "images", text, folder.resolve().name or "images"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "images", text, path.stem
    return "file", text, path.stem or text


def _scenario(word: str) -> str:
    from ferengine.sources.demo_paths import Scenario

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
