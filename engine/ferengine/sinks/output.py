"""Claims an output file before anything is written to it."""

from __future__ import annotations

import os
from pathlib import Path

from ferengine.errors import SinkError


def claim_output(path: Path, *, overwrite: bool) -> int:
    """Open ``path`` for writing and give back its descriptor; it is created where absent, and emptied where
    present.

    Raises SinkError, naming the path, where it exists and ``overwrite`` is false, and where it cannot be
    written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        raise SinkError(f"{path} exists: choose another name or pass --overwrite") from None
    except FileNotFoundError:
        raise SinkError(f"{path} cannot be created: there is no folder {path.parent}") from None
    except IsADirectoryError:
        raise SinkError(f"{path} is a folder: name a file") from None
    except OSError as error:
        raise write_failed(path, error) from error


def write_failed(path: Path | str, error: OSError) -> SinkError:
    """The error to raise when writing ``path`` failed with ``error``."""
    return SinkError(f"{path} cannot be written: {error.strerror or error}")
