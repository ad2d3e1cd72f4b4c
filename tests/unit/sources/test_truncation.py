"""Files that were cut off, by container; complete ones and recordings that are still being written are not taken for such."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.sources.video import VideoFileSource

FRAMES = 40

KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a.mkv": ("libx264", "yuv420p", {}),
    "a.webm": ("libvpx", "yuv420p", {}),
    "live.mkv": ("libx264", "yuv420p", {"live": "1"}),
    "a.flv": ("libx264", "yuv420p", {}),
    "a.ts": ("libx264", "yuv420p", {}),
    "a.m2ts": ("libx264", "yuv420p", {"mpegts_m2ts_mode": "1"}),
    "a.mp4": ("libx264", "yuv420p", {"movflags": "faststart"}),
    "fragmented.mp4": ("libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "a.avi": ("mpeg4", "yuv420p", {}),
    "a.mpg": ("mpeg2video", "yuv420p", {}),
    "a.wmv": ("wmv2", "yuv420p", {}),
    "a.ivf": ("libvpx", "yuv420p", {}),
    "a.ogv": ("libvpx", "yuv420p", {}),
    "a.gif": ("gif", "rgb8", {}),
    "a.apng": ("apng", "rgb24", {}),
    "a.y4m": ("wrapped_avframe", "yuv420p", {}),
    "a.mjpeg": ("mjpeg", "yuvj420p", {}),
    "a.h264": ("libx264", "yuv420p", {}),
    "a.nut": ("libx264", "yuv420p", {}),
    "a.swf": ("mjpeg", "yuvj420p", {}),
    "a.mxf": ("mpeg2video", "yuv420p", {}),
    "a.obu": ("libsvtav1", "yuv420p", {}),
}
DECLARED = {"a.mkv", "a.webm", "a.mp4", "a.avi", "a.wmv", "a.swf", "a.mxf"}
"""Those whose header says how long they are: what is missing is missing even if somebody still writes to them."""

Make = Callable[[str], bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The bytes of a file of each kind."""
    folder = tmp_path_factory.mktemp("whole")

    def make(name: str) -> bytes:
        path = folder / name
        codec, pix_fmt, options = KINDS[name]
        if path.exists():
            return path.read_bytes()
        form = {".m2ts": "mpegts", ".y4m": "yuv4mpegpipe"}.get(path.suffix)
        with av.open(str(path), "w", format=form, options=options) as container:
            stream = container.add_stream(codec, rate=25 if path.suffix == ".mxf" else 10)
            stream.width, stream.height, stream.pix_fmt = 96, 80, pix_fmt
            stream.codec_context.gop_size = 5
            patches = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
            for index in range(FRAMES):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(patches, 3 * index, axis=1), format="bgr24")))
            container.mux(stream.encode(None))
        return path.read_bytes()

    return make


def read_to_end(path: Path) -> VideoFileSource:
    source = VideoFileSource(path)
    source.open()
    while source.read() is not None:
        pass
    return source


@pytest.mark.parametrize("name", KINDS)
def test_whole_file_is_not_called_cut_off(name: str, whole: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / name
    path.write_bytes(whole(name))
    source = read_to_end(path)
    assert (source.truncated, source.broken_frames) == (False, 0)
    assert caplog.records == []


@pytest.mark.parametrize("name", KINDS)
def test_cut_off_file_is_recognised(name: str, whole: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = whole(name)
    for eighths in (4, 6, 7) if name != "a.h264" else (4, 6):  # which does not always show it
        path = tmp_path / f"{eighths}-{name}"
        size = len(data) * eighths // 8
        path.write_bytes(data[: size | 1])  # odd, so not at the end of a packet of MPEG
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert read_to_end(path).truncated
        assert sum(f"{path.name} is cut off" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("left", [2, 4, 8])
def test_a_last_frame_of_which_too_little_is_left_to_decode(left: int, whole: Make, tmp_path: Path) -> None:
    """What is missing of a frame is concealed; a frame of a few bytes is refused."""
    data, path = whole("a.h264"), tmp_path / "a.h264"
    slice_of_last = data.rindex(b"\x00\x00\x01") + 3
    path.write_bytes(data[: slice_of_last + left])
    source = read_to_end(path)
    assert (source.truncated, source.broken_frames) == (True, 1)


@pytest.mark.parametrize("name", ["live.mkv", "a.flv", "a.ts", "fragmented.mp4", "a.mkv", "a.mp4", "a.h264", "a.nut", "a.swf"])
def test_file_that_is_still_written(name: str, whole: Make, tmp_path: Path) -> None:
    data = whole(name)
    path = tmp_path / name
    with path.open("wb") as recorder:
        recorder.write(data[: len(data) * 7 // 8 | 1])
        recorder.flush()
        assert read_to_end(path).truncated == (name in DECLARED)


def test_file_that_grows_while_it_is_read(whole: Make, tmp_path: Path) -> None:
    data = whole("a.ts")
    path = tmp_path / "a.ts"
    path.write_bytes(data[: len(data) // 2 | 1])
    source = VideoFileSource(path)
    source.open()
    path.write_bytes(data[: len(data) * 3 // 4 | 1])
    while source.read() is not None:
        pass
    assert not source.truncated


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.avi", "a.flv"])
def test_bytes_behind_the_end(name: str, whole: Make, tmp_path: Path) -> None:
    """A signature or padding that a program has appended. An FLV, whose end is known only by its last bytes, seems cut off."""
    for number, tail in enumerate((bytes(1000), b"appended by another program")):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(whole(name) + tail)
        assert read_to_end(path).truncated == (name == "a.flv")


def test_fragment_whose_header_is_cut_off(whole: Make, tmp_path: Path) -> None:
    """FFmpeg refuses such a file; all fragments before that one are read, and resumed in."""
    data = whole("fragmented.mp4")
    last = data.rfind(b"moof") - 4
    before = None
    for size in (last, last + 8, last + 40, last + 100):
        path = tmp_path / f"with, comma {size}.mp4"
        path.write_bytes(data[:size])
        source, stamps = VideoFileSource(path), []
        source.open()
        while (frame := source.read()) is not None:
            stamps.append(frame.timestamp)
        assert source.truncated == (size > last)
        assert before is None or stamps == before
        before = stamps


def test_cut_off_file_warns_once_in_a_loop(whole: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(whole("a.mkv")[:-1000])
    source = VideoFileSource(path, loop=3)
    source.open()
    with caplog.at_level(logging.WARNING):
        while source.read() is not None:
            pass
    assert [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()] == [
        "a.mkv is cut off: 1,000 bytes that it declares are missing"
    ]


def test_digital_video_that_is_cut_off_within_a_frame(tmp_path: Path) -> None:
    for size, pix_fmt in (((720, 480), "yuv411p"), ((720, 576), "yuv420p")):
        path = tmp_path / "a.dv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("dvvideo", rate=Fraction(30000, 1001) if size[1] == 480 else 25)
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame(*size, pix_fmt)))
            container.mux(stream.encode(None))
        assert not read_to_end(path).truncated
        path.write_bytes(path.read_bytes()[:-1000])
        assert read_to_end(path).truncated


def test_compressed_flash_video_declares_what_is_missing(whole: Make, tmp_path: Path) -> None:
    plain = whole("a.swf")
    compressed = b"CWS" + plain[3:8] + zlib.compress(plain[8:])
    for number, (data, cut_off) in enumerate(((compressed, False), (compressed[:-2000], True))):
        path = tmp_path / f"{number}.swf"
        path.write_bytes(data)
        assert read_to_end(path).truncated == cut_off


def test_transport_stream_that_ends_between_two_packets(whole: Make, tmp_path: Path) -> None:
    """Its last frame, a key frame that takes many packets, shows that a part is missing."""
    data = whole("a.ts")
    with av.open(io.BytesIO(data)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe and packet.pos is not None]
    path = tmp_path / "a.ts"
    for place, cut_off in ((places[-1] + 5 * 188, True), (len(data), False)):
        path.write_bytes(data[:place])
        assert read_to_end(path).truncated == cut_off
