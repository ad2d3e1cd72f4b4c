"""Files that are written whole, or stay as they were; folders that are listed whole; and images that are read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import FerengineError, UsageError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which in the end takes the place and the permissions of the file that ``path`` leads to; until
    then that file stays. A device, or a pipe that a program reads, gets a copy of what was written.

    Raises:
        FerengineError: The file cannot be written.
    """
    try:
        stays_there = path.exists() and not path.is_file()
        target = path if stays_there else Path(os.path.realpath(path))
        with TemporaryDirectory() if stays_there else nullcontext(target.parent) as folder:
            beside = Path(folder) / f"{target.name}.part"
            try:
                yield beside
                if stays_there:
                    with beside.open("rb") as written, target.open("wb") as device:
                        shutil.copyfileobj(written, device)
                else:
                    if target.exists():
                        shutil.copymode(target, beside)
                    beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise FerengineError(f"{path} cannot be written: {error.strerror or error}: make room, or choose another") from None


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder, at any depth, in the order of their paths; links to folders are not followed.

    Raises:
        UsageError: A folder cannot be listed, and what is in it would be missing.
    """
    found: list[Path] = []
    try:
        for place, _, names in os.walk(folder, onerror=_raise):
            found += (path for path in (Path(place, name) for name in names) if path.is_file())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    return sorted(found)


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file, or a folder above it in ``folder``, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _raise(error: OSError) -> None:
    raise error


def read_image(path: Path, flags: int) -> NDArray[np.uint8] | None:
    """Return the image of a file as ``cv2.imread`` does with ``flags``, uint8; the file may have any name, also one that is
    not UTF-8.

    None stands for a file that cannot be read or is no image, and for one whose header promises more pixels than OpenCV
    accepts, where ``imread`` raises an error.
    """
    from ferengine.vision import cv2  # here: what writes files alone does not need it

    try:
        with path.open("rb") as file:  # imdecode would give nothing of a JPEG that lacks its end
            image = cv2.imread(f"/dev/fd/{file.fileno()}", flags)
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def why_no_image(path: Path) -> str:
    """What to say, behind the name of the file, where ``read_image`` gives None."""
    from ferengine.sources.images import deep_pixels  # as above

    try:
        deep = deep_pixels(np.fromfile(path, np.uint8))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return deep or "cannot be read as an image: is it truncated?"


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: There is a file of that name, or the folder may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made a folder: {error.strerror}: choose another") from None
