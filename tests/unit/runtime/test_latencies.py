"""Percentiles from classes of latencies, against NumPy on the values themselves."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.runtime.metrics import LatencyHistogram

PERCENTS = (0, 50, 95, 99, 100)


@given(st.lists(st.floats(2e-3, 1e6), min_size=1, max_size=200))
def test_percentiles_are_within_one_percent(values: list[float]) -> None:
    latencies = LatencyHistogram()
    for value in values:
        latencies.add(value)
    assert latencies.percentiles(PERCENTS) == pytest.approx(np.percentile(values, PERCENTS).tolist(), rel=0.01)


def test_percentiles_of_many_values() -> None:
    values = np.random.default_rng(0).lognormal(3, 1.5, 50_000)
    latencies = LatencyHistogram()
    for value in values.tolist():
        latencies.add(value)
    assert latencies.percentiles(PERCENTS) == pytest.approx(np.percentile(values, PERCENTS).tolist(), rel=0.01)


def test_nothing_and_the_ends_of_the_scale() -> None:
    latencies = LatencyHistogram()
    assert latencies.percentiles(PERCENTS) == [0.0] * 5
    for value in (-1.0, 0.0, 1e-4):
        latencies.add(value)
    assert latencies.percentiles(PERCENTS) == [0.0] * 5
    latencies.add(1e12)
    assert latencies.percentiles((100,))[0] == pytest.approx(1e7, rel=0.03)


def test_memory_does_not_grow() -> None:
    latencies = LatencyHistogram()
    before = sys.getsizeof(latencies._counts)
    for index in range(20_000):
        latencies.add(index / 7)
    assert sys.getsizeof(latencies._counts) == before < 10_000
