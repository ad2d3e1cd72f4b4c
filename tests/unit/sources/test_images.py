"""Folders, globs and single images as sources."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ferengine.cli.images import read_image
from ferengine.errors import SourceError
from ferengine.ipc.machine import MemoryLeft
from ferengine.sources import open_source, parse_source
from ferengine.sources.images import ImagesSource, decode_images
from ferengine.vision import cv2


def write(path: Path, brightness: int, height: int = 8, width: int = 16) -> Path:
    cv2.imwrite(str(path), np.full((height, width, 3), brightness, np.uint8))
    return path


def brightness(source: ImagesSource) -> list[int]:
    values = []
    while (frame := source.read()) is not None:
        values.append(round(float(frame.image.mean())))
    return values


def test_natural_order_each_its_own_size(tmp_path: Path) -> None:
    for number in (10, 2, 1, 33):
        write(tmp_path / f"Img{number}.png", number, height=8 + number)
    write(tmp_path / "img7.PNG", 7)
    source = ImagesSource(tmp_path, fps=10)
    info = source.open()
    assert (info.width, info.height, info.fps, info.live, info.frames) == (16, 9, 10, False, 5)
    frames = [source.read() for _ in range(5)]
    assert source.read() is None
    assert [frame.image.shape[0] for frame in frames if frame] == [9, 10, 8, 18, 41]
    assert [frame.timestamp for frame in frames if frame] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_globs_loops_and_skipping(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"a{number}.png", number)
        write(tmp_path / f"b{number}.png", 100 + number)
    source = open_source(parse_source(str(tmp_path / "b*.png"), loop=2, fps=5))
    assert isinstance(source, ImagesSource)
    assert source.open().frames == 6
    source.skip(2)
    assert brightness(source) == [102, 100, 101, 102]
    single = ImagesSource(tmp_path / "a2.png", loop=0)
    assert single.open().frames is None
    single.skip(5)
    assert single.read() is not None
    single.close()
    single.close()
    assert single.read() is None


def test_what_is_no_image_is_passed_over_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "2.png", 2)
    write(tmp_path / "4.png", 4)
    (tmp_path / "1.jpg").write_text("This is no image.")
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    (tmp_path / "5.webp").touch()
    (tmp_path / "notes.txt").write_text("Not meant.")
    (tmp_path / "folder.png").mkdir()
    source = ImagesSource(tmp_path, loop=2)
    source.open()
    assert brightness(source) == [2, 4, 2, 4]
    assert source.broken_frames == 6
    skipped = [message.split()[0].rpartition("/")[2] for message in caplog.messages if message.endswith("it is skipped")]
    assert skipped == ["1.jpg", "3.png", "5.webp"]
    assert capfd.readouterr().err == ""


def test_grey_deep_and_transparent_images_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8), 10, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 8, 3), 100 * 257, np.uint16))
    cv2.imwrite(str(tmp_path / "3.png"), np.full((8, 8, 4), 30, np.uint8))
    source = ImagesSource(tmp_path)
    source.open()
    frames = [source.read() for _ in range(3)]
    assert all(frame is not None and frame.image.shape == (8, 8, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert [round(float(frame.image.mean())) for frame in frames if frame] == [10, 100, 30]


@pytest.mark.parametrize(
    ("dtype", "channels", "said"),
    [(np.float32, 1, "32-bit floats"), (np.float64, 3, "64-bit floats"), (np.int32, 1, "32-bit integers")],
)
def test_pixels_of_more_than_16_bits_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], dtype: type, channels: int, said: str
) -> None:
    cv2.imwrite(str(tmp_path / "deep.tif"), np.ones((8, 8, channels), dtype))
    with pytest.raises(SourceError, match=rf"deep\.tif has pixels of {said}: save it with 8 or 16 bits a channel$"):
        ImagesSource(tmp_path / "deep.tif").open()
    assert capfd.readouterr().err == ""


def test_folders_without_images_say_so(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path, "holds no images"),
        (tmp_path / "*.png", "none that matches"),
        (tmp_path / "absent.png", "there is no file"),
    ):
        with pytest.raises(SourceError, match=reason) as caught:
            ImagesSource(path).open()
        assert str(path) in str(caught.value)
    (tmp_path / "text.png").write_text("This is no image.")
    with pytest.raises(SourceError, match=r"/text\.png is not an image that can be decoded"):
        ImagesSource(tmp_path).open()
    (tmp_path / "more.png").write_text("This is none either.")
    with pytest.raises(SourceError, match="none of its 2 files is an image"):
        ImagesSource(tmp_path).open()


def test_a_folder_says_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.full((8, 9, 3), 70, np.uint8))[1].tobytes())
    ImagesSource(tmp_path).open()
    assert not caplog.messages
    for name in ("4.gif", "1.txt", "2.mp4", "3.md"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    assert ImagesSource(tmp_path).open().frames == 1
    assert caplog.messages == [
        f"{tmp_path}: left out, because they are not images: 4 (1.txt, 2.mp4, 3.md, ...)",
        f"{tmp_path}: left out, because they are folders: name them, or a pattern with **: 1 (below)",
    ]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_infrared_images_of_fewer_bits_in_16(bits: int, tmp_path: Path) -> None:
    """Thermal cameras store 14 bits, others 12 or 10."""
    ramp = np.linspace(0, 2**bits - 1, 64 * 48).astype(np.uint16).reshape(48, 64)
    assert cv2.imwrite(str(tmp_path / "a.png"), ramp)
    source = ImagesSource(tmp_path / "a.png")
    source.open()
    frame = source.read()
    assert frame is not None
    assert (frame.image.dtype, frame.image.max()) == (np.uint8, 255)


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_animations_give_all_their_images(name: str, tmp_path: Path) -> None:
    animation = cv2.Animation()
    animation.frames = [np.full((48, 64, 3), 40 * i, np.uint8) for i in range(5)]
    animation.durations = np.full(5, 100)
    assert cv2.imwriteanimation(str(tmp_path / name), animation)
    source = ImagesSource(tmp_path / name, loop=2)
    source.open()
    lights = []
    while (frame := source.read()) is not None:
        lights.append(float(frame.image.mean()))
    assert lights == pytest.approx(2 * [40 * i for i in range(5)], abs=3)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    for name in (b"a.png", b"b\xe9.png", b"c.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(cv2.imencode(".png", np.full((8, 9, 3), 70, np.uint8))[1].tobytes())
    source = ImagesSource(tmp_path)
    assert source.open().frames == 3
    assert sum(1 for _ in iter(source.read, None)) == 3
    assert source.broken_frames == 0


def test_refused_paths_are_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in ("x" * 300 + ".png", str(tmp_path / "pipe.png"), str(tmp_path / "no*.png")):
        with pytest.raises(SourceError) as caught:
            ImagesSource(path).open()
        assert "\n" not in str(caught.value)


def test_images_of_a_file_that_are_lost_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(5)]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), pages, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 3 // 5])
    source = ImagesSource(tmp_path / "a.tif")
    source.open()
    read = len(brightness(source))
    assert 0 < read < 5
    assert source.broken_frames >= 1
    assert ["cut off or damaged" in record.getMessage() for record in caplog.records] == [True]


def test_what_needs_more_memory_than_is_left_is_refused_from_its_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An animation of a kilobyte may take gigabytes: the process would be killed."""
    animation = cv2.Animation()
    animation.frames = [np.full((480, 640, 3), 10 * number, np.uint8) for number in range(20)]
    animation.durations = np.full(20, 100)
    assert cv2.imwriteanimation(str(tmp_path / "1.webp"), animation)
    write(tmp_path / "2.png", 2)
    monkeypatch.setattr("ferengine.sources.images.memory_left", lambda: MemoryLeft(30 << 20, "the limit of 64 MiB"))
    source = ImagesSource(tmp_path)
    source.open()
    assert brightness(source) == [2]
    assert source.broken_frames == 1
    assert "needs 35 MiB for 20 images of 640x480 pixels, and of the limit of 64 MiB 30 MiB are left" in caplog.text


def test_a_small_file_that_announces_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    for name, data in (
        ("a.ppm", b"P6\n# made by\n60000 60000\n255\n" + bytes(100)),
        ("a.pgm", b"P5 40000 40000 255\n" + bytes(100)),
        ("a.pam", b"P7\nWIDTH 40000\nHEIGHT 40000\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(100)),
    ):
        with pytest.raises(SourceError, match="16384 a side is the maximum"):
            decode_images(np.frombuffer(data, np.uint8))
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match="16384 a side is the maximum"):
            read_image(tmp_path / name)
