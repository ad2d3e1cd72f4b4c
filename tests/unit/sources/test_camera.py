"""Cameras: why one does not open, reading one until it breaks, and what its driver is asked for."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources import camera, open_source, parse_source
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.camera import CameraSource, camera_error
from ferengine.sources.clock import WallClock
from ferengine.sources.reconnect import Backoff, Disconnected, ReconnectingSource
from ferengine.vision import cv2


def test_absent_camera_lists_the_others(tmp_path: Path) -> None:
    assert camera_error(0, devices=tmp_path).endswith("video0: no camera is connected")
    for number in (10, 2):
        (tmp_path / f"video{number}").touch()
    problem = camera_error(0, devices=tmp_path)
    assert problem.endswith(f"there are {tmp_path}/video2, {tmp_path}/video10")
    assert "unplugged" in camera_error(0, while_reading=True, devices=tmp_path)


def test_camera_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    assert camera_error(0, devices=tmp_path) == f"{tmp_path}/video0 is not a camera"


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
    problem = camera_error(3, devices=tmp_path)
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
    problem = camera_error(0, devices=tmp_path)
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
    monkeypatch.setattr(camera, "wall_clock", WallClock(lambda: 1234.5))
    source = CameraSource(77, width=320, height=240)
    info = source.open()
    assert (info.width, info.height, info.fps, info.live, info.frames) == (320, 240, 30.0, True, None)
    for _ in range(2):
        captured = source.read()
        assert captured.timestamp == pytest.approx(1234.5)
        assert captured.image.shape == (4, 6, 3)
    source.skip(10)
    with pytest.raises(SourceError, match="/dev/video77 was unplugged"):
        source.read()
    source.close()
    source.close()
    with pytest.raises(SourceError, match="not opened"):
        source.read()


class Driver:
    """Stands in for cv2.VideoCapture: rounds sizes down to 640x480 and gives one channel."""

    opened: ClassVar[list[Any]] = []
    asked: ClassVar[list[int]] = []

    def __init__(self, device: Any, _backend: int) -> None:
        self.opened.append(device)
        yuyv = float(cv2.VideoWriter.fourcc(*"YUYV"))
        self._values = {cv2.CAP_PROP_FOURCC: yuyv, cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, prop: int, value: float) -> bool:
        self.asked.append(prop)
        limits = {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}
        if prop != cv2.CAP_PROP_FOURCC:
            self._values[prop] = min(value, limits.get(prop, value))
        return True

    def get(self, prop: int) -> float:
        return self._values.get(prop, 0.0)

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((480, 640), np.uint8)

    def release(self) -> None:
        """Nothing to release."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> type[Driver]:
    monkeypatch.setattr(camera.cv2, "VideoCapture", Driver)
    Driver.opened.clear()
    Driver.asked.clear()
    return Driver


def test_requests_reach_the_driver_with_the_format_first(driver: type[Driver], caplog: pytest.LogCaptureFixture) -> None:
    spec = parse_source("3", size="1280x720", fps=30, pixel_format="MJPG")
    source = open_source(spec)
    info = source.open()
    assert driver.opened == [3]
    assert driver.asked[0] == cv2.CAP_PROP_FOURCC
    assert (info.width, info.height, info.fps, info.ends) == (640, 480, 30, False)
    messages = [record.message for record in caplog.records]
    assert messages == [
        "the camera /dev/video3 gives the pixel format YUYV, not MJPG",
        "the camera /dev/video3 gives the width 640, not 1280",
        "the camera /dev/video3 gives the height 480, not 720",
    ]


@pytest.mark.usefixtures("driver")
def test_one_channel_becomes_three_and_is_rotated() -> None:
    source = open_source(parse_source("0", rotate=90))
    assert (source.open().width, source.open().height) == (480, 640)
    frame = source.read()
    assert frame is not None
    assert frame.image.shape == (640, 480, 3)


def test_a_link_is_followed_each_time_it_is_opened(driver: type[Driver], monkeypatch: pytest.MonkeyPatch) -> None:
    targets = iter(["/dev/video4", "/dev/video6", "/dev/other"])
    monkeypatch.setattr(camera.os.path, "realpath", lambda _path: next(targets))
    link = "/dev/v4l/by-id/usb-cam"
    for _ in range(3):
        CameraSource(link).open()
    assert driver.opened == [4, 6, link]


def test_a_camera_that_is_unplugged_is_opened_again(driver: type[Driver], monkeypatch: pytest.MonkeyPatch) -> None:
    grabs = iter([True, False, False, False, True, True])
    monkeypatch.setattr(driver, "grab", lambda _self: next(grabs))
    stopped = threading.Event()
    backoff = Backoff(draw=lambda low, high: 0.0)
    items = iter(ReconnectingSource(lambda: open_source(parse_source("77")), "disconnected", stopped, backoff=backoff))
    kinds = [type(item) for _, item in zip(range(6), items, strict=False)]
    assert kinds == [SourceInfo, CapturedFrame, Disconnected, SourceInfo, CapturedFrame, CapturedFrame]
    assert driver.opened == [77, 77]


def test_an_absent_link_is_named(tmp_path: Path) -> None:
    link = "/dev/v4l/by-id/usb-cam-that-is-not-there"
    assert camera_error(link, devices=tmp_path).startswith(f"there is no camera {link}")
    assert camera_error(link, while_reading=True) == f"the camera {link} was unplugged"
    with pytest.raises(SourceError, match="was not opened"):
        CameraSource(link).read()
