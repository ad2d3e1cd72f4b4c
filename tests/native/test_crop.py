"""Crops in C++ against plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine._native import crop_faces
from ferengine.vision import cv2


def grey_of(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    if frame.ndim == 2:
        return frame.astype(float)
    b, g, r = (frame[..., i].astype(int) for i in range(3))
    return ((b * 1868 + g * 9617 + r * 4899 + 8192) >> 14).astype(float)


def reference(frame: NDArray[np.uint8], square: tuple[float, ...], size: int) -> NDArray[np.float64]:
    grey = grey_of(frame)
    cx, cy, side, angle = (float(np.float32(value)) for value in square)
    step = side / size
    if angle == 0 and side >= size:
        rows = _weights(cy - side / 2, step, size, grey.shape[0])
        columns = _weights(cx - side / 2, step, size, grey.shape[1])
        return rows @ grey @ columns.T
    samples = min(8, max(1, math.ceil(step)))
    offsets = (np.arange(size * samples) + 0.5) / samples * step - side / 2
    v, u = np.meshgrid(offsets, offsets, indexing="ij")
    x = cx + u * math.cos(angle) - v * math.sin(angle)
    y = cy + u * math.sin(angle) + v * math.cos(angle)
    fine = _bilinear(grey, x, y)
    return fine.reshape(size, samples, size, samples).mean((1, 3))


def _weights(start: float, step: float, size: int, length: int) -> NDArray[np.float64]:
    """Share of each pixel in each destination cell; what lies beyond the frame belongs to the border pixel."""
    weights = np.zeros((size, length))
    for cell in range(size):
        low, high = start + cell * step, start + (cell + 1) * step
        for pixel in range(length):
            left = -math.inf if pixel == 0 else pixel
            right = math.inf if pixel == length - 1 else pixel + 1
            weights[cell, pixel] = max(0.0, min(high, right) - max(low, left)) / (high - low)
    return weights


def _bilinear(grey: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = grey.shape
    px, py = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    x0, y0 = px.astype(int), py.astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = px - x0, py - y0
    upper = grey[y0, x0] * (1 - fx) + grey[y0, x1] * fx
    lower = grey[y1, x0] * (1 - fx) + grey[y1, x1] * fx
    return upper * (1 - fy) + lower * fy


def crop(frame: NDArray[np.uint8], square: tuple[float, ...], size: int) -> NDArray[np.float32]:
    out = np.empty((1, size, size), np.float32)
    crop_faces(frame, np.array([square], np.float32), out)
    return out[0]


@st.composite
def frames(draw: st.DrawFn) -> NDArray[np.uint8]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    colour, padding = draw(st.booleans()), draw(st.integers(0, 6))
    shape = (height, width + padding, 3) if colour else (height, width + padding)
    pixels = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, shape, dtype=np.uint8)
    return pixels[:, :width]  # rows with padding behind them


@settings(max_examples=300, deadline=None)
@given(
    frames(),
    st.floats(-60, 90),
    st.floats(-60, 90),
    st.floats(0.05, 120),
    st.one_of(st.just(0.0), st.floats(-3.2, 3.2)),
    st.integers(1, 12),
)
def test_equals_the_reference(frame: NDArray[np.uint8], cx: float, cy: float, side: float, angle: float, size: int) -> None:
    square = (cx, cy, side, angle)
    assert np.allclose(crop(frame, square, size), reference(frame, square, size), atol=0.02)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_equals_opencv_area_at_whole_factors(factor: int) -> None:
    frame = np.random.default_rng(factor).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    side = 48 * factor
    part = cv2.cvtColor(frame[10 : 10 + side, 20 : 20 + side], cv2.COLOR_BGR2GRAY)
    expected = cv2.resize(part, (48, 48), interpolation=cv2.INTER_AREA)
    out = np.empty((1, 48, 48), np.uint8)
    crop_faces(frame, np.array([[20 + side / 2, 10 + side / 2, side, 0]], np.float32), out)
    assert np.abs(out[0].astype(int) - expected).max() <= 1


def test_bytes_are_rounded_and_floats_normalised() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    squares = np.array([[30, 30, 50, 0], [10, 50, 30, 0.3]], np.float32)
    plain, whole = np.empty((2, 24, 24), np.float32), np.empty((2, 24, 24), np.uint8)
    scaled = np.empty((2, 24, 24), np.float32)
    crop_faces(frame, squares, plain)
    crop_faces(frame, squares, whole)
    crop_faces(frame, squares, scaled, 129.5, 65.0)
    assert (whole == np.floor(plain + 0.5)).all()
    assert np.allclose(scaled, (plain - 129.5) / 65.0, atol=1e-5)


@pytest.mark.parametrize("square", [(0, 0, 1e9, 0), (1e9, -1e9, 50, 0), (1e9, 0, 1e9, 1.0), (5, 5, 1e-6, 0)])
def test_absurd_squares_are_safe(square: tuple[float, ...]) -> None:
    frame = np.full((20, 30, 3), 77, np.uint8)
    assert np.allclose(crop(frame, square, 48), 77, atol=0.01)


@pytest.mark.parametrize(
    ("frame", "squares", "out", "error"),
    [
        (np.zeros((4, 4, 3), np.float32), np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.uint8), TypeError),
        (np.zeros((4, 4, 4), np.uint8), np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 8, 3), np.uint8)[:, ::2], np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8)[::-1], np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((0, 4, 3), np.uint8), np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.ones((1, 3), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.array([[1, 1, np.nan, 0]], np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.array([[1, 1, 0, 0]], np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.ones((2, 4), np.float32), np.empty((1, 8, 8), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.ones((1, 4), np.float32), np.empty((1, 8, 9), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.ones((1, 4), np.float32), np.empty((1, 8, 8), np.int32), TypeError),
    ],
)
def test_wrong_arrays_are_refused(
    frame: NDArray[np.uint8], squares: NDArray[np.float32], out: NDArray[np.uint8], error: type[Exception]
) -> None:
    with pytest.raises(error):
        crop_faces(frame, squares, out)


def test_no_squares_and_read_only_frames() -> None:
    frame = np.zeros((4, 4, 3), np.uint8)
    frame.flags.writeable = False
    crop_faces(frame, np.empty((0, 4), np.float32), np.empty((0, 48, 48), np.uint8))
