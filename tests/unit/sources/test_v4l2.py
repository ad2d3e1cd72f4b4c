"""The list of cameras, from a device that answers as Linux does."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ferengine.cli import cameras as cameras_command
from ferengine.cli.app import app
from ferengine.sources import v4l2
from ferengine.sources.v4l2 import CameraDevice, FrameSize, PixelFormat, list_cameras

STRUCTURES = """
#include <linux/videodev2.h>
#include <cstddef>
#include <cstdio>
#define AT(type, member) offsetof(struct type, member)
int main() {
    std::printf("%u %u %u %u ", unsigned(VIDIOC_QUERYCAP), unsigned(VIDIOC_ENUM_FMT), unsigned(VIDIOC_ENUM_FRAMESIZES),
                unsigned(VIDIOC_ENUM_FRAMEINTERVALS));
    std::printf("%zu %zu %zu %zu ", sizeof(v4l2_capability), sizeof(v4l2_fmtdesc), sizeof(v4l2_frmsizeenum),
                sizeof(v4l2_frmivalenum));
    std::printf("%zu %zu %zu %zu ", AT(v4l2_capability, card), AT(v4l2_capability, bus_info),
                AT(v4l2_capability, capabilities), AT(v4l2_capability, device_caps));
    std::printf("%zu %zu %zu ", AT(v4l2_fmtdesc, type), AT(v4l2_fmtdesc, description), AT(v4l2_fmtdesc, pixelformat));
    std::printf("%zu %zu %zu %zu ", AT(v4l2_frmsizeenum, pixel_format), AT(v4l2_frmsizeenum, type),
                AT(v4l2_frmsizeenum, discrete), AT(v4l2_frmsizeenum, stepwise.max_height));
    std::printf("%zu %zu %zu %zu\\n", AT(v4l2_frmivalenum, width), AT(v4l2_frmivalenum, type),
                AT(v4l2_frmivalenum, discrete), AT(v4l2_frmivalenum, stepwise));
}
"""


def test_requests_and_structures_are_those_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "structures.cpp").write_text(STRUCTURES)
    build = subprocess.run(
        ["g++", "structures.cpp", "-o", "structures"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "linux/videodev2.h" in build.stderr:
        pytest.skip("linux/videodev2.h is not installed (package linux-libc-dev)")
    assert build.returncode == 0, build.stderr
    output = subprocess.run([tmp_path / "structures"], capture_output=True, text=True, check=True).stdout
    numbers = [int(word) for word in output.split()]
    requests = [v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMEINTERVALS]
    assert numbers[:4] == requests
    assert numbers[4:8] == [v4l2._BYTES[request] for request in requests]
    assert numbers[8:] == [16, 48, 84, 88, 4, 12, 44, 4, 8, 12, 28, 8, 16, 20, 20]


class FakeDriver:
    """Answers like a driver with two formats: discrete sizes, and a range of sizes."""

    def __init__(self, abilities: int = 0x84A00001, of_this_node: int = 0x04200001) -> None:
        self.abilities = abilities, of_this_node

    def __call__(self, descriptor: int, request: int, answer: bytearray) -> Any:
        if request == v4l2.QUERYCAP:
            struct.pack_into(
                "=16s32s32s3I", answer, 0, b"uvcvideo", b"HD Pro Webcam", b"usb-0000:00:14.0-1", 1, *self.abilities
            )
            return 0
        index, second = struct.unpack_from("=2I", answer)
        if request == v4l2.ENUM_FMT:
            assert second == 1
            formats = [(b"Motion-JPEG", b"MJPG"), (b"YUYV 4:2:2", b"YUYV")]
            self._refuse_beyond(index, formats)
            struct.pack_into("=32s4s", answer, 12, *formats[index])
        elif request == v4l2.ENUM_FRAMESIZES:
            code = second.to_bytes(4, "little")
            if code == b"MJPG":
                sizes = [(1, 1280, 720), (1, 640, 480)]
                self._refuse_beyond(index, sizes)
                struct.pack_into("=3I", answer, 8, *sizes[index])
            else:
                struct.pack_into("=7I", answer, 8, 3, 160, 1920, 8, 120, 1080, 8)
        elif request == v4l2.ENUM_FRAMEINTERVALS:
            width, height = struct.unpack_from("=2I", answer, 8)
            rates = {(1280, 720): [(1, 30), (1001, 15000)], (640, 480): [(1, 60)], (1920, 1080): []}[width, height]
            self._refuse_beyond(index, rates)
            struct.pack_into("=3I", answer, 16, 1, *rates[index])
        return 0

    @staticmethod
    def _refuse_beyond(index: int, entries: list[Any]) -> None:
        if index >= len(entries):
            raise OSError(errno.EINVAL, "Invalid argument")


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    for number in (0, 2, 10):
        (tmp_path / f"video{number}").touch()
    (tmp_path / "v4l" / "by-id").mkdir(parents=True)
    (tmp_path / "v4l" / "by-id" / "usb-HD_Pro-index0").symlink_to(tmp_path / "video2")
    return tmp_path


def test_formats_sizes_rates_and_stable_names(devices: Path) -> None:
    found = list_cameras(devices, FakeDriver())
    assert [camera.path for camera in found] == [str(devices / f"video{number}") for number in (0, 2, 10)]
    assert found[1] == CameraDevice(
        path=str(devices / "video2"),
        card="HD Pro Webcam",
        bus="usb-0000:00:14.0-1",
        stable=(str(devices / "v4l" / "by-id" / "usb-HD_Pro-index0"),),
        formats=(
            PixelFormat("MJPG", "Motion-JPEG", (FrameSize(1280, 720, (30.0, 14.985)), FrameSize(640, 480, (60.0,)))),
            PixelFormat("YUYV", "YUYV 4:2:2", (FrameSize(1920, 1080, ()),)),
        ),
    )
    assert found[0].stable == ()


def test_nodes_that_give_no_images_are_left_out(devices: Path) -> None:
    assert list_cameras(devices, FakeDriver(of_this_node=0x04A00000)) == []
    assert len(list_cameras(devices, FakeDriver(abilities=0x00000001, of_this_node=0))) == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [(errno.ENOTTY, "not a camera"), (errno.EACCES, "add your user to the group video"), (errno.ENODEV, "No such device")],
)
def test_what_cannot_be_asked_has_a_problem(devices: Path, error: int, expected: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, "No such device")

    for camera in list_cameras(devices, refuse):
        assert expected in (camera.unavailable_reason or "")
        assert camera.formats == ()


def test_a_driver_that_never_ends_its_list_does_not_hang(devices: Path) -> None:
    driver = FakeDriver()

    def endless(descriptor: int, request: int, answer: bytearray) -> int:
        if request == v4l2.ENUM_FRAMEINTERVALS:
            struct.pack_into("=3I", answer, 16, 1, 1, 30)
            return 0
        return int(driver(descriptor, request, answer))

    assert len(list_cameras(devices, endless)[0].formats[0].sizes[0].fps) == 256


def test_a_plain_file_is_no_camera(devices: Path) -> None:
    assert {camera.unavailable_reason for camera in list_cameras(devices)} == {"not a camera"}


def test_the_command(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras_command, "list_cameras", lambda: list_cameras(devices, FakeDriver()))
    output = CliRunner().invoke(app, ["cameras"], env={"COLUMNS": "160"}).output
    for word in (
        "video2  HD Pro Webcam  (usb-0000:00:14.0-1)",
        "usb-HD_Pro-index0",
        "MJPG (Motion-JPEG)",
        "1280x720 (30/14.985)",
    ):
        assert word in output
    listed = json.loads(CliRunner().invoke(app, ["cameras", "--json"]).output)
    assert listed[1]["formats"][0]["sizes"][0] == {"width": 1280, "height": 720, "fps": [30.0, 14.985]}
    monkeypatch.setattr(cameras_command, "list_cameras", list)
    done = CliRunner().invoke(app, ["cameras"])
    assert done.exit_code == 0
    assert "no camera" in done.stderr
