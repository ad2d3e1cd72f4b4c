"""When a batch closes, against its definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.stages.batching import BatchPolicy


@given(st.floats(0, 100), st.booleans(), st.integers(1, 64), st.floats(0, 10))
def test_nothing_waits_nothing_closes(age: float, idle: bool, most: int, deadline: float) -> None:
    assert not BatchPolicy(most, deadline).closes(0, age, device_idle=idle)


@pytest.mark.parametrize(
    ("waiting", "age", "idle", "closes"),
    [
        (1, 0.0, True, True),  # idle: no reason to wait
        (1, 0.0, False, False),
        (7, 0.009, False, False),
        (8, 0.0, False, True),  # full
        (9, 0.0, False, True),
        (1, 0.01, False, True),  # the oldest has waited long enough
        (1, 0.5, False, True),
    ],
)
def test_a_batch_closes(waiting: int, age: float, idle: bool, closes: bool) -> None:
    assert BatchPolicy(8, 0.01).closes(waiting, age, device_idle=idle) is closes


@pytest.mark.parametrize(("most", "deadline"), [(0, 0.01), (-1, 0.01), (1, -0.001)])
def test_wrong_limits_are_refused(most: int, deadline: float) -> None:
    with pytest.raises(UsageError, match="at least 1 face"):
        BatchPolicy(most, deadline)


def test_without_a_deadline_limit_only_a_full_batch_or_an_idle_device_closes() -> None:
    policy = BatchPolicy(2, math.inf)
    assert not policy.closes(1, 1e9, device_idle=False)
    assert policy.closes(2, 0.0, device_idle=False)
