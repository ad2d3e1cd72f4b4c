"""Still images on the command line: which files are named, how they are read, and where their copies go."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, SinkError, SourceError, UsageError
from ferengine.sinks.files import write_atomically
from ferengine.sources.image_header import image_extent
from ferengine.sources.images import decode_images
from ferengine.sources.spec import IMAGE_SUFFIXES
from ferengine.sources.url import show_path
from ferengine.vision import cv2

SUFFIXES = (*sorted(IMAGE_SUFFIXES), ".gif")
"""The endings of images in a folder; a file that is named itself may have another."""
_WRITTEN = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings of copies; those of other images are written as PNG."""
_VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".wmv")
STANDARD_INPUT = Path("/dev/stdin")
_CHUNK = 1 << 20
_MAX_BYTES = 1 << 30
"""Bytes of a file that are read: devices may have no end."""


def find_images(names: Iterable[str], left_out: list[Path] | None = None) -> Iterator[Path | SourceError]:
    """Find the images that the command line names.

    Args:
        names: Files, folders (their images, sorted), globs (``**`` for folders below) and ``-``, standard input.
        left_out: Gets the files of folders whose endings are not those of images, the folders in folders, and what else a
            pattern matches.

    Yields:
        Each image once, or the error for a name that leads to none.
    """
    seen: set[str] = set()
    for name in names:
        try:
            found = _named(name, left_out if left_out is not None else [])
        except SourceError as error:
            yield error
            continue
        except (OSError, ValueError) as error:  # a name that the system refuses, a folder that may not be entered
            yield SourceError(f"{show_path(name)} cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        for path in found:
            real = os.path.realpath(path)  # never raises, except for a zero byte, which was refused above
            if real not in seen:
                seen.add(real)
                yield path


def _named(name: str, left_out: list[Path]) -> list[Path]:
    if name == "-":
        return [STANDARD_INPUT]
    path = Path(name)
    if path.is_dir():
        inside = sorted(path.iterdir())
        found = [item for item in inside if item.suffix.lower() in SUFFIXES and item.is_file()]
        kept = set(found)
        left_out += [item for item in inside if item not in kept]
        if not found:
            raise SourceError(f"the folder {show_path(path)} holds no images ({', '.join(SUFFIXES)})")
        return found
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = [Path(item) for item in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - takes absolute patterns too
    images = [item for item in found if item.is_file()]
    if not images:
        raise SourceError(f"no file matches {show_path(name)}")
    if "**" not in name:  # which matches what lies in the folders, too
        kept = set(images)
        left_out += [item for item in found if item not in kept]
    return images


def read_image(path: Path, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Read an image file.

    Args:
        path: The file.
        notes: Gets a sentence about what else the file holds and is not read: the further images of an animation.

    Returns:
        BGR uint8 (H, W, 3), rotated according to its EXIF data; deeper and grey images are converted, transparency is ignored.

    Raises:
        SourceError: Naming the file and the reason.
        MissingDependencyError: It is a HEIC image, and the extra ``heic`` is not installed.
    """
    try:
        data = np.frombuffer(_read_bytes(path), np.uint8)
    except (OSError, ValueError) as error:
        raise SourceError(f"{show_path(path)} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data.size > _MAX_BYTES:
        raise SourceError(f"{show_path(path)} is larger than {_MAX_BYTES >> 20} MiB")
    if not data.size:
        raise SourceError(f"{show_path(path)} is empty")
    try:
        images = decode_images(data, maximum=1)
    except (SourceError, MissingDependencyError) as error:
        raise type(error)(f"{show_path(path)} {error}") from None
    if not images:
        hint = f": ferengine run {show_path(path)} reads a video" if path.suffix.lower() in _VIDEOS else ", or it is damaged"
        raise SourceError(f"{show_path(path)} is not an image that OpenCV can decode{hint}")
    extent = image_extent(data)
    if notes is not None and extent is not None and extent.images > 1:
        hint = "" if path == STANDARD_INPUT else f"; ferengine run {show_path(path)} reads all"
        notes.append(f"{show_path(path)}: the first of its {extent.images} images was read{hint}")
    return images[0]


def _read_bytes(path: Path) -> bytearray:
    if path != STANDARD_INPUT:
        with path.open("rb") as file:
            return _read_chunks(file)
    if sys.stdin is None:  # closed when the program was started
        raise SourceError("standard input is closed")
    if sys.stdin.isatty():
        raise SourceError("- is standard input, and this one is a terminal: pipe an image into the command")
    return _read_chunks(sys.stdin.buffer)  # opening /dev/stdin fails for a socket


def _read_chunks(file: BinaryIO) -> bytearray:
    data = bytearray()
    while len(data) <= _MAX_BYTES and (chunk := file.read(_CHUNK)):
        data += chunk
    return data


class CopyFolder:
    """The folder of the annotated copies, created if it is absent; each image keeps its name.

    Attributes:
        folder: As given.
        count: Copies that were written.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        self.folder = folder
        self.count = 0
        self._overwrite = overwrite
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError(f"--save: {folder} is a file: name a folder") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SinkError(f"--save: the folder {show_path(folder)} cannot be created: {reason}") from None

    def save(self, image: NDArray[np.uint8], original: Path) -> Path:
        """Write ``image`` under the name of ``original``: as PNG if that is not an image's name, numbered if it is taken.

        Raises:
            SinkError: If the file exists (without ``overwrite``) or cannot be written.
        """
        path = self.folder / self._name(original)
        if os.path.realpath(path) == os.path.realpath(original):
            raise SinkError(f"{show_path(path)} is the image itself: choose another folder")
        if os.path.lexists(path) and not self._overwrite:
            raise SinkError(f"{show_path(path)} exists already: choose another folder or pass --overwrite")
        try:
            encoded, data = cv2.imencode(path.suffix, image)
        except cv2.error as error:
            raise SinkError(f"{show_path(path)} cannot be encoded: {error.err}") from None
        if not encoded:
            raise SinkError(f"{show_path(path)} cannot be encoded")
        write_atomically(path, data.tobytes())  # leaves no partial image
        self.count += 1
        return path

    def _name(self, original: Path) -> str:
        suffix = original.suffix if original.suffix.lower() in _WRITTEN else ".png"
        name, number = f"{original.stem}{suffix}", 1
        while name in self._taken:
            number += 1
            name = f"{original.stem}-{number}{suffix}"
        self._taken.add(name)
        return name
