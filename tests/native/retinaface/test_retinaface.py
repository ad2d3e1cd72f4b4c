"""RetinaFace's decoding in C++ against a plain one over NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine._native import retinaface_decode
from oracles.plain_mtcnn.boxes import non_maximum_suppression

Level = tuple[NDArray[np.float32], int, tuple[float, float]]
SIDES = {8: (16.0, 32.0), 16: (64.0, 128.0), 32: (256.0, 512.0)}


def random_levels(seed: int, shapes: list[tuple[int, int]]) -> list[Level]:
    random = np.random.default_rng(seed)
    maps = [random.normal(-1, 2, (30, *shape)).astype(np.float32) for shape in shapes]
    return [(values, stride, sides) for values, (stride, sides) in zip(maps, SIDES.items(), strict=False)]


def plain_decode(levels: list[Level], threshold: float, overlap: float, limit: int) -> tuple[NDArray[np.float64], ...]:
    """W. Liu et al., "SSD", ECCV 2016, with the variances 0.1 and 0.2."""
    found = []
    for values, stride, sides in levels:
        rows, columns = values.shape[1:]
        y, x = (stride * (axis + 0.5) for axis in np.mgrid[:rows, :columns])
        for side, prior in zip(sides, values.astype(np.float64).reshape(2, 15, rows, columns), strict=True):
            w, h = side * np.exp(0.2 * prior[3]), side * np.exp(0.2 * prior[4])
            box = [x + 0.1 * side * prior[1] - w / 2, y + 0.1 * side * prior[2] - h / 2, w, h]
            points = [axis + 0.1 * side * prior[5 + i] for i, axis in enumerate([x, y] * 5)]
            found.append(np.stack([1 / (1 + np.exp(-prior[0])), *box, *points]).reshape(15, -1).T)
    priors = np.concatenate(found) if found else np.empty((0, 15))
    priors = priors[priors[:, 0] > threshold]
    priors = priors[np.argsort(-priors[:, 0].astype(np.float32), kind="stable")][:limit]
    corners = np.hstack([priors[:, 1:3], priors[:, 1:3] + priors[:, 3:5]]).astype(np.float32)
    kept = priors[non_maximum_suppression(corners, priors[:, 0].astype(np.float32), overlap)]
    return kept[:, 1:5], kept[:, 0], kept[:, 5:].reshape(-1, 5, 2)


@settings(deadline=None)
@given(
    st.integers(0, 999), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=3),
    st.sampled_from([0.0, 0.3, 0.5, 0.8]), st.sampled_from([0.2, 0.4, 0.7]), st.sampled_from([1, 5, 2000]),
)  # fmt: skip
def test_decoding(seed: int, shapes: list[tuple[int, int]], threshold: float, overlap: float, limit: int) -> None:
    levels = random_levels(seed, shapes)
    scores = [1 / (1 + np.exp(-values.reshape(2, 15, -1)[:, 0])) for values, _, _ in levels]
    assume(all((np.abs(each - threshold) > 1e-6).all() for each in scores))
    found = retinaface_decode(levels, threshold, overlap, limit)
    expected = plain_decode(levels, threshold, overlap, limit)
    assert len(found[0]) == len(expected[0])
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted.reshape(values.shape), rtol=1e-4, atol=1e-3)


def test_one_prior() -> None:
    values = np.full((30, 2, 3), -9, np.float32)
    values[15:, 1, 2] = [0, 10, -10, *(5 * np.log([2, 3])), *np.arange(10)]
    boxes, scores, landmarks = retinaface_decode([(values, 8, (16.0, 32.0))], 0.4, 0.4, 10)
    np.testing.assert_allclose(boxes, [[20 + 32 - 32, 12 - 32 - 48, 64, 96]], rtol=1e-5)
    np.testing.assert_allclose(scores, [0.5])
    np.testing.assert_allclose(landmarks[0, 4], [20 + 3.2 * 8, 12 + 3.2 * 9], rtol=1e-5)


def test_what_is_refused() -> None:
    level = np.zeros((30, 2, 2), np.float32)
    for wrong in (level[:29], level[0], level + np.inf):
        with pytest.raises(ValueError, match="map"):
            retinaface_decode([(wrong, 8, (16.0, 32.0))], 0.5, 0.4, 10)
    with pytest.raises(ValueError, match="positive"):
        retinaface_decode([(level, 0, (16.0, 32.0))], 0.5, 0.4, 10)
    for settings_ in ((1.0, 0.4, 10), (0.5, 1.5, 10), (0.5, 0.4, 0)):
        with pytest.raises(ValueError):
            retinaface_decode([(level, 8, (16.0, 32.0))], *settings_)
