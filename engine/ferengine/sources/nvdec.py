"""Decodes the video of a container on a GPU's NVDEC, through PyNvVideoCodec.

FFmpeg still demuxes: files, streams, their time stamps and their limits are those of the CPU's decoder. Only packets are
decoded elsewhere. Frames come back as NV12 in host memory: the ring, the tracker, the cropper and the cascade's pyramid are
there, so that a frame on the device would have to be copied for each of them.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext

from ferengine.errors import MissingDependencyError, SourceError
from ferengine.pip_hint import install_extra
from ferengine.sources.base import CapturedFrame
from ferengine.sources.decoder import Decoder

_CODECS = {"h264": "H264", "hevc": "HEVC", "av1": "AV1", "vp8": "VP8", "vp9": "VP9"}
"""What NVDEC decodes, by FFmpeg's names, and PyNvVideoCodec's names for it (``cudaVideoCodec``)."""
_FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
"""NVDEC takes start codes, containers such as MP4 hold lengths."""
_FORMATS = ("yuv420p", "yuvj420p")
"""8 bits, 4:2:0: what NVDEC returns as NV12."""


def open_decoder(
    name: str, container: av.container.InputContainer, stream: av.VideoStream, threads: int, where: str
) -> Decoder:
    """The decoder that a setting names.

    Args:
        name: "cpu" or "nvdec".
        container: The open container; the caller closes it.
        stream: The stream of it that is decoded.
        threads: Threads on the CPU.
        where: What the source is called in messages.

    Raises:
        MissingDependencyError: As ``NvdecDecoder``.
        SourceError: As ``NvdecDecoder``.
    """
    if name == "cpu":
        return Decoder(container, stream, threads)
    return NvdecDecoder(container, stream, where)


class DecodedFrame(Protocol):
    """PyNvVideoCodec's frame: NV12, here in host memory until the next call of ``Decode``."""

    @property
    def shape(self) -> Sequence[int]:
        """1.5 times the height, and the width."""
        ...

    def framesize(self) -> int: ...
    def GetPtrToPlane(self, plane: int) -> int: ...  # noqa: N802 - its name
    def getPTS(self) -> int: ...  # noqa: N802


class VideoDecoder(Protocol):
    """PyNvVideoCodec's decoder."""

    def Decode(self, packet: Any) -> Sequence[DecodedFrame]: ...  # noqa: N802 - its name


class NvdecDecoder(Decoder):
    """As ``Decoder``, on the first GPU.

    What only FFmpeg's decoder knows of the frames, how they lie and what their colours mean, it says of the first one.
    NVDEC makes whole images of interlaced frames by itself.

    Args:
        container: The open container; the caller closes it.
        stream: The stream of it that is decoded.
        where: What the source is called in messages.

    Raises:
        MissingDependencyError: PyNvVideoCodec is not installed, or does not load.
        SourceError: The GPU does not decode such a video.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, where: str) -> None:
        super().__init__(container, stream)
        context = stream.codec_context
        use_cpu = "use --decoder cpu"
        if context.name not in _CODECS or context.pix_fmt not in _FORMATS:
            raise SourceError(
                f"{where}: --decoder nvdec takes {', '.join(_CODECS)} of 8 bits in 4:2:0, not {context.name} in "
                f"{context.pix_fmt}: {use_cpu}"
            )
        try:
            self._api: Any = importlib.import_module("PyNvVideoCodec")
        except ModuleNotFoundError:
            raise MissingDependencyError(
                f"--decoder nvdec needs PyNvVideoCodec: {install_extra('nvdec')}, or {use_cpu}"
            ) from None
        except Exception as error:  # it looks for the driver while it is imported, and has classes of its own
            raise MissingDependencyError(f"PyNvVideoCodec does not load ({_one_line(error)}): {use_cpu}") from None
        try:
            codec = getattr(self._api.cudaVideoCodec, _CODECS[context.name])
            self._gpu: VideoDecoder = self._api.CreateDecoder(gpuid=0, codec=codec, usedevicememory=False)
        except Exception as error:  # as above
            raise SourceError(f"{where}: the GPU does not decode it ({_one_line(error)}): {use_cpu}") from None
        self._filter = BitStreamFilterContext(_FILTERS[context.name], stream) if context.name in _FILTERS else None
        self._unit = stream.time_base
        self._like: av.VideoFrame | None = None
        self._waiting: list[av.VideoFrame] = []

    def capture(self, frame: av.VideoFrame, timestamp: float) -> CapturedFrame:
        """As ``Decoder.capture``, rotated as the first frame says: those of the GPU do not."""
        return self._converter.capture(frame, timestamp, self._like)

    def seek(self, stamp: int) -> None:
        """Go on at the key frame at or before ``stamp``. What lies in the decoder is dropped."""
        self._decode_on_gpu(b"", None)
        if self._filter is not None:
            self._filter.flush()
        super().seek(stamp)

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame | None]:
        if self._like is None:
            self._like = self._first_on_cpu(packet)
        over = not packet.size
        if over:
            found = self._decode_on_gpu(b"", None)
        else:
            parts = [packet] if self._filter is None else self._filter.filter(packet)  # which empties the packet
            found = [frame for part in parts for frame in self._decode_on_gpu(bytes(part), part.pts)]
        self._waiting += found
        if self._like is None and not over:
            return []
        ready, self._waiting = self._waiting, []
        for frame in ready:
            self._describe(frame)
        return list(ready)

    def _decode_on_gpu(self, data: bytes, pts: int | None) -> list[av.VideoFrame]:
        memory = ctypes.create_string_buffer(data, max(1, len(data)))  # lives as long as the call
        packet = self._api.PacketData()
        if data:
            packet.bsl_data, packet.bsl, packet.pts = ctypes.addressof(memory), len(data), pts or 0
        try:
            return [self._taken(frame) for frame in self._gpu.Decode(packet)]
        except Exception:  # as above; what is wrong with one packet need not be wrong with the next
            self.broken += 1
            return []

    def _taken(self, frame: DecodedFrame) -> av.VideoFrame:
        """A copy of a frame whose memory the decoder uses again."""
        rows, width = int(frame.shape[0]), int(frame.shape[1])
        memory = (ctypes.c_uint8 * frame.framesize()).from_address(frame.GetPtrToPlane(0))
        taken = av.VideoFrame.from_ndarray(np.ctypeslib.as_array(memory)[: rows * width].reshape(rows, width), format="nv12")
        taken.pts, taken.time_base = frame.getPTS(), self._unit
        return taken

    def _first_on_cpu(self, packet: av.Packet[Any]) -> av.VideoFrame | None:
        try:
            return next((frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)), None)
        except av.FFmpegError:
            return None

    def _describe(self, frame: av.VideoFrame) -> None:
        if self._like is not None:
            frame.colorspace, frame.color_range = self._like.colorspace, self._like.color_range


def _one_line(error: Exception) -> str:
    """The first paragraph of what PyNvVideoCodec says, without the steps for troubleshooting that follow."""
    return " ".join(str(error).partition("\n\n")[0].split())
