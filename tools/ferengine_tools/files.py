"""Files that are written whole, or stay as they were; and images that are read."""

from __future__ import annotations

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
    stays_there = path.exists() and not path.is_file()
    target = path.resolve() if path.is_file() else path
    try:
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


def read_image(path: Path, flags: int) -> NDArray[np.uint8] | None:
    """Return the image of a file as ``cv2.imread`` would with ``flags``, uint8.

    None stands for a file that cannot be read or is no image, and for one whose header promises more pixels than OpenCV
    accepts. ``imread`` raises an error for these, and takes no names that are not UTF-8.
    """
    from ferengine.vision import cv2  # here: what writes files alone does not need it

    try:
        encoded = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: There is a file of that name, or the folder may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made a folder: {error.strerror}: choose another") from None
