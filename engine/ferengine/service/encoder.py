"""The encoder of one camera, a child process: a frame in shared memory becomes a fragment of video, a JPEG or both."""

from __future__ import annotations

import mmap
import os
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from numpy.typing import NDArray

from ferengine.ipc.child import serve_parent
from ferengine.service.fragments import TIMESCALE, FragmentWriter
from ferengine.service.messages import Encode, Encoded
from ferengine.sinks.blur import blur_boxes
from ferengine.vision import cv2

MAX_SIDE = 1280
"""Pixels of the longer side of the video; larger frames are scaled down."""

_TIME_BASE = Fraction(1, TIMESCALE)
_KEY_EVERY = 2 * TIMESCALE
_FIRST_DURATION = TIMESCALE // 15
_SHORTEST, _LONGEST = TIMESCALE // 120, TIMESCALE
_BT601, _LIMITED_RANGE = 6, 1
"""AVCOL_SPC_SMPTE170M and AVCOL_RANGE_MPEG: what cv2's conversion to YUV makes."""
_JPEG_QUALITY = 85
_NICE = 15
"""The pipeline comes first by far: on busy cores, work that took 38 ms took 84 ms beside encoders of 5, and 47 of 15."""


class Encoder:
    """Encodes the frames of one camera.

    Args:
        codec: Name of the H.264 encoder.
    """

    def __init__(self, codec: str = "libx264") -> None:
        self._codec = codec
        self._size = (0, 0)
        self._video: av.VideoCodecContext | None = None
        self._writer: FragmentWriter | None = None
        self._last: int | None = None
        self._next_key = 0
        self._duration = _FIRST_DURATION

    def encode(self, image: NDArray[np.uint8], request: Encode) -> Encoded:
        """Do what is requested with ``image``, BGR uint8 (H, W, 3)."""
        width, height = fitted(request.width, request.height)
        image = _scaled(image, width, height)
        jpeg = _jpeg(image) if request.jpeg else b""
        if not request.video:
            return Encoded(width=width, height=height, jpeg=jpeg)
        if self._codec not in av.codecs_available:
            return Encoded(jpeg=jpeg, error=f"PyAV has no encoder {self._codec} here")
        init, mime = b"", ""
        if self._video is None or self._size != (width, height):
            self._writer = self._open(width, height)
            init, mime = self._writer.init, self._writer.mime
        assert self._writer is not None
        frame = av.VideoFrame.from_ndarray(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8), format="yuv420p")
        fragment, key = self._fragment(frame, request, self._writer)
        return Encoded(key, width, height, mime, init, fragment, jpeg)

    def _open(self, width: int, height: int) -> FragmentWriter:
        video = av.CodecContext.create(self._codec, "w")
        assert isinstance(video, av.VideoCodecContext)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base, video.framerate = _TIME_BASE, Fraction(25)
        video.thread_count = 1
        video.gop_size = 600  # key frames come by time
        video.colorspace, video.color_range = _BT601, _LIMITED_RANGE
        video.flags |= Flags.global_header
        video.options = {
            "preset": "superfast", "tune": "zerolatency", "profile": "main", "crf": "26", "maxrate": "4M", "bufsize": "2M",
            "forced-idr": "1",
        }  # fmt: skip
        video.open()
        self._video, self._size, self._last = video, (width, height), None
        return FragmentWriter(width, height, bytes(video.extradata or b""))

    def _fragment(self, frame: av.VideoFrame, request: Encode, writer: FragmentWriter) -> tuple[bytes, bool]:
        assert self._video is not None
        time, last = request.time, self._last
        step = None if last is None else time - last
        # A player takes a pause of more than two frames for a break, after which it waits for a key frame.
        key = request.key or step is None or step > 1.5 * self._duration or time >= self._next_key
        if step is not None:  # a little too long rather than too short: an overlap is cut, a gap stalls
            wanted = min(max(round(1.25 * step), _SHORTEST), _LONGEST)
            self._duration += round(0.25 * (wanted - self._duration))
        if key:
            frame.pict_type = PictureType.I
            self._next_key = time + _KEY_EVERY
        frame.pts, frame.time_base = time, _TIME_BASE
        self._last = time
        data = b"".join(bytes(packet) for packet in self._video.encode(frame))
        return writer.fragment(data, time, self._duration), key


def _scaled(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    means = cv2.INTER_AREA if 2 * width < image.shape[1] else cv2.INTER_LINEAR  # the one against moire, the other fast
    return np.asarray(cv2.resize(image, (width, height), interpolation=means), np.uint8)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size of the video for frames of a size: even, and no longer than ``MAX_SIDE``.

    Example:
        >>> fitted(1920, 1080), fitted(641, 361)
        ((1280, 720), (640, 360))
    """
    scale = min(1.0, MAX_SIDE / max(width, height))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def main(arguments: list[str]) -> None:
    """Answer the parent's requests; the frame is in the memory of the descriptor that it passes."""
    socket, title, memory = arguments
    cv2.setNumThreads(1)
    encoder = Encoder()
    mapped: mmap.mmap | None = None

    def answer(data: bytes) -> bytes:
        nonlocal mapped
        request = Encode.decode(data)
        nbytes = request.width * request.height * 3
        if mapped is None or len(mapped) < nbytes:
            mapped = mmap.mmap(int(memory), os.fstat(int(memory)).st_size, prot=mmap.PROT_READ)
        image = np.frombuffer(mapped, np.uint8, nbytes).reshape(request.height, request.width, 3)
        if request.blur:
            image = image.copy()
            blur_boxes(image, request.blur)
        return encoder.encode(image, request).encode()

    serve_parent(socket, title, answer, _NICE)
