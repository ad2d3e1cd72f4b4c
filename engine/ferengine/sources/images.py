"""Folders of images, played like the frames of a video."""

from __future__ import annotations

import logging
import re
from glob import glob
from pathlib import Path

import numpy as np

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, SourceInfo
from ferengine.sources.opencv_log import quiet_opencv
from ferengine.sources.spec import IMAGE_SUFFIXES
from ferengine.vision import cv2

logger = logging.getLogger(__name__)


class ImagesSource(FirstFrameSource):
    """The images of a folder, a glob or a single file, each of its own size, in natural order (``img2`` before ``img10``).

    In a folder, files that end like images are taken; with a glob, all files that match. Grey, 16-bit and transparent
    images become 8-bit BGR; EXIF orientation is applied. A file that cannot be decoded is passed over, named in a warning
    and counted in ``broken_frames``.

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
        self._next = 0  # of the files, counted over the loops
        self._delivered = 0
        self._delivered_in_loop = 0

    def open(self) -> SourceInfo:
        """List the files and decode the first image.

        Raises:
            SourceError: If there is no image.
        """
        self._files = _list_images(self._path)
        self._first = self._decode()
        if self._first is None:
            raise SourceError(f"{self._path}: none of its {len(self._files)} files is an image that can be decoded")
        height, width = self._first.image.shape[:2]
        return SourceInfo(width, height, self._fps, live=False, frames=len(self._files) * self._loop or None)

    def close(self) -> None:
        """Forget the files."""
        self._files, self._first = [], None

    def _decode(self) -> CapturedFrame | None:
        while self._files:
            loops, index = divmod(self._next, len(self._files))
            if index == 0 and loops:
                if loops == self._loop or self._delivered_in_loop == 0:
                    return None
                self._delivered_in_loop = 0
            self._next += 1
            with quiet_opencv():
                image = _read_image(self._files[index])
            if image is None:
                self.broken_frames += 1
                if not loops:
                    logger.warning("%s is not an image that can be decoded; it is skipped", self._files[index])
                continue
            frame = CapturedFrame(np.asarray(image, np.uint8), self._delivered / self._fps)
            self._delivered += 1
            self._delivered_in_loop += 1
            return frame
        return None


def _read_image(path: Path) -> object | None:
    try:
        return cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # larger than OpenCV allows
        return None


def _list_images(path: str) -> list[Path]:
    folder = Path(path)
    if folder.is_dir():
        try:
            files = [entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
        except PermissionError:
            raise SourceError(f"{path} cannot be read: permission denied (see ls -ld {path})") from None
        if not files:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            raise SourceError(f"the folder {path} holds no images (files that end in {endings}); name a video itself")
    elif folder.exists():
        files = [folder]
    else:
        matches = glob(path, recursive=True)  # noqa: PTH207 - the pattern may be absolute, and Path.glob takes none such
        files = [file for file in map(Path, matches) if file.is_file()]
        if not files:
            raise SourceError(f"there is no file {path}, and none that matches it")
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts numbers by value, and text without regard to case."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]
