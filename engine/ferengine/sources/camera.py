"""Cameras, through Video4Linux 2."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, Kept, SourceInfo
from ferengine.sources.clock import wall_clock
from ferengine.sources.opencv_log import quiet_opencv
from ferengine.vision import cv2

_FAILURES_ALLOWED = 3
_FALLBACK_FPS = 30.0

logger = logging.getLogger(__name__)

# linux/videodev2.h
_VIDIOC_QUERYCAP, _QUERYCAP_BYTES = 0x80685600, 104
_VIDIOC_REQBUFS = 0xC0145608
_CAN_CAPTURE = 0x00000001 | 0x00001000  # V4L2_CAP_VIDEO_CAPTURE, ..._MPLANE
_HAS_DEVICE_CAPS = 0x80000000


class CameraSource:
    """A camera, read through Video4Linux 2 by OpenCV.

    The driver keeps one frame, so that none is old. Time stamps are the time of day when the frame was handed
    over; they never run backward.

    Args:
        device: The number of a ``/dev/video<number>``, or a path such as ``/dev/v4l/by-id/...``, which stays with the
            camera wherever it is plugged in.
        width: Width to ask the camera for, in pixels.
        height: Height to ask it for, in pixels.
        fps: Frame rate to ask it for. The camera may round what it is asked for; a warning says what it gives instead.
        pixel_format: Pixel format to ask it for, four characters such as MJPG.
        timeout: Seconds without a frame after which the camera counts as broken; one read of OpenCV may itself take 10.
    """

    broken_frames = 0
    late_frames = 0
    left_out_frames = 0
    truncated = False
    replaced_stamps = 0

    def __init__(
        self,
        device: int | str,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        pixel_format: str | None = None,
        *,
        timeout: float = 5.0,
    ) -> None:
        self._device = device
        self._timeout = timeout
        fourcc = None if pixel_format is None else cv2.VideoWriter.fourcc(*pixel_format)
        self._requested = {
            cv2.CAP_PROP_FOURCC: fourcc,  # first, since the sizes depend on it
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FPS: fps,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> SourceInfo:
        """Open the camera.

        Raises:
            SourceError: If it cannot be opened; the message gives the device and the reason (``camera_error``).
        """
        with quiet_opencv():
            capture = cv2.VideoCapture(_resolved(self._device), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceError(camera_error(self._device))
        for prop, value in self._requested.items():
            if value is not None:
                capture.set(prop, value)
        self._capture = capture
        self._warn_if_refused(capture)
        fps = capture.get(cv2.CAP_PROP_FPS)
        return SourceInfo(
            width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=fps if 0 < fps <= 1000 else _FALLBACK_FPS,
            live=True,
            ends=False,
        )

    def read(self) -> CapturedFrame | None:
        """Wait for the next frame.

        Raises:
            SourceError: If the camera stops giving frames.
        """
        if self._capture is None:
            raise SourceError(f"the camera {_path(self._device)} was not opened")
        deadline = time.monotonic() + self._timeout
        for _ in range(_FAILURES_ALLOWED):
            if self._capture.grab():
                replaced, timestamp = wall_clock.replaced, wall_clock.stamp()
                self.replaced_stamps += wall_clock.replaced - replaced
                ok, image = self._capture.retrieve()
                if ok:
                    return CapturedFrame(_as_bgr(np.asarray(image, np.uint8)), timestamp)
            if time.monotonic() > deadline:
                break
        raise SourceError(camera_error(self._device, while_reading=True))

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Do nothing: a camera has no earlier frames."""

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None

    def _warn_if_refused(self, capture: cv2.VideoCapture) -> None:
        for prop, asked in self._requested.items():
            got = capture.get(prop)
            if asked is None or prop == cv2.CAP_PROP_BUFFERSIZE or round(got) == round(asked):
                continue
            name, show = _SHOWN[prop]
            logger.warning("the camera %s gives %s %s, not %s", _path(self._device), name, show(got), show(asked))


def _as_fourcc(code: float) -> str:
    return int(code).to_bytes(4, "little").decode("ascii", "replace")


_SHOWN: dict[int, tuple[str, Callable[[float], str]]] = {
    cv2.CAP_PROP_FOURCC: ("the pixel format", _as_fourcc),
    cv2.CAP_PROP_FRAME_WIDTH: ("the width", "{:g}".format),
    cv2.CAP_PROP_FRAME_HEIGHT: ("the height", "{:g}".format),
    cv2.CAP_PROP_FPS: ("the frame rate", "{:g}".format),
}


def _as_bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR also of infrared cameras, which give one channel."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8) if image.ndim == 2 else image


def _path(device: int | str, devices: Path = Path("/dev")) -> Path:
    return Path(device) if isinstance(device, str) else devices / f"video{device}"


def _resolved(device: int | str) -> int | str:
    """The number behind a link of /dev/v4l, resolved at each opening: it changes when the camera is replugged."""
    number = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(device)) if isinstance(device, str) else None
    return int(number[1]) if number else device


def camera_error(camera: int | str, *, while_reading: bool = False, devices: Path = Path("/dev")) -> str:
    """Say why a camera cannot be used, and what to do: it is absent, forbidden, busy, or no camera at all.

    Args:
        camera: Its number or path.
        while_reading: Whether it worked before.
        devices: The folder of the device files.
    """
    device = _path(camera, devices)
    if not device.exists():
        if while_reading:
            return f"the camera {device} was unplugged"
        others = sorted(devices.glob("video*"), key=lambda path: (len(path.name), path.name))
        names = ", ".join(str(path) for path in others)
        return f"there is no camera {device}: " + (f"there are {names}" if others else "no camera is connected")
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return _explain(str(device), error)
    try:
        card, can_capture = _query(descriptor)
        if not can_capture:
            return f"{device} ({card}) gives no images: it is not a capture device; try the next number"
        # Requesting no buffers changes nothing, but fails if another program owns the stream.
        fcntl.ioctl(descriptor, _VIDIOC_REQBUFS, bytearray(struct.pack("=5I", 0, 1, 1, 0, 0)))
    except OSError as error:
        return _explain(str(device), error)
    finally:
        os.close(descriptor)
    state = "gives no more frames" if while_reading else "opens, but gives no images that OpenCV can read"
    return f"the camera {device} ({card}) {state}: unplug it and plug it in again"


def _query(descriptor: int) -> tuple[str, bool]:
    """The name of the card, and whether the device captures video."""
    answer = bytearray(_QUERYCAP_BYTES)
    fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, answer)
    card = bytes(answer[16:48]).split(b"\0")[0].decode(errors="replace")
    whole, of_this_node = struct.unpack_from("=2I", answer, 84)
    return card, bool((of_this_node if whole & _HAS_DEVICE_CAPS else whole) & _CAN_CAPTURE)


def _explain(device: str, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"no permission to open the camera {device}: add your user to the group video "
            "(sudo usermod -aG video $USER), then log in again"
        )
    if error.errno == errno.EBUSY:
        return f"the camera {device} is busy: close the other program that uses it (fuser -v {device} names it)"
    if error.errno in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return f"{device} is not a camera"
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return f"the camera {device} was unplugged"
    return f"the camera {device} cannot be used: {error.strerror}"
