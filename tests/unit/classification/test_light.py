"""Crops of little contrast are stretched, others are left alone, and both ways to the networks do the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.classification.light import FULL_CONTRAST, contrast_of, lighten

crops = st.builds(
    lambda seed, side, low, spread: np.random.default_rng(seed).integers(low, low + spread, (2, side, side)).astype(np.uint8),
    st.integers(0, 999), st.sampled_from([4, 12, 48]), st.integers(0, 180), st.integers(1, 76),
)  # fmt: skip


def plain(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """One crop, not rounded."""
    values = crop.astype(np.float64)
    mean, deviation = values.mean(), values.std()
    if deviation >= FULL_CONTRAST or deviation == 0:
        return values
    gain = min(FULL_CONTRAST / max(deviation, 0.01), 8)
    return np.clip((values - mean) * gain + max(mean, min(mean * gain, 128)), 0, 255)


@given(crops)
def test_against_a_plain_one(given_crops: NDArray[np.uint8]) -> None:
    stretched = given_crops.copy()
    lighten(stretched, contrast_of(given_crops))
    for crop, found in zip(given_crops, stretched, strict=True):
        np.testing.assert_allclose(found, plain(crop), atol=0.502)


@given(crops, st.sampled_from([(0.0, 1.0), (129.5, 65.0), (127.5, 128.0)]))
def test_normalised_crops_are_treated_as_those_of_bytes(given_crops: NDArray[np.uint8], scale: tuple[float, float]) -> None:
    mean, std = scale
    stretched = given_crops.copy()
    lighten(stretched, contrast_of(given_crops))
    batch = ((given_crops[:, None].astype(np.float32) - np.float32(mean)) / np.float32(std)).astype(np.float32)
    lighten(batch, contrast_of(given_crops), mean, std)
    np.testing.assert_allclose(batch[:, 0] * std + mean, stretched, atol=1e-3)


def test_ordinary_crops_stay_as_they_are() -> None:
    ordinary = np.random.default_rng(0).integers(60, 200, (3, 48, 48), np.uint8)
    assert contrast_of(ordinary).min() > FULL_CONTRAST
    batch = (ordinary.astype(np.float32) - 129.5) / 65
    before = batch.copy()
    lighten(batch, contrast_of(ordinary), 129.5, 65.0)
    np.testing.assert_array_equal(batch, before)


def test_a_quarter_of_the_light_is_lifted_to_the_full_contrast() -> None:
    face = np.random.default_rng(1).normal(100, 40, (1, 48, 48)).clip(0, 255)
    dark = np.rint(face / 4).astype(np.uint8)
    lighten(dark, contrast_of(dark))
    assert dark.std() == pytest.approx(FULL_CONTRAST, rel=0.02)
    assert dark.mean() == pytest.approx(100 / 4 * FULL_CONTRAST / 10, rel=0.05)
    haze = np.rint(face / 8 + 180).astype(np.uint8)
    lighten(haze, contrast_of(haze))
    assert haze.std() == pytest.approx(FULL_CONTRAST, rel=0.02)
    assert haze.mean() == pytest.approx(192.5, abs=1)  # it was bright before


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_flat_crop_keeps_no_numbers_that_are_none(level: int) -> None:
    flat = np.full((2, 48, 48), level, np.uint8)
    lighten(flat, contrast_of(flat))
    assert (flat == level).all()
    lighten(flat[:0], contrast_of(flat[:0]))


def test_a_classifier_reads_dark_crops_stretched_and_leaves_them_as_they_are() -> None:
    classifier = Classifier("dscnn")
    dark = np.random.default_rng(2).integers(0, 30, (2, 48, 48), np.uint8)
    dark[1] += np.random.default_rng(3).integers(0, 200, (48, 48), np.uint8)  # not this one
    before = dark.copy()
    stretched = dark.copy()
    lighten(stretched, contrast_of(dark))
    assert (stretched[0] != dark[0]).any()
    assert (stretched[1] == dark[1]).all()
    np.testing.assert_array_equal(classifier.logits(dark), classifier.logits(stretched))
    np.testing.assert_array_equal(dark, before)
