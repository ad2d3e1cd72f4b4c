"""Video files: every frame once, loops, skipping, and damage."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources.video import VideoFileSource

FRAMES = 24


def encode(
    path: Path, codec: str = "libx264", pix_fmt: str = "yuv420p", frames: int = FRAMES, pts: Callable[[int], int] = int
) -> Path:
    """A video of 64x48 at 10 frames/s whose frame i is grey of brightness about 10 i."""
    options = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.gop_size = 4
        noise = np.random.default_rng(0).integers(0, 8, (frames, 48, 64, 3))
        for index in range(frames):
            image = (10 * index + noise[index]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = pts(index)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "clip.mp4")


def read_all(source: VideoFileSource) -> list[tuple[float, float]]:
    """Mean brightness and time stamp of every frame."""
    frames = []
    while (captured := source.read()) is not None:
        frames.append((float(captured.image.mean()), captured.timestamp))
    return frames


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "mpeg4", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "rgb8"),
        ("with: colon.mp4", "libx264", "yuv420p"),
    ],
)
def test_every_frame_once_in_order(name: str, codec: str, pix_fmt: str, tmp_path: Path) -> None:
    source = VideoFileSource(encode(tmp_path / name, codec, pix_fmt))
    info = source.open()
    assert (info.width, info.height, info.live) == (64, 48, False)
    assert info.frames == (FRAMES if not name.endswith("mkv") else None)  # only an index says it
    assert info.seconds == pytest.approx(FRAMES / 10, abs=0.1)
    assert info.fps == pytest.approx(10)
    frames = read_all(source)
    assert [light for light, _ in frames] == pytest.approx([10 * i + 3.5 for i in range(FRAMES)], abs=20)
    assert all(before[0] < after[0] for before, after in pairwise(frames))
    assert [stamp for _, stamp in frames] == pytest.approx([i / 10 for i in range(FRAMES)], abs=1e-3)
    assert source.read() is None
    assert source.broken_frames == 0


def test_time_stamps_are_the_files_own(tmp_path: Path) -> None:
    source = VideoFileSource(encode(tmp_path / "vfr.mp4", pts=lambda index: index + index**2))
    source.open()
    stamps = [stamp for _, stamp in read_all(source)]
    assert stamps == pytest.approx([(i + i**2) / 10 for i in range(FRAMES)], abs=1e-3)
    assert source.broken_frames == 0


def test_loops_continue_the_clock(video: Path) -> None:
    source = VideoFileSource(video, loop=3)
    assert source.open().frames == 3 * FRAMES
    frames = read_all(source)
    assert [stamp for _, stamp in frames] == pytest.approx([i / 10 for i in range(3 * FRAMES)], abs=1e-3)
    assert [light for light, _ in frames[FRAMES:]] == [light for light, _ in frames[:-FRAMES]]


def test_loop_for_ever(video: Path) -> None:
    source = VideoFileSource(video, loop=0)
    assert source.open().frames is None
    source.skip(5 * FRAMES + 1)
    assert source.read().timestamp == pytest.approx((5 * FRAMES + 1) / 10, abs=1e-3)
    source.close()
    source.close()
    assert source.read() is None


@pytest.mark.parametrize("skip", [0, 1, 7, FRAMES - 1, FRAMES, FRAMES + 5, 2 * FRAMES, 99])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_skip_equals_reading(video: Path, skip: int, before: int) -> None:
    source, reference = VideoFileSource(video, loop=2), VideoFileSource(video, loop=2)
    source.open()
    reference.open()
    for _ in range(before):
        source.read()
    source.skip(skip)
    assert read_all(source) == read_all(reference)[before + skip :]


def test_cut_off_file_ends_early_and_counts(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 7 // 10])
    source = VideoFileSource(path)
    source.open()
    delivered = len(read_all(source))
    assert 0 < delivered < FRAMES
    assert source.broken_frames == FRAMES - delivered


def test_damage_in_the_middle_is_passed_over(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 6] = random.Random(0).randbytes(len(data) // 6)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    source = VideoFileSource(path)
    source.open()
    frames = read_all(source)
    assert frames[-1][1] == pytest.approx((FRAMES - 1) / 10, abs=1e-3)
    assert source.broken_frames == FRAMES - len(frames) > 0
    assert capfd.readouterr().err == ""


def test_unusable_files_say_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("This is no video at all.\n" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, reason in (
        (text, "not a video"),
        (empty, "is empty"),
        (tmp_path, "is a folder"),
        (tmp_path / "absent.mp4", "there is no file"),
        (text / "x.mp4", "cannot be read"),
    ):
        with pytest.raises(SourceError, match=reason) as caught:
            VideoFileSource(path).open()
        assert str(path) in str(caught.value)
    assert capfd.readouterr().err == ""


def test_unreadable_file(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SourceError, match="permission denied"):
        VideoFileSource(video).open()


@pytest.mark.parametrize(
    ("name", "codec", "pts"),
    [
        ("a.mp4", "libx264", int),
        ("a.mkv", "libx264", lambda index: index + index // 7),
        ("a.ts", "libx264", int),
        ("a.webm", "libvpx", int),
        ("a.avi", "mpeg4", int),
        ("a.gif", "gif", int),
    ],
)
@pytest.mark.parametrize("skip", [100, 150, 181, 239, 240, 395, 500])
def test_seeking_equals_reading(name: str, codec: str, pts: Callable[[int], int], skip: int, tmp_path: Path) -> None:
    path = encode(tmp_path / name, codec, "rgb8" if codec == "gif" else "yuv420p", frames=200, pts=pts)
    source, reference = VideoFileSource(path, loop=2), VideoFileSource(path, loop=2)
    source.open()
    reference.open()
    source.skip(skip)
    expected = read_all(reference)[skip:]
    found = read_all(source)
    assert [light for light, _ in found] == [light for light, _ in expected]
    assert [stamp for _, stamp in found] == pytest.approx([stamp for _, stamp in expected])
    assert source.broken_frames == reference.broken_frames == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes have names only there")
def test_pipes_are_refused_without_opening_them(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="is a pipe"):
        VideoFileSource(path).open()


def test_paths_that_the_system_refuses(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 300), Path("/dev/null"), tmp_path / "zero\0byte"):
        with pytest.raises(SourceError) as caught:
            VideoFileSource(path).open()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_metadata_and_name_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mkv")
    with av.open(str(encode(tmp_path / "clip.mkv"))) as original, av.open(str(tmp_path / "titled.mkv"), "w") as titled:
        titled.metadata["title"] = "TITLE"
        stream = titled.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.size:
                packet.stream = stream
                titled.mux(packet)
    path.write_bytes((tmp_path / "titled.mkv").read_bytes().replace(b"TITLE", b"Kam\xe9r"))
    source = VideoFileSource(path)
    source.open()
    assert len(read_all(source)) == FRAMES


def test_time_stamps_that_repeat_are_not_used_to_seek(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    encode(path, frames=200)
    source, reference = VideoFileSource(path), VideoFileSource(path)
    source.open()
    reference.open()
    source.skip(150)
    assert read_all(source) == read_all(reference)[150:]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4")])
@pytest.mark.parametrize("skip", [110, 180])
def test_seeking_behind_damage_equals_reading(name: str, codec: str, skip: int, tmp_path: Path) -> None:
    path = encode(tmp_path / name, codec, frames=200)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        damaged = [(packet.pos, packet.size) for packet in packets[40:43]]
    data = bytearray(path.read_bytes())
    for position, size in damaged:
        assert position is not None
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    reference = VideoFileSource(path)
    reference.open()
    expected = read_all(reference)
    assert reference.broken_frames > 0
    source = VideoFileSource(path)
    source.open()
    source.skip(skip, expected[skip - 1][1])
    assert [stamp for _, stamp in read_all(source)] == pytest.approx([stamp for _, stamp in expected[skip:]])
    assert source.broken_frames == reference.broken_frames
