"""What a frame is: the arrays that are accepted, and how they become the BGR that the pipeline reads.

Everything that takes an image from outside checks it here, so that one limit and one error message hold for the API,
the detectors and the trackers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias, cast

from ferengine.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AnyImage: TypeAlias = "NDArray[np.generic]"
"""An image as OpenCV's type hints give one, which do not say that it holds uint8: what takes it checks that it does."""

MAX_SIDE = 16384
"""Maximum width and height in pixels."""

_LAYOUTS = {3: "(H, W, 3) BGR", 4: "(H, W, 4) BGRA", 1: "(H, W) grayscale"}


def check_image(image: AnyImage, what: str = "an image", *, channels: Collection[int] = (1, 3, 4)) -> NDArray[np.uint8]:
    """Check that an array is an image, whatever its memory layout.

    Args:
        image: uint8 of the shape (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored), or (H, W) or (H, W, 1) grey, with
            1 to ``MAX_SIDE`` pixels a side. Rows and pixels may have any stride.
        what: The name of the image in error messages.
        channels: The numbers of channels that are accepted, out of 1, 3 and 4.

    Returns:
        A view of the shape (H, W, channels).

    Raises:
        UsageError: For any other array or object. The message says what to do.
    """
    import numpy as np  # here and not above: options name the limits of a frame, and their help needs no arrays

    if not isinstance(image, np.ndarray):
        raise UsageError(f"{what} must be a NumPy array of uint8, {_layouts(channels)}, not {type(image).__name__}")
    if image.dtype != np.uint8:
        hint = ": scale it to 0..255 and convert it with .astype(np.uint8)" if image.dtype.kind == "f" else ""
        raise UsageError(f"{what} must have the dtype uint8, not {image.dtype}{hint}")
    view = cast("NDArray[np.uint8]", image[:, :, np.newaxis] if image.ndim == 2 else image)
    if view.ndim != 3 or view.shape[2] not in channels:
        raise UsageError(f"{what} must have the shape {_layouts(channels)}, not {image.shape}")
    if not view.size:
        raise UsageError(f"{what} is empty: its shape is {image.shape}")
    if max(view.shape[:2]) > MAX_SIDE:
        raise UsageError(
            f"{what} can have at most {MAX_SIDE} pixels a side, not {view.shape[1]}x{view.shape[0]}: scale it down"
        )
    return view


def drawable_image(image: AnyImage) -> NDArray[np.uint8]:
    """Check an image that is to be drawn on, in place.

    Args:
        image: BGR uint8 (H, W, 3).

    Raises:
        UsageError: It is no such image, or read-only.
    """
    checked = check_image(image, channels=(3,))
    if not checked.flags.writeable:
        raise UsageError("the image is read-only, as images on loan are: draw on a copy (image.copy())")
    return checked


def readable_frame(frame: NDArray[np.uint8], *, grey: bool = False) -> NDArray[np.uint8]:
    """Check a frame that OpenCV or the native code will read, and copy it only if they cannot read it in place.

    Args:
        frame: BGR uint8 (H, W, 3); with ``grey`` also (H, W) or (H, W, 1).
        grey: Whether one channel is accepted.

    Returns:
        ``frame`` itself if its pixels are adjacent and its rows in order (padded rows are fine), else a contiguous
        copy. Grey frames are returned as (H, W).

    Raises:
        UsageError: If it is not such a frame.
    """
    checked = check_image(frame, "a frame", channels=(1, 3) if grey else (3,))
    if not _is_packed(checked):
        checked = checked.copy()
    if checked.shape[2] == 1:
        return checked[:, :, 0]
    return frame if checked is frame else checked


def copy_as_bgr(image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write an image as BGR.

    Args:
        image: An image as ``check_image`` returns it, uint8 (H, W, 1, 3 or 4).
        out: Where to write it, uint8 (H, W, 3).
    """
    channels = image.shape[2]
    if channels == 3 and image.strides[1:] == (3, 1):
        out[:] = image
        return
    for plane in range(3):  # 25 times faster in NumPy than copying pixels of another layout
        out[:, :, plane] = image[:, :, plane if channels > 1 else 0]


def as_bgr(image: AnyImage, what: str = "an image") -> NDArray[np.uint8]:
    """Convert an image to BGR with adjacent pixels.

    Args:
        image: Any image that ``check_image`` accepts.
        what: The name of the image in error messages.

    Returns:
        BGR uint8 (H, W, 3): a view if the image already has that layout, else a copy.

    Raises:
        UsageError: As ``check_image``.
    """
    checked = check_image(image, what)
    if checked.shape[2] == 3 and _is_packed(checked):
        return checked
    import numpy as np

    out = np.empty((*checked.shape[:2], 3), np.uint8)
    copy_as_bgr(checked, out)
    return out


def bits_used(image: NDArray[np.uint16]) -> int:
    """Return how many bits an image of 16 really has, as its brightest pixel shows: infrared cameras store 12 or 14."""
    brightest = int(image.max())
    return next(depth for depth in (8, 10, 12, 14, 16) if brightest < 1 << depth)


def rotate(image: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Rotate an image clockwise by a multiple of 90 degrees.

    Args:
        image: uint8 (H, W, 3).
        degrees: The angle; rounded to a multiple of 90, and negative for counter-clockwise.

    Returns:
        The rotated image; ``image`` itself for a whole number of turns.
    """
    quarters = round(degrees / 90) % 4
    if quarters == 0:
        return image
    from ferengine.vision import cv2  # not at the top: the engine's own process checks frames and needs no OpenCV

    code = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)[quarters - 1]
    return cast("NDArray[np.uint8]", cv2.rotate(image, code))


def _layouts(channels: Collection[int]) -> str:
    *first, last = [text for number, text in _LAYOUTS.items() if number in channels]
    return f"{', '.join(first)} or {last}" if first else last


def _is_packed(image: NDArray[np.uint8]) -> bool:
    """Whether the pixels of a row are adjacent and the rows in order, with padding between them or without."""
    height, width, channels = image.shape
    row, pixel, channel = image.strides
    return (channels == 1 or channel == 1) and (width == 1 or pixel == channels) and (height == 1 or row >= width * channels)
