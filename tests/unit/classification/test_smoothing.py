"""Smoothing against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.classification.smoothing import Smoother
from ferengine.errors import UsageError

step = st.tuples(st.floats(0, 3), st.lists(st.floats(0, 1), min_size=3, max_size=3))
tau = st.floats(0.01, 20)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@given(tau, st.lists(step, min_size=1, max_size=12))
def test_it_equals_the_weighted_sum(time_constant: float, steps: list[tuple[float, list[float]]]) -> None:
    """y_n = sum over k of w_k x_k, w_k = (1 - a_k) times the product of later a_j, a = exp(-dt / tau), a_0 = 0."""
    smoother = Smoother(time_constant, 3)
    time, smoothed = 0.0, vector(0, 0, 0)
    for gap, values in steps:
        time += gap
        smoothed = smoother.update(7, time, vector(*values))
    keep = [0.0, *(math.exp(-gap / time_constant) for gap, _ in steps[1:])]
    weights = [(1 - keep[k]) * math.prod(keep[k + 1 :]) for k in range(len(steps))]
    expected = sum(weight * np.array(values) for weight, (_, values) in zip(weights, steps, strict=True))
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, expected, atol=1e-5)


@given(tau, st.floats(0.001, 5), st.integers(2, 8))
def test_it_does_not_depend_on_the_frame_rate(time_constant: float, span: float, parts: int) -> None:
    start, after = vector(1, 0), vector(0.2, 0.8)
    coarse, fine = Smoother(time_constant, 2), Smoother(time_constant, 2)
    coarse.update(0, 0.0, start)
    fine.update(0, 0.0, start)
    once = coarse.update(0, span, after)
    for part in range(1, parts + 1):
        often = fine.update(0, span * part / parts, after)
    np.testing.assert_allclose(often, once, atol=1e-5)


@given(tau, st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3)), min_size=2, max_size=20))
def test_a_sum_of_one_stays_one(time_constant: float, steps: list[tuple[float, int]]) -> None:
    smoother, time = Smoother(time_constant, 4), 0.0
    for gap, label in steps:
        time += gap
        assert smoother.update(1, time, np.eye(4, dtype=np.float32)[label]).sum() == pytest.approx(1, abs=1e-5)


def test_no_time_constant_is_no_smoothing() -> None:
    smoother = Smoother(0, 2)
    smoother.update(0, 0.0, vector(1, 0))
    np.testing.assert_array_equal(smoother.update(0, 0.001, vector(0, 1)), vector(0, 1))


def test_the_same_moment_again_changes_nothing() -> None:
    smoother = Smoother(0.5, 2)
    smoother.update(0, 1.0, vector(1, 0))
    np.testing.assert_array_equal(smoother.update(0, 1.0, vector(0, 1)), vector(1, 0))


def test_time_that_runs_backwards_begins_anew() -> None:
    smoother = Smoother(0.5, 2)
    smoother.update(0, 5.0, vector(1, 0))
    np.testing.assert_array_equal(smoother.update(0, 4.9, vector(0, 1)), vector(0, 1))
    np.testing.assert_allclose(smoother.update(0, 5.4, vector(1, 0)), vector(1 - math.exp(-1), math.exp(-1)), atol=1e-6)


def test_tracks_do_not_mix_and_the_input_is_left_alone() -> None:
    smoother, scores = Smoother(1.0, 2), vector(0, 1)
    smoother.update(0, 0.0, vector(1, 0))
    np.testing.assert_array_equal(smoother.update(1, 0.1, scores), vector(0, 1))
    smoother.update(1, 0.2, vector(1, 0))
    np.testing.assert_array_equal(scores, vector(0, 1))


def test_memory_is_bounded_over_ten_thousand_tracks() -> None:
    smoother = Smoother(0.5, 2)
    most = 0
    for track in range(10_000):
        smoother.update(track, track * 0.1, vector(1, 0))
        most = max(most, len(smoother))
    assert most <= 700  # a minute of new tracks, ten a second, and a margin


def test_a_track_that_goes_on_is_not_forgotten() -> None:
    smoother = Smoother(1000.0, 2)
    smoother.update(0, 0.0, vector(1, 0))
    for second in range(1, 101):
        smoothed = smoother.update(0, float(second), vector(0, 1))
    assert smoothed[0] == pytest.approx(math.exp(-0.1), abs=1e-4)


@pytest.mark.parametrize("time_constant", [-0.1, math.nan, math.inf])
def test_a_wrong_time_constant_is_refused(time_constant: float) -> None:
    with pytest.raises(UsageError, match="time constant"):
        Smoother(time_constant, 7)


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(7,\), not \(3,\)"):
        Smoother(0.5, 7).update(0, 0.0, vector(1, 0, 0))
