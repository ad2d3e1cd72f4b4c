"""The steps of the native tracker, and the tracker as a whole, against the same mathematics in plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine._native import Kcf, crop_faces, kcf_features, kcf_peak, kcf_response, kcf_update

pytestmark = pytest.mark.usefixtures("each_instruction_set")

CELLS, PATCH, ORIENTATIONS, CHANNELS = 24, 48, 9, 14
PADDING, LEARNING, STEP, FOLLOWING = 3.0, 0.05, 1.05, 0.3

Real = NDArray[np.float64]


def reference_orientations(patch: Real) -> tuple[Real, Real]:
    """Lengths of the gradients, and how much they point along each of nine directions: (9, 48, 48)."""
    wide = np.pad(patch, 1, mode="edge")
    across, down = wide[1:-1, 2:] - wide[1:-1, :-2], wide[2:, 1:-1] - wide[:-2, 1:-1]
    angles = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    # rounded, so that what points half-way between the fifth and the sixth goes to the former, here as there
    directions = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32).astype(np.float64)[..., None, None]
    along = np.abs(across * directions[0] + down * directions[1])
    return np.hypot(across, down), along


def reference_features(patch: Real) -> Real:
    length, along = reference_orientations(patch)
    chosen = np.eye(ORIENTATIONS)[along.argmax(axis=0)] * length[..., None]
    middles = (np.arange(PATCH) + 0.5) / 2 - 0.5
    weight = np.clip(1 - np.abs(middles[None, :] - np.arange(CELLS)[:, None]), 0, None)  # (cell, pixel)
    histogram = np.einsum("yp,xq,pqo->yxo", weight, weight, chosen)
    energy = np.pad((histogram**2).sum(axis=2), 1, mode="edge")
    corners = energy[:-1, :-1] + energy[:-1, 1:] + energy[1:, :-1] + energy[1:, 1:]
    norm = 1 / np.sqrt(corners + 0.4)
    truncated = [np.minimum(histogram * norm[dy : dy + CELLS, dx : dx + CELLS, None], 0.2) for dy in (0, 1) for dx in (0, 1)]
    grey = patch.reshape(CELLS, 2, CELLS, 2).mean(axis=(1, 3))
    maps = np.concatenate(
        [
            0.5 * np.sum(truncated, axis=0),
            0.2357 * np.stack([part.sum(axis=2) for part in truncated], axis=2),
            ((grey - patch.mean()) / 255)[..., None],
        ],
        axis=2,
    )
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(CELLS) + 0.5) / CELLS)
    return maps * hann[:, None, None] * hann[None, :, None]


def correlation(a: Real, b: Real) -> NDArray[np.complex128]:
    spectra = np.conj(np.fft.fft2(a, axes=(0, 1))) * np.fft.fft2(b, axes=(0, 1))
    return spectra.sum(axis=2) / (CELLS * CELLS * CHANNELS)


def reference_target() -> NDArray[np.complex128]:
    shift = np.minimum(np.arange(CELLS), CELLS - np.arange(CELLS))
    deviation = 0.12 * CELLS / PADDING
    return np.fft.fft2(np.exp(-0.5 * (shift[:, None] ** 2 + shift[None, :] ** 2) / deviation**2))


def reference_filter(features: Real) -> NDArray[np.complex128]:
    return reference_target() / (correlation(features, features) + 2e-4)


def reference_peak(response: Real) -> tuple[float, float, float, float]:
    y, x = np.unravel_index(response.argmax(), response.shape)
    near = np.roll(response, (2 - y, 2 - x), (0, 1))[:5, :5]

    def top(before: float, at: float, after: float) -> float:
        bend = before - 2 * at + after
        return float(np.clip((before - after) / 2 / bend, -0.5, 0.5)) if bend < 0 else 0.0

    apart = np.ones_like(response, bool)
    apart[np.ix_(np.arange(y - 2, y + 3) % CELLS, np.arange(x - 2, x + 3) % CELLS)] = False
    rest = response[apart]
    ratio = (response.max() - rest.mean()) / rest.std() if rest.var() > 1e-12 else 0.0
    dx = (x if x <= CELLS // 2 else x - CELLS) + top(near[2, 1], near[2, 2], near[2, 3])
    dy = (y if y <= CELLS // 2 else y - CELLS) + top(near[1, 2], near[2, 2], near[3, 2])
    return float(dx), float(dy), float(response.max()), float(ratio)


class ReferenceKcf:
    """The whole tracker in float64; the patches are cropped by ``crop_faces``, which has tests of its own."""

    def init(self, frame: NDArray[np.uint8], box: tuple[float, ...]) -> None:
        x, y, self.w, self.h = box
        self.cx, self.cy = x + self.w / 2, y + self.h / 2
        patch = self.patch(frame, self.cx, self.cy, self.side)
        self.object = reference_features(patch)
        self.filter = reference_filter(self.object)
        self.look = self.looks(patch)

    @property
    def side(self) -> float:
        return PADDING * math.sqrt(self.w * self.h)

    @staticmethod
    def patch(frame: NDArray[np.uint8], cx: float, cy: float, side: float) -> Real:
        out = np.empty((1, PATCH, PATCH), np.float32)
        crop_faces(frame, np.array([[cx, cy, side, 0]], np.float32), out)
        return out[0].astype(np.float64)

    @staticmethod
    def looks(patch: Real) -> Real:
        look = patch[16:32, 16:32] - patch[16:32, 16:32].mean()
        length = np.linalg.norm(look)
        return look / length if length > 32 else np.zeros_like(look)

    def find(self, frame: NDArray[np.uint8], cx: float, cy: float, side: float) -> tuple[float, float, float, float, float]:
        features = reference_features(self.patch(frame, cx, cy, side))
        response = np.fft.ifft2(self.filter * correlation(self.object, features)).real
        dx, dy, value, ratio = reference_peak(response)
        return cx + dx * side / CELLS, cy + dy * side / CELLS, value, ratio, math.hypot(dx, dy) * PADDING / CELLS

    def update(self, frame: NDArray[np.uint8]) -> tuple[list[float], float]:
        same = self.find(frame, self.cx, self.cy, self.side)
        if same[4] > 0.15:
            again = self.find(frame, *same[:2], self.side)
            same = again if again[2] > 0.8 * same[2] else same
        smaller = self.find(frame, *same[:2], self.side / STEP)
        larger = self.find(frame, *same[:2], self.side * STEP)
        bend = smaller[2] - 2 * same[2] + larger[2]
        growth = (
            float(np.clip((smaller[2] - larger[2]) / 2 / bend, -1, 1)) if bend < 0 else math.copysign(1, larger[2] - smaller[2])
        )
        self.cx, self.cy, _, ratio, _ = smaller if growth <= -0.5 else larger if growth >= 0.5 else same
        self.w, self.h = self.w * STEP ** (FOLLOWING * growth), self.h * STEP ** (FOLLOWING * growth)
        patch = self.patch(frame, self.cx, self.cy, self.side)
        features = reference_features(patch)
        self.object = self.object + LEARNING * (features - self.object)
        self.filter = self.filter + LEARNING * (reference_filter(features) - self.filter)
        likeness = float(np.clip((self.look * self.looks(patch)).sum(), 0, 1))
        box = [self.cx - self.w / 2, self.cy - self.h / 2, self.w, self.h]
        return box, likeness * float(np.clip((ratio - 5) / 15, 0, 1))


def smooth(seed: int, side: int = PATCH, grain: int = 12) -> Real:
    """A random image without steps, levels 0 to 255."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (grain, grain))
    at = np.linspace(0, grain - 1, side)
    along = np.array([np.interp(at, np.arange(grain), row) for row in coarse])
    return np.array([np.interp(at, np.arange(grain), column) for column in along.T]).T


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 40), st.floats(0.1, 1))
def test_features_equal_the_reference(seed: int, grain: int, contrast: float) -> None:
    patch = (smooth(seed, grain=grain) * contrast + np.random.default_rng(seed).uniform(0, 3, (PATCH, PATCH))).astype(
        np.float32
    )
    ours, expected = kcf_features(patch), reference_features(patch.astype(np.float64))
    assert ours.shape == (CELLS, CELLS, CHANNELS)
    # a gradient half-way between two directions may go to either, and touches the histograms of the cells around it
    _, along = reference_orientations(patch.astype(np.float64))
    first, second = np.sort(along, axis=0)[[-1, -2]]
    tied = (first - second < 1e-4 * (1 + first)).reshape(CELLS, 2, CELLS, 2).any(axis=(1, 3))
    wide = np.pad(tied, 3)
    near = np.any([np.roll(wide, (dy, dx), (0, 1)) for dy in range(-3, 4) for dx in range(-3, 4)], axis=0)[3:-3, 3:-3]
    np.testing.assert_allclose(ours[~near], expected[~near], atol=2e-4)


def test_a_flat_patch_has_no_features() -> None:
    assert np.abs(kcf_features(np.full((PATCH, PATCH), 77, np.float32))).max() < 1e-6
    steep = np.zeros((PATCH, PATCH), np.float32)
    steep[:, 24:] = 255
    maps = kcf_features(steep)
    assert maps[12, 11:13, 0].min() > 0.1  # the direction across, on both sides of the edge
    assert np.abs(maps[..., 1:9]).max() == 0


@settings(max_examples=60, deadline=None)
@given(seeds, seeds)
def test_responses_equal_the_reference(first: int, second: int) -> None:
    learnt, patch = smooth(first).astype(np.float32), smooth(second).astype(np.float32)
    object_, other = (kcf_features(each).astype(np.float64) for each in (learnt, patch))
    expected = np.fft.ifft2(reference_filter(object_) * correlation(object_, other)).real
    np.testing.assert_allclose(kcf_response(learnt, patch), expected, atol=2e-4)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (-4, 2), (6, -6)])
def test_the_response_peaks_where_the_patch_went(dx: int, dy: int) -> None:
    wide = smooth(3, 96, 24)
    learnt, patch = wide[24:72, 24:72], wide[24 - dy : 72 - dy, 24 - dx : 72 - dx]
    found_x, found_y, value, ratio = kcf_peak(kcf_response(learnt.astype(np.float32), patch.astype(np.float32)))
    assert (found_x, found_y) == pytest.approx((dx / 2, dy / 2), abs=0.3)
    assert value > 0.3
    assert ratio > 8


@settings(max_examples=200, deadline=None)
@given(seeds, st.integers(0, CELLS - 1), st.integers(0, CELLS - 1), st.floats(0, 2))
def test_peaks_equal_the_reference(seed: int, y: int, x: int, height: float) -> None:
    response = np.random.default_rng(seed).normal(0, 0.1, (CELLS, CELLS))
    response[y, x] += height
    response = response.astype(np.float32)
    np.testing.assert_allclose(kcf_peak(response), reference_peak(response.astype(np.float64)), rtol=1e-4, atol=1e-4)


def test_a_flat_response_has_no_peak() -> None:
    assert kcf_peak(np.zeros((CELLS, CELLS), np.float32)) == (0, 0, 0, 0)


def frame_at(x: float, y: float, size: float, colour: bool) -> NDArray[np.uint8]:
    """An image that moves by (x, y) pixels and grows about (80, 60): uint8 (120, 160[, 3])."""
    columns, rows = (np.arange(160) + 0.5 - 80 - x) / size, (np.arange(120) + 0.5 - 60 - y) / size
    u, v = np.meshgrid(columns, rows)
    level = (
        128 + 50 * np.sin(u / 5) * np.cos(v / 7) + 40 * np.sin((u + v) / 9 + 1) * np.sin(v / 4) + 20 * np.cos(u / 3 - v / 11)
    )
    grey = np.clip(level, 0, 255).astype(np.uint8)
    return np.stack([grey // 2 + 40, grey, 255 - grey // 3], axis=2) if colour else grey


@settings(max_examples=25, deadline=None)
@given(
    st.booleans(),
    st.floats(14, 27),
    st.floats(14, 27),
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.98, 1.02)), min_size=1, max_size=4),
)
def test_the_whole_tracker_equals_the_reference(
    colour: bool, w: float, h: float, moves: list[tuple[float, float, float]]
) -> None:
    box = (80 - w / 2, 60 - h / 2, w, h)
    ours, reference = Kcf(), ReferenceKcf()
    ours.init(frame_at(0, 0, 1, colour), *box)
    reference.init(frame_at(0, 0, 1, colour), box)
    x, y, size = 0.0, 0.0, 1.0
    for dx, dy, growth in moves:
        x, y, size = x + dx, y + dy, size * growth
        frame = frame_at(x, y, size, colour)
        boxes, confidences = kcf_update([ours], frame)
        expected, confidence = reference.update(frame)
        # floats of half the length: where three scales answer nearly alike, the size between them is uncertain
        np.testing.assert_allclose(boxes[0], expected, atol=0.3)
        assert confidences[0] == pytest.approx(confidence, abs=0.04)


def test_eight_frames_equal_the_reference_closely() -> None:
    ours, reference = Kcf(), ReferenceKcf()
    ours.init(frame_at(0, 0, 1, True), 68, 50, 24, 20)
    reference.init(frame_at(0, 0, 1, True), (68, 50, 24, 20))
    for index in range(1, 9):
        frame = frame_at(3.4 * index, -2.2 * index, 1.01**index, True)
        boxes, confidences = kcf_update([ours], frame)
        expected, confidence = reference.update(frame)
        np.testing.assert_allclose(boxes[0], expected, atol=0.1)
        assert confidences[0] == pytest.approx(confidence, abs=0.02)
