"""The prior of a camera: what it finds, how slowly it forgets, and what it never does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ferengine.classification import adaptive_prior
from ferengine.classification.adaptive_prior import MAX_FACTOR, MEMORY, AdaptivePrior, limited
from ferengine.models.settings import Prior

LABELS = ("angry", "happy", "neutral")
START = Prior("everyday", LABELS, (0.2, 0.3, 0.5))


def faces(frequencies: tuple[float, ...], count: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Classes drawn by ``frequencies``, and what a calibrated classifier says of them under START, which expects others."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(LABELS), count, p=frequencies)
    evidence = 2.0 * (rng.normal(size=(count, len(LABELS))) + 2.0 * np.eye(len(LABELS))[classes])  # log p(x | y)
    scores = np.exp(evidence - evidence.max(axis=1, keepdims=True)) * START.probabilities
    return classes, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def watch(prior: AdaptivePrior, scores: NDArray[np.float32], start: float = 0.0) -> NDArray[np.float32]:
    """One face a second."""
    found = []
    for second, row in enumerate(scores):
        found.append(prior.read(row))
        prior.note_time(start + second)
    return np.array(found)


@pytest.mark.parametrize("frequencies", [(0.1, 0.7, 0.2), (0.4, 0.2, 0.4)])
def test_known_frequencies_are_found(frequencies: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a camera that remembers for less long than a real one, for the sake of time."""
    monkeypatch.setattr(adaptive_prior, "_STEP", 20 / MEMORY)
    prior = AdaptivePrior(START)
    classes, scores = faces(frequencies, 3000)
    found = watch(prior, scores)
    np.testing.assert_allclose(prior.probabilities, frequencies, atol=0.06)
    later = slice(1000, None)
    before, after = (float(np.mean(each[later].argmax(axis=1) == classes[later])) for each in (scores, found))
    assert after > before
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_it_starts_as_it_is_told_and_forgets_slowly() -> None:
    prior = AdaptivePrior(START)
    np.testing.assert_array_equal(prior.probabilities, START.probabilities)
    first = prior.read(np.array([0.2, 0.3, 0.5], np.float32))
    np.testing.assert_allclose(first, [0.2, 0.3, 0.5], rtol=1e-6)
    sure = np.tile(np.array([0.0, 1.0, 0.0], np.float32), (600, 1))
    watch(prior, sure)
    gained = 0.7 * (1 - np.exp(-600 / MEMORY))  # of the way to 1 in ten minutes
    assert prior.probabilities[1] == pytest.approx(0.3 + gained, abs=0.01)


def test_a_camera_that_saw_one_person_laugh_for_hours_still_reads_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive_prior, "_STEP", 20 / MEMORY)
    prior = AdaptivePrior(START)
    watch(prior, np.tile(np.array([0.01, 0.97, 0.02], np.float32), (1000, 1)))
    np.testing.assert_allclose(prior.probabilities, [0.2 / MAX_FACTOR, 1 - 0.7 / MAX_FACTOR, 0.5 / MAX_FACTOR], rtol=1e-5)
    for wanted in (0, 2):
        scores = np.full(3, 0.04, np.float32)
        scores[wanted] = 0.92
        assert prior.read(scores).argmax() == wanted
    watch(prior, np.tile(np.array([0.02, 0.02, 0.96], np.float32), (200, 1)), start=1e6)
    assert prior.probabilities.argmax() == 2  # and comes back


def test_neither_frame_rates_nor_crowds_nor_empty_hours_matter() -> None:
    _, scores = faces((0.1, 0.7, 0.2), 50)
    plain, fast, crowded, empty = (AdaptivePrior(START) for _ in range(4))
    watch(plain, scores)
    for second, row in enumerate(scores):
        for frame in range(25):
            fast.read(row)
            fast.note_time(second + frame / 25)
        for _ in range(8):
            crowded.read(row)
        crowded.note_time(float(second))
        empty.read(row)
        for minute in range(60):
            empty.note_time(3600.0 * second + 60 * minute)
    for other in (fast, crowded, empty):
        np.testing.assert_allclose(other.probabilities, plain.probabilities, rtol=2e-3)


def test_time_that_runs_backwards_is_taken_as_it_comes() -> None:
    prior = AdaptivePrior(START)
    for timestamp in (1e9, 0.0, 0.5, 1.0):
        prior.read(np.array([0, 1, 0], np.float32))
        prior.note_time(timestamp)
    assert prior.probabilities[1] == pytest.approx(0.3 + 0.7 * 3 / MEMORY, rel=1e-3)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, 5, elements=st.floats(0, 1)).filter(lambda values: values.sum() > 1e-3), st.floats(1.5, 20))
def test_limits_hold_and_what_is_within_them_stays(frequencies: NDArray[np.float64], factor: float) -> None:
    start = np.array([0.05, 0.1, 0.2, 0.25, 0.4])
    frequencies = frequencies / frequencies.sum()
    found = limited(frequencies, start, factor)
    assert found.sum() == pytest.approx(1)
    assert (found >= start / factor * (1 - 1e-9)).all()
    assert (found <= start * factor * (1 + 1e-9)).all()
    if ((frequencies >= start / factor) & (frequencies <= start * factor)).all():
        np.testing.assert_allclose(found, frequencies, rtol=1e-6)
    order = np.argsort(frequencies / start, kind="stable")
    assert (np.diff((found / start)[order]) >= -1e-9).all()
