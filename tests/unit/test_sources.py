"""Video files, cameras, pacing and the naming of sources."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.errors import SourceError, UsageError
from ferengine.sources import SourceSpec, camera, open_source, parse_source, unique_names
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.camera import CameraSource, camera_problem
from ferengine.sources.demo import DemoSource
from ferengine.sources.paced import PacedSource
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
            picture = (10 * index + noise[index]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
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
    assert (info.width, info.height, info.live, info.frames) == (64, 48, False, FRAMES)
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


def test_absent_camera_lists_the_others(tmp_path: Path) -> None:
    assert camera_problem(0, devices=tmp_path).endswith("video0: no camera is connected")
    for number in (10, 2):
        (tmp_path / f"video{number}").touch()
    problem = camera_problem(0, devices=tmp_path)
    assert problem.endswith(f"there are {tmp_path}/video2, {tmp_path}/video10")
    assert "unplugged" in camera_problem(0, while_reading=True, devices=tmp_path)


def test_camera_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    assert camera_problem(0, devices=tmp_path) == f"{tmp_path}/video0 is not a camera"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "sudo usermod -aG video $USER"),
        (errno.EBUSY, "busy"),
        (errno.ENODEV, "unplugged"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_camera_that_does_not_open(number: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    (tmp_path / "video3").touch()
    monkeypatch.setattr(camera.os, "open", fail)
    problem = camera_problem(3, devices=tmp_path)
    assert reason in problem
    assert f"{tmp_path}/video3" in problem


@pytest.mark.parametrize(
    ("capabilities", "streaming_elsewhere", "reason"),
    [(0x00800000, False, "not a capture device"), (1, True, "busy"), (1, False, "no pictures that OpenCV can read")],
)
def test_camera_that_opens_but_gives_nothing(
    capabilities: int, streaming_elsewhere: bool, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake driver that answers QUERYCAP and REQBUFS as <linux/videodev2.h> lays them out."""

    def ioctl(_descriptor: int, request: int, argument: bytearray) -> int:
        if request == 0x80685600:
            struct.pack_into("=16s32s32s3I", argument, 0, b"uvcvideo", b"Fake Cam", b"usb", 1, 0x80000001, capabilities)
        elif streaming_elsewhere:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return 0

    (tmp_path / "video0").touch()
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    problem = camera_problem(0, devices=tmp_path)
    assert reason in problem
    assert streaming_elsewhere or "(Fake Cam)" in problem


def test_opening_an_absent_camera(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="there is no camera /dev/video77"):
        CameraSource(77).open()
    assert capfd.readouterr().err == ""


class FakeCapture:
    """Stands in for cv2.VideoCapture: a camera that gives ``frames`` frames and then fails."""

    frames = 2

    def __init__(self, *_: object) -> None:
        self.wishes: dict[int, float] = {}
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, prop: int, value: float) -> bool:
        self.wishes[prop] = value
        return True

    def get(self, prop: int) -> float:
        return self.wishes.get(prop, 0.0)

    def grab(self) -> bool:
        self.frames -= 1
        return self.frames >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 6, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def test_camera_reads_until_it_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(camera.time, "time", lambda: 1234.5)
    source = CameraSource(77, width=320, height=240)
    info = source.open()
    assert (info.width, info.height, info.fps, info.live, info.frames) == (320, 240, 30.0, True, None)
    for _ in range(2):
        captured = source.read()
        assert captured.timestamp == 1234.5
        assert captured.image.shape == (4, 6, 3)
    source.skip(10)
    with pytest.raises(SourceError, match="/dev/video77 was unplugged"):
        source.read()
    source.close()
    source.close()
    with pytest.raises(SourceError, match="not opened"):
        source.read()


class FakeTime:
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Stamped:
    """A source whose frames carry nothing but the given time stamps."""

    def __init__(self, stamps: list[float], fps: float = 10.0) -> None:
        self._stamps = iter(stamps)
        self._fps = fps

    def open(self) -> SourceInfo:
        return SourceInfo(1, 1, self._fps, live=False)

    def read(self) -> CapturedFrame | None:
        stamp = next(self._stamps, None)
        return None if stamp is None else CapturedFrame(np.zeros((1, 1, 3), np.uint8), stamp)

    def skip(self, frames: int) -> None:
        for _ in range(frames):
            next(self._stamps, None)

    def close(self) -> None:
        pass


def paced(stamps: list[float]) -> tuple[PacedSource, FakeTime]:
    time = FakeTime()
    source = PacedSource(Stamped(stamps), clock=lambda: time.now, sleep=time.sleep)
    assert source.open().live
    return source, time


def test_pacing_does_not_drift() -> None:
    source, time = paced([i / 10 for i in range(50)])
    for index in range(50):
        captured = source.read()
        assert captured.timestamp == pytest.approx(index / 10)
        assert time.now == pytest.approx(50 + index / 10)
        time.now += 0.07  # the caller's own work
    assert source.read() is None
    assert source.lost == 0


def test_late_caller_loses_frames() -> None:
    source, time = paced([i / 10 for i in range(50)])
    source.read()
    time.now += 1.05
    assert source.read().timestamp == pytest.approx(1.0)
    assert source.lost == 9
    assert source.read().timestamp == pytest.approx(1.1)
    assert time.now == pytest.approx(51.1)
    time.now += 100
    assert source.read() is not None
    assert source.read() is None


def test_read_blocks_no_longer_than_a_period_and_50_ms() -> None:
    source, time = paced([0.0, 5.0, 5.1, 9.0])
    for _ in range(4):
        source.read()
    assert time.sleeps == pytest.approx([0.15, 0.1, 0.15])


def test_paced_demo_keeps_media_time_and_can_be_resumed() -> None:
    time = FakeTime()
    source = PacedSource(DemoSource(64, 64, fps=20.0), clock=lambda: time.now, sleep=time.sleep)
    source.open()
    source.skip(40)
    assert source.read().timestamp == pytest.approx(2.0)
    source.close()


@pytest.mark.parametrize(
    ("text", "kind", "value", "name"),
    [
        ("0", "camera", "0", "camera0"),
        ("12", "camera", "12", "camera12"),
        ("demo", "demo", "stroll", "demo"),
        ("demo:crossing", "demo", "crossing", "demo"),
        ("./demo", "file", "./demo", "demo"),
        ("/films/woman2.mp4", "file", "/films/woman2.mp4", "woman2"),
        ("clip:1.mp4", "file", "clip:1.mp4", "clip:1"),
    ],
)
def test_parse_source(text: str, kind: str, value: str, name: str) -> None:
    spec = parse_source(text, loop=2, pace="native")
    assert spec == SourceSpec(kind, value, name, loop=2, pace="native")
    assert SourceSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_sources_that_make_no_sense() -> None:
    for text in ("", "demo:sleep"):
        with pytest.raises(UsageError):
            parse_source(text)
    with pytest.raises(UsageError):
        parse_source("demo", loop=-1)
    with pytest.raises(UsageError):
        parse_source("demo", pace="slow")


def test_open_source(video: Path) -> None:
    assert isinstance(open_source(parse_source("3")), CameraSource)
    assert isinstance(open_source(parse_source(str(video))), VideoFileSource)
    native = open_source(parse_source(str(video), loop=2, pace="native"))
    assert isinstance(native, PacedSource)
    assert native.open().frames == 2 * FRAMES
    demo = open_source(parse_source("demo:empty", loop=2))
    assert demo.open().frames == 1200
    assert open_source(parse_source("demo", loop=0)).open().frames is None


def test_unique_names() -> None:
    names = ["woman2", "demo", "woman2", "woman2", "woman2-2", "demo"]
    specs = unique_names([SourceSpec("file", "x", name) for name in names])
    assert [spec.name for spec in specs] == ["woman2", "demo", "woman2-3", "woman2-4", "woman2-2", "demo-2"]
