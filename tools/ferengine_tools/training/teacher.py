"""Probabilities of the training faces, kept in a file: what ``ferengine teach`` writes and ``train --teacher`` reads."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine_tools.files import written_whole


def digest(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 of faces, uint8 (N, S, S), in their order, or of other arrays."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def save_teacher(path: Path, probabilities: NDArray[np.float32], images: NDArray[np.uint8], labels: tuple[str, ...]) -> None:
    """Write probabilities.

    Args:
        path: The file.
        probabilities: float32 (N, C); rows of NaN for faces without.
        images: The faces, uint8 (N, S, S).
        labels: The C classes.

    Raises:
        FerengineError: The file cannot be written.
    """
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, probabilities=probabilities, labels=np.array(labels), faces=np.array(digest(images)))


def load_teacher(path: Path, images: NDArray[np.uint8], labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Read what ``save_teacher`` wrote for these very faces and labels.

    Raises:
        UsageError: The file is something else.
    """
    try:
        with np.load(path) as file:
            arrays: dict[str, Any] = {name: file[name] for name in ("probabilities", "labels", "faces")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{path} is not a teacher file of ferengine teach: {error}") from None
    probabilities: NDArray[np.float32] = arrays["probabilities"].astype(np.float32)
    if (
        probabilities.shape != (len(images), len(labels))
        or tuple(arrays["labels"]) != labels
        or str(arrays["faces"]) != digest(images)
    ):
        raise UsageError(
            f"{path} was made for other faces or labels, or for these in another order: make it again with ferengine teach"
        )
    return probabilities
