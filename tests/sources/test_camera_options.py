"""What a camera is asked for, with a driver that gives what it likes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources import camera, open_source, parse_source
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.camera import CameraSource, camera_problem
from ferengine.sources.reconnect import Backoff, FollowedSource, Lost
from ferengine.vision import cv2


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


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> type[Driver]:
    monkeypatch.setattr(camera.cv2, "VideoCapture", Driver)
    Driver.opened.clear()
    Driver.asked.clear()
    return Driver


def test_wishes_reach_the_driver_the_format_first(driver: type[Driver], caplog: pytest.LogCaptureFixture) -> None:
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


def test_one_channel_becomes_three_and_is_turned() -> None:
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
    items = iter(FollowedSource(lambda: open_source(parse_source("77")), "lost", stopped, backoff=backoff))
    kinds = [type(item) for _, item in zip(range(6), items, strict=False)]
    assert kinds == [SourceInfo, CapturedFrame, Lost, SourceInfo, CapturedFrame, CapturedFrame]
    assert driver.opened == [77, 77]


def test_an_absent_link_is_named(tmp_path: Path) -> None:
    link = "/dev/v4l/by-id/usb-cam-that-is-not-there"
    assert camera_problem(link, devices=tmp_path).startswith(f"there is no camera {link}")
    assert camera_problem(link, while_reading=True) == f"the camera {link} was unplugged"
    with pytest.raises(SourceError, match="was not opened"):
        CameraSource(link).read()
