"""Files that are whole, or as they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferengine.errors import FerengineError, UsageError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which in the end takes the place and the permissions of ``path``; until then that file stays.

    Raises:
        FerengineError: The file cannot be written.
    """
    beside = path.with_name(f"{path.name}.part")
    try:
        yield beside
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except OSError as error:
        raise FerengineError(f"{path} cannot be written: {error.strerror or error}: make room, or choose another") from None
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: There is a file of that name, or the folder may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made a folder: {error.strerror}: choose another") from None
