"""RetinaFace's stem in C++, the scaling of the frame and the first layers, against NumPy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine._native import RetinaFaceStem, retinaface_input

pytestmark = pytest.mark.usefixtures("each_instruction_set")

MEANS = (104.0, 117.0, 127.0)
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def plain_resize(length: int, count: int) -> NDArray[np.float64]:
    """The weight of each source pixel, (count, length): the fraction of the area of an output pixel that it covers."""
    edges = np.arange(count + 1) * length / count
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(covered, 0, None) * count / length


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, 90), st.floats(0.1, 1.5), st.floats(0.1, 1.5), st.booleans())
def test_input(seed: int, height: int, width: int, down: float, across: float, padded: bool) -> None:
    random = np.random.default_rng(seed)
    frame = random.integers(0, 256, (height, width + 5 * padded, 3), np.uint8)[:, :width]
    rows, columns = max(1, round(height * down)), max(1, round(width * across))
    out = np.full((rows, columns, 3), np.nan, np.float32)
    retinaface_input(frame, MEANS, out)
    expected = np.einsum("yh,xw,hwc->yxc", plain_resize(height, rows), plain_resize(width, columns), frame.astype(np.float64))
    np.testing.assert_allclose(out, expected - np.array(MEANS), atol=2e-3)


def test_input_of_the_same_size_is_the_frame() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (31, 47, 3), np.uint8)
    out = np.empty((31, 47, 3), np.float32)
    retinaface_input(frame, (1, 2, 3), out)
    np.testing.assert_array_equal(out, frame.astype(np.float32) - np.float32([1, 2, 3]))


@pytest.mark.parametrize(
    ("frame", "out"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.float32)),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 3), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 8, 3), np.float32)[:, ::2]),
    ],
)
def test_input_of_another_shape_is_refused(frame: np.ndarray, out: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises((TypeError, ValueError)):
        retinaface_input(frame, (0, 0, 0), out)


# --- layers


def random_layer(random: np.random.Generator, side: int, given: int, made: int) -> Layer:
    kernel = random.normal(0, (side * side * given) ** -0.5, (side, side, given, made))
    return kernel.astype(np.float32), random.normal(0, 0.3, made).astype(np.float32)


def random_stem(seed: int, channels: list[int], strides: list[int]) -> tuple[Layer, list[tuple[Layer, Layer, int]]]:
    """The first layer makes ``channels[0]``, each block the next ones."""
    random = np.random.default_rng(seed)
    first = random_layer(random, 3, 3, channels[0])
    first[0][:] /= 60  # of intensities
    pairs = zip(pairwise(channels), strides, strict=True)
    return first, [(random_layer(random, 3, 1, a), random_layer(random, 1, a, b), stride) for (a, b), stride in pairs]


def plain_windows(image: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """The 3 x 3 pixels around every ``stride``th one, zeros beyond the edge: (rows, columns, 3, 3, channels)."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::stride, ::stride]
    return np.moveaxis(windows, 2, -1)


def leaky(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values > 0, values, 0.1 * values)


def plain_stem(pixels: NDArray[np.float64], first: Layer, blocks: list[tuple[Layer, Layer, int]]) -> NDArray[np.float64]:
    top = leaky(np.einsum("yxhwc,hwco->yxo", plain_windows(pixels, 2), first[0]) + first[1])
    for (kernel, bias), (mixing, mixed_bias), stride in blocks:
        top = leaky(np.einsum("yxhwc,hwc->yxc", plain_windows(top, stride), kernel[:, :, 0]) + bias)
        top = leaky(top @ mixing[0, 0] + mixed_bias)
    return top


LENGTHS = st.integers(1, 30) | st.integers(1, 110)


@settings(deadline=None)
@given(
    st.integers(0, 999), st.lists(st.tuples(st.sampled_from([3, 8, 16, 21, 32]), st.sampled_from([1, 2])), max_size=4),
    st.sampled_from([16, 48]), LENGTHS, LENGTHS, st.floats(0.3, 1.4), st.floats(0.3, 1.4), st.booleans(),
)  # fmt: skip
def test_stem(
    seed: int, blocks: list[tuple[int, int]], last: int, height: int, width: int, down: float, across: float, padded: bool
) -> None:
    channels, strides = [each[0] for each in blocks], [each[1] for each in blocks]
    layers = random_stem(seed, [*channels, last], strides)
    stem = RetinaFaceStem(MEANS, *layers)
    frame = np.random.default_rng(seed).integers(0, 256, (height, width + 5 * padded, 3), np.uint8)[:, :width]
    rows, columns = max(1, round(height * down)), max(1, round(width * across))
    pixels = np.empty((rows, columns, 3), np.float32)
    retinaface_input(frame, MEANS, pixels)
    expected = plain_stem(pixels.astype(np.float64), *layers)
    assert stem.shape(rows, columns) == expected.shape
    out = np.full(expected.shape, np.nan, np.float32)
    stem.run(frame, rows, columns, out)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_what_a_stem_refuses() -> None:
    first, blocks = random_stem(0, [8, 32], [2])
    ((depthwise, pointwise, _),) = blocks
    nan = first[1].copy()
    nan[0] = np.nan
    wrong: list[tuple[Any, Any, str]] = [
        ((first[0][:, :2], first[1]), blocks, "a layer must be"),
        ((first[0], first[1][:7]), blocks, "a layer must be"),
        ((first[0][:, :, :2], first[1]), blocks, "3 x 3 pixels of three channels"),
        ((first[0], nan), blocks, "finite"),
        (first, [(pointwise, pointwise, 1)], "depthwise kernel"),
        (first, [(depthwise, depthwise, 1)], "channels of the layer before"),
        (first, [*blocks, *blocks], "channels of the layer before"),
        (first, [(depthwise, pointwise, 3)], "strides"),
        (first, [], "multiple of 16"),
    ]
    for layer, rest, message in wrong:
        with pytest.raises(ValueError, match=message):
            RetinaFaceStem(MEANS, layer, rest)
    stem = RetinaFaceStem(MEANS, first, blocks)
    frame = np.zeros((20, 30, 3), np.uint8)
    for sides in ((0, 9), (9, 0), (65537, 9)):
        with pytest.raises(ValueError, match="between 1 and 65536"):
            stem.shape(*sides)
    with pytest.raises(ValueError, match=r"of the shape \(5, 8, 32\)"):
        stem.run(frame, 20, 30, np.zeros((5, 8, 16), np.float32))
    with pytest.raises(TypeError, match="uint8 or float32"):
        stem.run(frame, 20, 30, np.zeros((5, 8, 32), np.float64))
    with pytest.raises(ValueError, match="three channels"):
        stem.run(np.zeros((20, 30), np.uint8), 20, 30, np.zeros((5, 8, 32), np.float32))
