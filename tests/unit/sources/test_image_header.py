"""The size that an image's header states."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from ferengine.sources.image_header import image_size
from ferengine.vision import cv2


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_the_size_that_opencv_wrote(suffix: str) -> None:
    image = np.random.default_rng(1).integers(0, 255, (37, 301, 3), np.uint8)
    written, data = cv2.imencode(suffix, image)
    assert written
    assert image_size(np.asarray(data, np.uint8).ravel()) == (301, 37)


def test_lossless_and_extended_webp() -> None:
    lossless = cv2.imencode(".webp", np.zeros((37, 301, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1]
    extended = cv2.imencode(".webp", np.zeros((37, 301, 4), np.uint8))[1]
    for data in (lossless, extended):
        assert image_size(np.asarray(data, np.uint8).ravel()) == (301, 37)


def test_other_headers() -> None:
    gif = np.frombuffer(b"GIF89a" + struct.pack("<HH", 300, 200) + bytes(9), np.uint8)
    assert image_size(gif) == (300, 200)
    top_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 300, -200) + bytes(20)
    assert image_size(np.frombuffer(top_down, np.uint8)) == (300, 200)


@pytest.mark.parametrize("data", [b"", b"x", b"BM", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"II*\0", b"II*\0\xff\xff\xff\xff",
                                  b"RIFF1234WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"text" * 40])  # fmt: skip
def test_no_header(data: bytes) -> None:
    assert image_size(np.frombuffer(data, np.uint8)) is None
