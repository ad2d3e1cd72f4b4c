"""The GPU's decoder against a PyNvVideoCodec that decodes on the CPU, as late as the real one and in memory it uses again."""

from __future__ import annotations

import ctypes
import re
import sys
from collections import deque
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, SourceError, UsageError
from ferengine.pip_hint import install_extra
from ferengine.sources import SourceSpec, open_source
from ferengine.sources.video import VideoFileSource

_LATENCY = 4
_FRAMES = 30


class FakeFrame:
    """NV12 in host memory."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self.planes: NDArray[np.uint8] = np.ascontiguousarray(frame.reformat(format="nv12").to_ndarray())
        self.shape = self.planes.shape
        self.pts = frame.pts or 0

    def framesize(self) -> int:
        return self.planes.size

    def GetPtrToPlane(self, plane: int) -> int:  # noqa: N802
        assert plane == 0
        return self.planes.ctypes.data

    def getPTS(self) -> int:  # noqa: N802
        return self.pts


class FakeDecoder:
    """Takes Annex B alone, gives frames four packets late, and spoils those of the call before."""

    def __init__(self, codec: str) -> None:
        self.context = av.CodecContext.create(codec, "r")
        self.late: deque[FakeFrame] = deque()
        self.given: list[FakeFrame] = []

    def Decode(self, packet: Any) -> list[FakeFrame]:  # noqa: N802
        for frame in self.given:
            frame.planes[:] = 0xEE
        data = ctypes.string_at(packet.bsl_data, packet.bsl) if packet.bsl else b""
        if data == b"broken":
            raise RuntimeError("a damaged frame")
        if data:
            assert data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1", "no start code"
            sent = av.Packet(data)
            sent.pts = packet.pts
            self.late += [FakeFrame(frame) for frame in self.context.decode(sent)]
        else:
            self.late += [FakeFrame(frame) for frame in self.context.decode(None)]
            self.context = av.CodecContext.create("h264", "r")
        self.given = [self.late.popleft() for _ in range(max(0, len(self.late) - (_LATENCY if data else 0)))]
        return self.given


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("PyNvVideoCodec")
    module.cudaVideoCodec = SimpleNamespace(H264="h264", HEVC="hevc", AV1="av1", VP8="vp8", VP9="vp9")
    module.PacketData = lambda: SimpleNamespace(bsl_data=0, bsl=0, pts=0)
    module.made = []

    def create(*, gpuid: int, codec: str, usedevicememory: bool) -> FakeDecoder:
        assert (gpuid, usedevicememory) == (0, False)
        module.made.append(FakeDecoder(codec))
        return module.made[-1]  # type: ignore[no-any-return]

    module.CreateDecoder = create
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    return module


def write_video(path: Path, *, pixels: str = "yuv420p", codec: str = "libx264") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "2", "g": "8", "crf": "18"} if codec == "libx264" else {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, pixels, Fraction(1, 25)
        for number in range(_FRAMES):
            image = np.zeros((48, 64, 3), np.uint8)
            image[:, :, number % 3] = np.linspace(20 + 5 * number, 60 + 5 * number, 64).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def read_all(source: VideoFileSource, skip: int = 0) -> tuple[NDArray[np.uint8], list[float]]:
    source.open()
    if skip:
        source.skip(skip)
    frames = [(frame.image.copy(), frame.timestamp) for frame in iter(source.read, None)]
    source.close()
    return np.array([image for image, _ in frames]), [timestamp for _, timestamp in frames]


@pytest.mark.parametrize(("ending", "loop", "skip"), [("mp4", 1, 0), ("mp4", 2, 0), ("ts", 1, 0), ("mkv", 1, 11)])
def test_frames_are_those_of_the_cpus_decoder(tmp_path: Path, api: Any, ending: str, loop: int, skip: int) -> None:
    path = write_video(tmp_path / f"a.{ending}")
    expected, stamps = read_all(VideoFileSource(path, loop), skip)
    found, found_stamps = read_all(VideoFileSource(path, loop, decoder="nvdec"), skip)
    assert len(api.made) == loop
    assert found_stamps == stamps
    assert len(found) == _FRAMES * loop - skip
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 6  # another library converts NV12


def test_a_resumed_file_seeks_and_goes_on_with_the_right_frame(
    tmp_path: Path, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferengine.sources.video._SEEK_FROM", 5)
    path = write_video(tmp_path / "a.mp4")
    expected, stamps = read_all(VideoFileSource(path), 20)
    found, found_stamps = read_all(VideoFileSource(path, decoder="nvdec"), 20)
    assert found_stamps == stamps
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 6


def test_a_packet_that_the_gpu_refuses_is_counted(tmp_path: Path, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.ts")
    calls = iter(range(1000))
    decode = FakeDecoder.Decode

    def sometimes(self: FakeDecoder, packet: Any) -> list[FakeFrame]:
        if next(calls) == 20 and packet.bsl:
            raise RuntimeError("a damaged frame")
        return decode(self, packet)

    monkeypatch.setattr(FakeDecoder, "Decode", sometimes)
    source = VideoFileSource(path, decoder="nvdec")
    frames, _ = read_all(source)
    assert source.broken_frames >= 1
    assert len(frames) < _FRAMES


def test_what_the_gpu_cannot_decode_is_refused_with_the_way_out(tmp_path: Path, api: Any) -> None:
    path = write_video(tmp_path / "a.avi", codec="mpeg4")
    with pytest.raises(SourceError, match=r"not mpeg4 in yuv420p: use --decoder cpu"):
        VideoFileSource(path, decoder="nvdec").open()
    path = write_video(tmp_path / "b.mp4", pixels="yuv444p")
    with pytest.raises(SourceError, match=r"not h264 in yuv444p"):
        VideoFileSource(path, decoder="nvdec").open()

    def broken(**settings: object) -> None:
        raise RuntimeError("no NVDEC")

    api.CreateDecoder = broken
    with pytest.raises(SourceError, match=r"the GPU does not decode it \(no NVDEC\): use --decoder cpu"):
        VideoFileSource(write_video(tmp_path / "c.mp4"), decoder="nvdec").open()


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    with pytest.raises(MissingDependencyError, match=re.escape(install_extra("nvdec"))):
        VideoFileSource(write_video(tmp_path / "a.mp4"), decoder="nvdec").open()


def test_what_the_package_says_becomes_one_line(tmp_path: Path, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a driver it says a page."""
    path = write_video(tmp_path / "a.mp4")
    page = "PyNvDecoder : \nError code : 999\nError Type : no library\n\n=== TROUBLESHOOTING STEPS ===\n\n1. Docker?"

    def broken(**settings: object) -> None:
        raise RuntimeError(page)

    api.CreateDecoder = broken
    with pytest.raises(SourceError, match=r"it \(PyNvDecoder : Error code : 999 Error Type : no library\): use --decoder cpu$"):
        VideoFileSource(path, decoder="nvdec").open()

    def missing(name: str) -> None:
        raise RuntimeError(page)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"does not load \(PyNvDecoder .* no library\): use --decoder cpu$"):
        VideoFileSource(path, decoder="nvdec").open()


def test_the_setting_travels_with_the_source(tmp_path: Path, api: Any) -> None:
    spec = SourceSpec("file", str(write_video(tmp_path / "a.mp4")), "a", decoder="nvdec")
    source = open_source(SourceSpec.from_dict(spec.to_dict()))
    source.open()
    source.close()
    assert len(api.made) == 1
    with pytest.raises(UsageError, match="decoder"):
        SourceSpec("file", "a.mp4", "a", decoder="gpu")
