"""Asks Video4Linux 2 which cameras there are and what they support, without opening a stream.

Requests and structures are those of linux/videodev2.h (64-bit alignment); see
https://docs.kernel.org/userspace-api/media/v4l/user-func.html.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

Ioctl: TypeAlias = Callable[[int, int, bytearray], Any]

QUERYCAP = 0x80685600
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
ENUM_FRAMEINTERVALS = 0xC034564B
_BYTES = {QUERYCAP: 104, ENUM_FMT: 64, ENUM_FRAMESIZES: 44, ENUM_FRAMEINTERVALS: 52}

_CAPTURE = 0x00000001
_CAPTURE_MPLANE = 0x00001000
_HAS_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
_MAX_ENTRIES = 256
"""Of one list: a driver that never reports its end must not hang the caller."""


@dataclass(frozen=True, slots=True)
class FrameSize:
    """A frame size and its frame rates; the largest and fastest if a camera gives ranges.

    Attributes:
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
    """

    width: int
    height: int
    fps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A pixel format of a camera.

    Attributes:
        code: Its FourCC, such as ``MJPG`` or ``YUYV``.
        description: The driver's description of it.
        sizes: The frame sizes that it comes in.
    """

    code: str
    description: str
    sizes: tuple[FrameSize, ...]


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """One capture device.

    Attributes:
        path: The device file.
        card: The name of the card.
        bus: Where it is connected.
        stable: Its names below /dev/v4l, which do not depend on the order of plugging in.
        formats: Its pixel formats.
        unavailable_reason: Why it could not be queried; the other fields are then empty.
    """

    path: str
    card: str = ""
    bus: str = ""
    stable: tuple[str, ...] = ()
    formats: tuple[PixelFormat, ...] = ()
    unavailable_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def list_cameras(devices: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> list[CameraDevice]:
    """List the capture devices in the order of their numbers.

    Args:
        devices: The folder of the device files.
        ioctl: The system call, as ``fcntl.ioctl``.

    Returns:
        The cameras. Nodes that give no images (metadata, outputs) are left out; those that cannot be queried have an
        ``unavailable_reason``.
    """
    found = []
    for path in sorted(devices.glob("video*"), key=lambda path: (len(path.name), path.name)):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            found.append(CameraDevice(str(path), unavailable_reason=_explain(error)))
            continue
        try:
            camera = _query(path, descriptor, ioctl, devices)
        except OSError as error:
            found.append(CameraDevice(str(path), unavailable_reason=_explain(error)))
        else:
            found += [camera] if camera else []
        finally:
            os.close(descriptor)
    return found


def _explain(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission: add your user to the group video (sudo usermod -aG video $USER), then log in again"
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return "not a camera"
    return error.strerror or str(error)


def _query(path: Path, descriptor: int, ioctl: Ioctl, devices: Path) -> CameraDevice | None:
    answer = bytearray(_BYTES[QUERYCAP])
    ioctl(descriptor, QUERYCAP, answer)
    whole, of_this_node = struct.unpack_from("=2I", answer, 84)
    capabilities = of_this_node if whole & _HAS_DEVICE_CAPS else whole
    if not capabilities & (_CAPTURE | _CAPTURE_MPLANE):
        return None
    kind = 1 if capabilities & _CAPTURE else 9  # V4L2_BUF_TYPE_VIDEO_CAPTURE, ..._MPLANE
    links = sorted(link for link in devices.glob("v4l/by-*/*") if link.resolve() == path.resolve())
    return CameraDevice(
        str(path), _text(answer[16:48]), _text(answer[48:80]), tuple(map(str, links)),
        tuple(_formats(descriptor, kind, ioctl)),
    )  # fmt: skip


def _formats(descriptor: int, kind: int, ioctl: Ioctl) -> Iterator[PixelFormat]:
    for answer in _listed(descriptor, ENUM_FMT, ioctl, lambda index: struct.pack("=2I", index, kind)):
        [code] = struct.unpack_from("=I", answer, 44)
        sizes = tuple(_sizes(descriptor, code, ioctl))
        yield PixelFormat(code.to_bytes(4, "little").decode("ascii", "replace").strip(), _text(answer[12:44]), sizes)


def _sizes(descriptor: int, code: int, ioctl: Ioctl) -> Iterator[FrameSize]:
    for answer in _listed(descriptor, ENUM_FRAMESIZES, ioctl, lambda index: struct.pack("=2I", index, code)):
        kind, *numbers = struct.unpack_from("=7I", answer, 8)
        # discrete: width, height; stepwise: smallest, largest and step of the width, then of the height
        width, height = (numbers[0], numbers[1]) if kind == _DISCRETE else (numbers[1], numbers[4])
        yield FrameSize(width, height, tuple(_rates(descriptor, code, width, height, ioctl)))
        if kind != _DISCRETE:
            return


def _rates(descriptor: int, code: int, width: int, height: int, ioctl: Ioctl) -> Iterator[float]:
    def question(index: int) -> bytes:
        return struct.pack("=4I", index, code, width, height)

    for answer in _listed(descriptor, ENUM_FRAMEINTERVALS, ioctl, question):
        # discrete: the interval in seconds as a fraction; stepwise: shortest, longest and step, so the fastest first
        kind, above, below = struct.unpack_from("=3I", answer, 16)
        if above:
            yield round(below / above, 3)
        if kind != _DISCRETE:
            return


def _listed(descriptor: int, request: int, ioctl: Ioctl, question: Callable[[int], bytes]) -> Iterator[bytes]:
    """The answers to ``question(0)``, ``question(1)``, ... until the driver reports the end."""
    for index in range(_MAX_ENTRIES):
        answer = bytearray(question(index).ljust(_BYTES[request], b"\0"))
        try:
            ioctl(descriptor, request, answer)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return  # the end of the list, or a driver without one
            raise
        yield bytes(answer)


def _text(raw: bytes | bytearray) -> str:
    return bytes(raw).split(b"\0")[0].decode(errors="replace")
