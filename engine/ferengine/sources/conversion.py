"""Makes upright BGR images with square pixels of the frames that PyAV decodes."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from ferengine._native import yuv_to_bgr
from ferengine.frames import MAX_SIDE, as_bgr, bits_used, rotate
from ferengine.sources.base import CapturedFrame

_MAX_PIXEL_ASPECT = 8.0
"""Width of a pixel by its height, or the inverse, beyond which it is an error of the file."""
_HALVED_ROWS = {"yuv420p": True, "yuvj420p": True, "yuv422p": False, "yuvj422p": False}
"""The pixel formats that ``yuv_to_bgr`` reads, and whether their chroma has half the rows."""
_GREY_OF_16_BITS = ("gray16le", "gray16be")
_MATRIX = struct.Struct("=5i")
"""The first numbers of a display matrix: two rows of three."""
_UPRIGHT = _MATRIX.pack(1, 0, 0, 0, 1)
_BT601, _BT709, _BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
_WEIGHTS = {1: _BT709, 2: _BT601, 5: _BT601, 6: _BT601, 9: _BT2020}
"""The weights of red and blue in luma, by FFmpeg's AVColorSpace, which PyAV does not name in full. What is unspecified
counts as BT.601, as in FFmpeg and OpenCV."""


class FrameConverter:
    """Converts the decoded frames of one stream.

    Most video is 8-bit 4:2:0, which ``yuv_to_bgr`` writes where it belongs in a fraction of the time that FFmpeg takes. FFmpeg
    converts what is deeper, has other chroma or colours, or pixels that are not square.

    Args:
        stream: Where the frames come from.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._first_matrix: bool | None = None
        """Whether the first frame has a display matrix; None before it. Looking for one is slow: if the first frame has none,
        later ones are searched only if they are rotated."""
        self._bits = 8
        self._first_size = (stream.codec_context.width, stream.codec_context.height)
        self._first_width = _square_width(stream.codec_context.width, stream.sample_aspect_ratio)

    def capture(self, frame: av.VideoFrame, timestamp: float, like: av.VideoFrame | None = None) -> CapturedFrame:
        """Return a decoded frame as one that is converted when its pixels are needed.

        Args:
            frame: What was decoded.
            timestamp: As of the CapturedFrame.
            like: The frame that says how this one lies; by default itself.
        """
        like = like or frame
        rotation = like.rotation
        if self._first_matrix is None:
            self._first_matrix = _matrix(like) is not None
        mirrored = (self._first_matrix or rotation != 0) and _is_mirrored(like)
        return _DecodedFrame(self, frame, self._square_width(frame), rotation, mirrored, timestamp)

    def convert(self, frame: av.VideoFrame, width: int) -> NDArray[np.uint8]:
        """Return BGR uint8 (H, ``width``, 3) as it was encoded, not yet upright, in memory of its own; rows may be padded."""
        if self.write(frame, width, image := np.empty((frame.height, width, 3), np.uint8)):
            return image
        if frame.format.name in _GREY_OF_16_BITS:
            return self._convert_grey(frame, width)
        # One reformatter for all frames, and in this thread: PyAV's default makes a new one each time, on all cores.
        converted = self._reformatter.reformat(frame, width=width, format="bgr24", threads=1)
        plane = converted.planes[0]
        return np.ndarray(
            (converted.height, converted.width, 3), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 3, 1)
        )

    def _convert_grey(self, frame: av.VideoFrame, width: int) -> NDArray[np.uint8]:
        """Of 16 bits, which are fewer in the video of infrared cameras, as the brightest pixel so far shows."""
        if width != frame.width:
            frame = self._reformatter.reformat(frame, width=width, format="gray16le", threads=1)
        image = np.asarray(frame.to_ndarray(), np.uint16)
        self._bits = max(self._bits, bits_used(image))
        return as_bgr(np.asarray(image >> (self._bits - 8), np.uint8))

    def write(self, frame: av.VideoFrame, width: int, out: NDArray[np.uint8]) -> bool:
        """Convert a frame into ``out`` if ``yuv_to_bgr`` reads its kind; else return False."""
        weights, halved_rows = _WEIGHTS.get(frame.colorspace), _HALVED_ROWS.get(frame.format.name)
        if weights is None or halved_rows is None or width != frame.width:
            return False
        y, u, v = frame.planes
        if y.line_size < 0 or u.line_size < 0 or v.line_size < 0:  # upside down
            return False
        full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        yuv_to_bgr((y, u, v), (y.line_size, u.line_size, v.line_size), out, halved_rows, *weights, full_range)
        return True

    def _square_width(self, frame: av.VideoFrame) -> int:
        """By the pixels of the container, and once the size has changed, by those of the codec."""
        if (frame.width, frame.height) == self._first_size:
            return self._first_width
        return _square_width(frame.width, self._stream.codec_context.sample_aspect_ratio)


class _DecodedFrame(CapturedFrame):
    """A frame that is converted when its pixels are needed: one that is passed over never is."""

    __slots__ = ("_converter", "_frame", "_mirrored", "_rotation", "_width")

    def __init__(
        self, converter: FrameConverter, frame: av.VideoFrame, width: int, rotation: int, mirrored: bool, timestamp: float
    ) -> None:
        self._converter = converter
        self._frame = frame
        self._width = width
        self._rotation = rotation
        self._mirrored = mirrored
        self.timestamp = timestamp
        self.media = None

    @property
    def shape(self) -> tuple[int, int, int]:
        height = self._frame.height
        return (self._width, height, 3) if self._rotation % 180 else (height, self._width, 3)

    @property
    def image(self) -> NDArray[np.uint8]:
        upright = rotate(self._converter.convert(self._frame, self._width), -self._rotation)
        if not self._mirrored:
            return upright
        return np.ascontiguousarray(upright[:, ::-1] if self._rotation % 180 else upright[::-1])

    def write(self, out: NDArray[np.uint8]) -> None:
        if self._rotation or self._mirrored or not self._converter.write(self._frame, self._width, out):
            out[:] = self.image


def _unnamed_kind(kinds: type[Type], number: int) -> Type:
    """A kind of side data that PyAV has no name for yet: without one it raises for each frame that has such data, as do those
    of JPEG and TIFF with Exif, and of stereo video."""
    kind = object.__new__(kinds)
    kind._name_ = f"KIND_{number}"
    kind._value_ = number  # type: ignore[assignment]
    return kind


Type._missing_ = classmethod(_unnamed_kind)  # type: ignore[method-assign,assignment]


def _matrix(frame: av.VideoFrame) -> SideData | None:
    return cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the display matrix (ISO/IEC 14496-12, 8.3.2) turns the frame over, as phones note it for their front camera.

    The rotation that FFmpeg reads from such a matrix is that of its first row, so that what is left is a flip of the second.
    """
    matrix = _matrix(frame)
    a, b, _, c, d = _MATRIX.unpack_from(_UPRIGHT if matrix is None else bytes(matrix))
    return bool(a * d < b * c)


def _square_width(width: int, aspect: Fraction | None) -> int:
    if not aspect or not 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT:
        return width
    return min(MAX_SIDE, max(1, math.floor(width * aspect + Fraction(1, 2))))
