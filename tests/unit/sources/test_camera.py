"""Cameras: why one does not open, and reading one until it breaks."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources import camera
from ferengine.sources.camera import CameraSource, camera_problem


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
    [(0x00800000, False, "not a capture device"), (1, True, "busy"), (1, False, "no images that OpenCV can read")],
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
