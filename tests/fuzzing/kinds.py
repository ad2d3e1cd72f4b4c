"""All kinds of mutated inputs by name; each is imported when it is made."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast


class Cases(Protocol):
    """One kind of input. Made with an empty folder of its own."""

    def run(self, chance: random.Random) -> None:
        """Make one input and have it read. FerengineError is an answer, any other exception is not."""
        ...

    def close(self) -> None:
        """Nothing further comes."""
        ...


KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    **{f"media-{suffix}": ("files", "MediaFiles", (suffix,)) for suffix in ("mp4", "mkv", "ts", "avi", "gif")},
    **{f"image-{suffix}": ("files", "ImageFiles", (suffix,)) for suffix in ("png", "jpg", "bmp", "tif", "webp", "ppm", "jp2")},
    "settings": ("texts", "Settings", ()),
    "priors": ("texts", "Priors", ()),
    "source-texts": ("texts", "SourceTexts", ()),
    "manifests": ("models", "Manifests", ()),
    "networks": ("models", "Networks", ()),
    "pushes": ("pushes", "Pushes", ()),
    "messages": ("messages", "Messages", ()),
    "native": ("native", "Native", ()),
}
"""The module of this package, the class in it, and what it is made with before the folder."""


def make_cases(kind: str, folder: Path) -> Cases:
    """The cases of a kind."""
    module, name, arguments = KINDS[kind]
    return cast(Cases, getattr(import_module(f"fuzzing.{module}"), name)(*arguments, folder))
