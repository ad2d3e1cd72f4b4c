"""HEIC images, as telephones store them, by the package ``pillow-heif`` of the extra ``heic``.

FFmpeg reads such files too, but of a photograph in tiles it gives the tiles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError
from ferengine.frames import MAX_SIDE
from ferengine.pip_hint import install_extra

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
"""Of files whose pixels are HEVC (ISO/IEC 23008-12, annex B). AVIF files have others; OpenCV decodes them."""
_MAX_BOX = 256
"""Bytes of the first box that are looked at."""


def is_heic(header: bytes) -> bool:
    """Whether a file that begins with ``header`` is a HEIC image or sequence."""
    if header[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(header[:4], "big"), _MAX_BOX, len(header))
    brands = {header[8:12], *(header[at : at + 4] for at in range(16, end - 3, 4))}
    return bool(brands & _BRANDS)


def decode_heic(data: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Decode a HEIC file.

    Args:
        data: The file, uint8 (N,).

    Returns:
        BGR uint8 (H, W, 3) of its main image, upright and writable; none for what is damaged or has too many pixels.

    Raises:
        MissingDependencyError: The package is not installed. The text goes on behind the name of the file.
    """
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        needed = f"is a HEIC image, which takes the package pillow-heif to read: {install_extra('heic')}"
        raise MissingDependencyError(needed) from None
    try:
        file = pillow_heif.open_heif(data.tobytes(), convert_hdr_to_8bit=True, bgr_mode=True)
        if max(file.size) > MAX_SIDE:  # before its pixels are decoded
            return []
        image = np.asarray(file)
    except (EOFError, OSError, RuntimeError, SyntaxError, ValueError):  # what libheif's errors become
        return []
    return [np.array(image[..., :3], np.uint8, order="C")]  # a copy: the package's own array is read-only
