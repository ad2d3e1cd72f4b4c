"""Decoded frames as BGR: the native conversion against plain NumPy, and against FFmpeg's."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, VideoReformatter
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine._native import yuv_to_bgr
from ferengine.sources.conversion import FrameConverter
from ferengine.sources.video import VideoFileSource

WEIGHTS = [(0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)]


def reference(
    planes: list[NDArray[np.uint8]], halved_rows: bool, weights: tuple[float, float], full_range: bool
) -> NDArray[np.float64]:
    """ITU-T H.273, section 8.3, in floating point."""
    height, width = planes[0].shape
    y, *chroma = (plane.astype(np.float64) for plane in planes)
    u, v = (np.repeat(np.repeat(plane, 2, axis=1), 2 if halved_rows else 1, axis=0)[:height, :width] - 128 for plane in chroma)
    if not full_range:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    red, blue = weights
    green = 1 - red - blue
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = y - 2 * (1 - blue) * blue / green * u - 2 * (1 - red) * red / green * v
    return np.clip(np.stack([b, g, r], axis=-1), 0, 255)


@given(
    width=st.integers(1, 140),
    height=st.integers(1, 9),
    halved_rows=st.booleans(),
    weights=st.sampled_from(WEIGHTS),
    full_range=st.booleans(),
    padding=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_yuv_to_bgr_is_exact_within_a_level(
    width: int, height: int, halved_rows: bool, weights: tuple[float, float], full_range: bool, padding: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    sizes = [(height, width), *[((height + 1) // 2 if halved_rows else height, (width + 1) // 2)] * 2]
    padded = [random.integers(0, 256, (rows, columns + padding), np.uint8) for rows, columns in sizes]
    if seed % 4 == 0:  # the extremes
        padded = [np.where(plane > 127, 255, 0).astype(np.uint8) for plane in padded]
    planes = [plane[:, :columns] for plane, (_, columns) in zip(padded, sizes, strict=True)]
    whole = np.full((height, width + padding, 3), 7, np.uint8)
    y, u, v = padded
    yuv_to_bgr((y, u, v), (y.strides[0], u.strides[0], v.strides[0]), whole[:, :width], halved_rows, *weights, full_range)
    assert np.abs(whole[:, :width] - reference(planes, halved_rows, weights, full_range)).max() < 1
    assert (whole[:, width:] == 7).all()


@pytest.mark.parametrize("short", [0, 1, 2])
def test_yuv_to_bgr_refuses_planes_that_are_too_small(short: int) -> None:
    planes = [np.zeros(32 * 16, np.uint8), np.zeros(16 * 8, np.uint8), np.zeros(16 * 8, np.uint8)]
    planes[short] = planes[short][:-1]
    with pytest.raises(ValueError, match="smaller than its frame"):
        yuv_to_bgr((planes[0], planes[1], planes[2]), (32, 16, 16), np.zeros((16, 32, 3), np.uint8), True, 0.3, 0.1, False)


@pytest.mark.parametrize("out", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_yuv_to_bgr_refuses_other_targets(out: NDArray[np.uint8]) -> None:
    plane = np.zeros(64, np.uint8)
    with pytest.raises(ValueError, match="out must be"):
        yuv_to_bgr((plane, plane, plane), (4, 4, 4), out, True, 0.299, 0.114, False)


def test_yuv_to_bgr_refuses_strides_beyond_memory_and_views() -> None:
    plane, out = np.zeros(4096, np.uint8), np.zeros((5, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="smaller than its frame"):
        yuv_to_bgr((plane, plane, plane), (2**62, 2**62, 2**62), out, True, *WEIGHTS[0], False)
    for view in (plane[::-1], np.zeros(8192, np.uint8)[::2]):
        with pytest.raises(ValueError, match="contiguous"):
            yuv_to_bgr((view, plane, plane), (64, 64, 64), out, True, *WEIGHTS[0], False)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "gray", "nv12"])
@pytest.mark.parametrize("colorspace", [1, 2, 5, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_frames_of_any_colours_agree_with_ffmpeg(pix_fmt: str, colorspace: int, full_range: bool, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        converter = FrameConverter(stream)
        y, x = np.mgrid[:64, :96]
        smooth = np.stack([2 * x, 3 * y, 255 - x - 2 * y], axis=-1).clip(0, 255).astype(np.uint8)
        frame = VideoReformatter().reformat(av.VideoFrame.from_ndarray(smooth, format="bgr24"), format=pix_fmt)
        frame.colorspace = colorspace
        frame.color_range = ColorRange.JPEG if full_range or pix_fmt.startswith("yuvj") else ColorRange.MPEG
        image = converter.capture(frame, 0.0).image
        expected = VideoReformatter().reformat(frame, format="bgr24", interpolation="POINT").to_ndarray()
    assert np.abs(image.astype(int) - expected).max() <= 6  # chroma is interpolated or not; other colours differ by 20 and more


def test_written_image_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 98, 66, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(1)
        random = np.random.default_rng(0)
        for _ in range(3):
            noise = random.integers(0, 256, (66, 98, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode(None))
    source = VideoFileSource(path)
    source.open()
    frames = [frame for _ in range(3) if (frame := source.read()) is not None]
    source.close()  # a frame outlives its source
    for frame in frames:
        assert frame.shape == frame.image.shape == (66, 98, 3)
        out = np.zeros(frame.shape, np.uint8)
        frame.write(out)
        np.testing.assert_array_equal(out, frame.image)
