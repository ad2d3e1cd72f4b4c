"""Clocks: time stamps that are missing, repeated, run backward or jump."""

from __future__ import annotations

import pytest

from ferengine.sources.clock import CallerClock, MediaClock, WallClock, believable_rate


@pytest.mark.parametrize(
    ("media", "expected", "replaced"),
    [
        ([5.0, 5.1, 5.3], [0.0, 0.1, 0.3], 0),
        ([None] * 4, [0.0, 0.1, 0.2, 0.3], 4),
        ([0.0, None, None, 0.3], [0.0, 0.1, 0.2, 0.3], 2),
        ([None, None, 7.0, 7.1], [0.0, 0.1, 0.2, 0.3], 2),
        ([0.0, 0.1, 0.1, 0.2], [0.0, 0.1, 0.2, 0.3], 1),
        ([0.0, 0.1, 5e6, 5e6 + 0.1], [0.0, 0.1, 0.2, 0.3], 1),
        ([100.0, 100.1, 0.0, 0.1], [0.0, 0.1, 0.2, 0.3], 1),
        ([0.0, 0.1, 9e9, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4], 2),
        ([0.0, float("nan"), 0.2], [0.0, 0.1, 0.2], 1),
        ([0.0, 20.0, 20.1], [0.0, 20.0, 20.1], 0),
    ],
)
def test_media_clock(media: list[float | None], expected: list[float], replaced: int) -> None:
    clock = MediaClock(0.1)
    assert [clock.stamp(seconds) for seconds in media] == pytest.approx(expected, abs=1e-6)
    assert clock.replaced == replaced


def test_media_clock_counts_from_the_start_of_the_recording() -> None:
    clock = MediaClock(0.1, start=7.0)
    assert [clock.stamp(seconds) for seconds in (8.0, 8.1)] == pytest.approx([1.0, 1.1])


def test_media_clock_continues_over_loops() -> None:
    clock = MediaClock(0.1)
    stamps = [clock.stamp(0.0), clock.stamp(0.1)]
    clock.restart()
    assert [*stamps, clock.stamp(0.0), clock.stamp(0.1)] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert clock.replaced == 0


def test_wall_clock_goes_on_when_the_system_is_set_back() -> None:
    seconds = iter([(1000.0, 0.0), (1000.1, 0.1), (-2600.0, 0.2), (-2599.9, 0.3), (5000.0, 0.4), (5000.1, 0.5)])
    now = (0.0, 0.0)
    clock = WallClock(lambda: now[0], lambda: now[1])
    stamps = []
    for now in seconds:  # noqa: B007 - the clock reads it
        stamps.append(clock.stamp())
    assert stamps == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3, 5000.0, 5000.1])
    assert clock.replaced == 2


def test_caller_clock_recognises_a_clock_that_was_set_back() -> None:
    clock = CallerClock()
    stamps = [clock.stamp(given) for given in (7200.0, 7200.5, 3601.0, 3601.5, 7300.0)]
    assert stamps == pytest.approx([7200.0, 7200.5, 7201.0, 7201.5, 10900.0])
    assert clock.replaced == 1


@pytest.mark.parametrize(
    ("declared", "guessed", "step", "expected"),
    [
        (30, 30, 1 / 30, 30),
        (1000, 1000, 0.04, 25),
        (0, 90000, 0.02, 50),
        (25, 30, None, 30),
        (0, 0, None, 25),
        (1000, 1000, 0.001, 1000),
    ],
)
def test_nominal_rate(declared: float, guessed: float, step: float | None, expected: float) -> None:
    stamps = [] if step is None else [index * step for index in range(20)]
    assert believable_rate(declared, guessed, stamps) == pytest.approx(expected)
