"""Folders of images, played like the frames of a video."""

from __future__ import annotations

import logging
import os
import re
import stat
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, SourceError
from ferengine.frames import MAX_SIDE, as_bgr, bits_used
from ferengine.ipc.machine import memory_left
from ferengine.sources.base import CapturedFrame, FirstFrameSource, SourceInfo
from ferengine.sources.heif import decode_heic, is_heic
from ferengine.sources.image_header import image_extent
from ferengine.sources.opencv_log import quiet_opencv
from ferengine.sources.spec import IMAGE_SUFFIXES
from ferengine.sources.url import show_path
from ferengine.vision import cv2

_DECODING = 2
"""Times the bytes of the decoded images that decoding them takes: deeper ones are converted, some decoders keep a copy."""
_ALL = 32767
"""OpenCV's own default of how many images of an animation are decoded."""
_NAMED = 3
"""Files that are left out and named."""
_HEADER = 4096
"""Bytes in which a file says that it is animated."""

logger = logging.getLogger(__name__)


class ImagesSource(FirstFrameSource):
    """The images of a folder, a glob or a single file, each of its own size, in natural order (``img2`` before ``img10``).

    In a folder, files that end like images are taken; with a glob, all files that match. Grey, deeper and transparent
    images become 8-bit BGR; EXIF orientation is applied; animations and files of several pages give all their images. A file
    that cannot be decoded is passed over, named in a warning and counted in ``broken_frames``.

    Args:
        path: The folder, glob or file.
        loop: How often the images are played; 0 for ever.
        fps: Images per second, which the time stamps count.
    """

    def __init__(self, path: str | Path, loop: int = 1, fps: float = 25.0) -> None:
        super().__init__()
        self._path = str(path)
        self._loop = loop
        self._fps = fps
        self._files: list[Path] = []
        self._pages: list[NDArray[np.uint8]] = []
        self._next = 0  # of the files, counted over the loops
        self._delivered = 0
        self._delivered_in_loop = 0
        self._error: SourceError | MissingDependencyError = SourceError("was not read")  # of the last damaged file

    def open(self) -> SourceInfo:
        """List the files and decode the first image.

        Raises:
            SourceError: If there is no image.
        """
        self._files = _list_images(self._path)
        self._first = self._decode()
        if self._first is None:
            if len(self._files) == 1:
                raise type(self._error)(f"{show_path(self._files[0])} {self._error}")
            raise SourceError(f"{show_path(self._path)}: none of its {len(self._files)} files is an image that can be decoded")
        height, width = self._first.image.shape[:2]
        known = len(self._files) if len(self._files) > 1 else 1 + len(self._pages)
        return SourceInfo(width, height, self._fps, live=False, frames=known * self._loop or None)

    def close(self) -> None:
        """Forget the files."""
        self._files, self._first = [], None

    def _decode(self) -> CapturedFrame | None:
        while self._files:
            if self._pages:
                frame = CapturedFrame(self._pages.pop(0), self._delivered / self._fps)
                self._delivered += 1
                self._delivered_in_loop += 1
                return frame
            loops, index = divmod(self._next, len(self._files))
            if index == 0 and loops:
                if loops == self._loop or self._delivered_in_loop == 0:
                    return None
                self._delivered_in_loop = 0
            self._next += 1
            self._pages, broken, error = _read(self._files[index])
            self.broken_frames += broken
            if broken and not loops:
                self._error = error
                if self._pages or len(self._files) > 1:  # else the source ends with an error that says it
                    skipped = "" if self._pages else "; it is skipped"
                    logger.warning("%s %s%s", show_path(self._files[index]), error, skipped)
        return None


def _read(path: Path) -> tuple[list[NDArray[np.uint8]], int, SourceError | MissingDependencyError]:
    """The images of a file, how many could not be decoded, and why."""
    error: SourceError | MissingDependencyError = SourceError("is not an image that can be decoded")
    try:
        data = np.fromfile(path, np.uint8)
        if images := decode_images(data):
            extent = image_extent(data)
            missing = 0 if extent is None else max(0, extent.images - len(images))
            return images, missing, SourceError(f"is cut off or damaged: {missing} of its images could not be decoded")
    except OSError:
        pass
    except (SourceError, MissingDependencyError) as caught:
        error = caught
    return [], 1, error


def decode_images(data: NDArray[np.uint8], maximum: int | None = None) -> list[NDArray[np.uint8]]:
    """Decode an image file.

    Args:
        data: The file, uint8 (N,).
        maximum: How many of its images are wanted, ``None`` for all.

    Returns:
        BGR uint8 (H, W, 3) of each image: of an animation or a file of several pages all, of others one; none for what
        cannot be decoded. EXIF orientation is applied. Deeper images keep the upper eight of their 8, 10, 12, 14 or 16
        bits, as the brightest pixel shows: infrared cameras store 12 or 14 bits in 16.

    Raises:
        SourceError: It announces more than may be decoded, or has pixels of more than 16 bits. The text goes on behind the name
            of the file.
        MissingDependencyError: It is a HEIC image, and the extra ``heic`` is not installed. The text goes on in the same way.
    """
    _check_extent(data, maximum)  # before a decoder allocates its pixels
    header = data[:_HEADER].tobytes()
    try:
        if is_heic(header):
            return decode_heic(data)
        with quiet_opencv():
            images = _decode(data, header, maximum)
    except cv2.error:  # larger than OpenCV allows
        return []
    except MemoryError:
        raise SourceError("does not fit into memory") from None
    if not images and (deep := deep_pixels(data)) is not None:
        raise SourceError(deep)
    return [as_bgr(_eight_bits(image)) for image in images]


def _decode(data: NDArray[np.uint8], header: bytes, maximum: int | None) -> list[NDArray[Any]]:
    count = _ALL if maximum is None else maximum
    if _is_animated(header):
        decoded, animation = cv2.imdecodeanimation(data.reshape(1, -1), start=0, count=count)
        return list(animation.frames)[:maximum] if decoded else []
    for flags in (cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, cv2.IMREAD_COLOR):
        if maximum is None:
            images = list(cv2.imdecodemulti(data, flags)[1])
        else:
            images = list(cv2.imdecodemulti(data, flags, range=(0, maximum))[1])
        if all(image.dtype in (np.uint8, np.uint16) for image in images):
            break
    return images


def deep_pixels(data: NDArray[np.uint8]) -> str | None:
    """What to say, behind the name of the file, of an image of more than 16 bits, such as a TIFF of floats; None of others.

    It is not read: nothing in it says which of its values are black and white.
    """
    try:
        with quiet_opencv():
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:
        return None
    if image is None or image.dtype.itemsize <= 2:
        return None
    kind = "floats" if image.dtype.kind == "f" else "integers"
    return f"has pixels of {8 * image.dtype.itemsize}-bit {kind}: save it with 8 or 16 bits a channel"


def _check_extent(data: NDArray[np.uint8], maximum: int | None) -> None:
    """Raise SourceError for what has too many pixels or needs more memory than is left."""
    extent = image_extent(data)
    if extent is None:
        return
    if max(extent.width, extent.height) > MAX_SIDE:
        raise SourceError(f"has {extent.width}x{extent.height} pixels, and {MAX_SIDE} a side is the maximum: scale it down")
    images = extent.images if maximum is None else min(extent.images, maximum)
    needed, left = _DECODING * extent.nbytes(images), memory_left()
    if needed > left.nbytes:
        raise SourceError(
            f"needs {needed >> 20:,} MiB for {images} {'image' if images == 1 else 'images'} of {extent.width}x{extent.height} "
            f"pixels, and of {left.limit} {left.nbytes >> 20:,} MiB are left"
        )


def _is_animated(header: bytes) -> bool:
    """By the chunk acTL of PNG (before its data) or ANIM of WebP."""
    if header.startswith(b"\x89PNG"):
        return b"acTL" in header.partition(b"IDAT")[0]
    return header[8:12] == b"WEBP" and b"ANIM" in header[:64]


def _eight_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    return np.asarray(image >> (bits_used(image) - 8), np.uint8)


def _list_images(path: str) -> list[Path]:
    shown = show_path(path)
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for paths that the system refuses
        try:
            with os.scandir(path) as entries:
                listed = [(entry.name, entry.is_file()) for entry in entries]
        except OSError as error:
            raise SourceError(f"{shown} cannot be read: {(error.strerror or '').lower()} (see ls -ld {shown})") from None
        names = [name for name, is_file in listed if is_file and _has_suffix(name)]
        files = [Path(path, name) for name in names]
        if files:
            others = sorted(name for name, is_file in listed if is_file and not _has_suffix(name))
            _say_left_out(f"{shown}: left out, because they are not images", others)
            folders = sorted(name for name, is_file in listed if not is_file)
            _say_left_out(f"{shown}: left out, because they are folders: name them, or a pattern with **", folders)
        if not files:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            raise SourceError(f"the folder {shown} holds no images (files that end in {endings}); name a video itself")
    elif os.path.lexists(path):
        _check_file(path)
        files = [Path(path)]
    else:
        matches = glob(path, recursive=True)  # noqa: PTH207 - the pattern may be absolute, and Path.glob takes none such
        files = [Path(file) for file in matches if os.path.isfile(file)]  # noqa: PTH113
        if not files:
            _check_file(path)
            raise SourceError(f"there is no file {shown}, and none that matches it")
    return sorted(files, key=_natural)


def _say_left_out(what: str, names: list[str]) -> None:
    """A warning, because workers report no less, and no file is passed over in silence."""
    if names:
        shown = ", ".join(show_path(name) for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        logger.warning("%s: %d (%s)", what, len(names), shown)


def _check_file(path: str) -> None:
    """Raise SourceError for a path that the system refuses, and for what is no file."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (FileNotFoundError, ValueError):
        return
    except OSError as error:
        raise SourceError(f"{show_path(path)} cannot be read: {(error.strerror or '').lower()}") from None
    if not regular:
        raise SourceError(f"{show_path(path)} is a pipe or a device, and images have to be files: save its data to one first")


def _has_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts numbers by value, and text without regard to case."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]
