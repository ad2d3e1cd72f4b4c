"""The size that an image's header states."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from ferengine.sources.image_header import ImageExtent, image_extent
from ferengine.vision import cv2


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm", ".pam", ".pfm", ".hdr", ".ras", ".jp2", ".avif"]
)
def test_the_size_that_opencv_wrote(suffix: str) -> None:
    image = np.random.default_rng(1).integers(0, 255, (37, 301, 3), np.uint8)
    written, data = cv2.imencode(suffix, image.astype(np.float32) if suffix in (".pfm", ".hdr") else image)
    assert written
    assert image_extent(np.asarray(data, np.uint8).ravel()) == ImageExtent(301, 37)


@pytest.mark.parametrize("suffix", [".avif", ".webp", ".gif", ".png"])
def test_the_frames_of_an_animation(suffix: str) -> None:
    animation = cv2.Animation()
    animation.frames = [np.full((37, 301, 3), 30 * index, np.uint8) for index in range(7)]
    animation.durations = [40] * 7
    written, data = cv2.imencodeanimation(suffix, animation)
    assert written
    assert image_extent(np.asarray(data, np.uint8).ravel()) == ImageExtent(301, 37, 7)


def test_the_size_of_a_track_counts_where_it_is_larger_than_that_of_the_image() -> None:
    animation = cv2.Animation()
    animation.frames, animation.durations = [np.zeros((37, 301, 3), np.uint8)] * 2, [40] * 2
    data = bytearray(cv2.imencodeanimation(".avif", animation)[1])
    struct.pack_into(">HH", data, data.index(b"av01", data.index(b"stsd")) + 28, 60000, 50000)
    assert image_extent(np.frombuffer(data, np.uint8)) == ImageExtent(60000, 50000, 2)


def test_lossless_and_extended_webp() -> None:
    lossless = cv2.imencode(".webp", np.zeros((37, 301, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1]
    extended = cv2.imencode(".webp", np.zeros((37, 301, 4), np.uint8))[1]
    for data in (lossless, extended):
        assert image_extent(np.asarray(data, np.uint8).ravel()) == ImageExtent(301, 37)


def test_other_headers() -> None:
    gif = np.frombuffer(b"GIF89a" + struct.pack("<HH", 300, 200) + bytes(9), np.uint8)
    assert image_extent(gif) == ImageExtent(300, 200)
    top_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 300, -200) + bytes(20)
    assert image_extent(np.frombuffer(top_down, np.uint8)) == ImageExtent(300, 200)


def test_pages_and_sizes_of_all_directories_of_a_tiff() -> None:
    """Of plain and of big TIFF; the second page is a bomb, the third is cut off."""
    for begins, count, offset in ((b"II*\0", "H", "I"), (b"II+\0\x08\0\0\0", "Q", "Q")):
        entry = "<HH" + 2 * offset
        step, head = struct.calcsize(entry), len(begins) + struct.calcsize(offset)
        length = struct.calcsize(count) + 2 * step + struct.calcsize(offset)
        data = begins + struct.pack("<" + offset, head)
        for number, (width, height) in enumerate(((40, 30), (30000, 60000)), 1):
            data += struct.pack("<" + count, 2)
            data += struct.pack(entry, 256, 4, 1, width) + struct.pack(entry, 257, 4, 1, height)
            data += struct.pack("<" + offset, head + number * length)
        assert image_extent(np.frombuffer(data, np.uint8)) == ImageExtent(30000, 60000, 3, 40 * 30 + 30000 * 60000)


def test_a_tiff_of_one_large_and_many_small_pages_needs_what_it_holds() -> None:
    pages = [np.zeros((400, 300), np.uint8), *[np.zeros((8, 6), np.uint8)] * 20]
    written, data = cv2.imencodemulti(".tif", pages)
    assert written
    extent = image_extent(np.asarray(data, np.uint8).ravel())
    assert extent is not None
    assert extent.nbytes(1) == 3 * 400 * 300
    assert extent.nbytes(21) == 3 * (400 * 300 + 20 * 8 * 6)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_the_images_of_animations_are_counted(suffix: str) -> None:
    animation = cv2.Animation()
    animation.frames = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(5)]
    animation.durations = np.full(5, 100)
    written, data = cv2.imencodeanimation(suffix, animation)
    assert written
    assert image_extent(np.asarray(data, np.uint8).ravel()) == ImageExtent(64, 48, 5)


@pytest.mark.parametrize("data", [b"", b"x", b"BM", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"II*\0", b"II*\0\xff\xff\xff\xff",
                                  b"RIFF1234WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"text" * 40])  # fmt: skip
def test_no_header(data: bytes) -> None:
    assert image_extent(np.frombuffer(data, np.uint8)) is None
