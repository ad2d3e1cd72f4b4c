"""Clocks: time stamps that are missing, repeated, run backward or jump."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from ferengine.sources.clock import CallerClock, MediaClock, WallClock, believable_rate


@pytest.mark.parametrize(
    ("media", "expected", "replaced"),
    [
        ([5.0, 5.1, 5.3], [0.0, 0.1, 0.3], 0),
        ([None] * 4, [0.0, 0.1, 0.2, 0.3], 4),
        ([0.0, None, None, 0.3], [0.0, 0.1, 0.2, 0.3], 2),
        ([None, None, 7.0, 7.1], [0.0, 0.1, 0.2, 0.3], 2),
        ([0.0, 0.1, 0.1, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4], 1),
        ([0.0, 0.1, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.225, 0.3], 2),  # those behind it keep their own time
        ([0.0, None, 0.1, 0.2, 0.3], [0.0, 0.1, 0.125, 0.2, 0.3], 2),
        ([0.0, 0.1, 5e6, 5e6 + 0.1], [0.0, 0.1, 0.2, 0.3], 1),
        ([100.0, 100.1, 0.0, 0.1], [0.0, 0.1, 0.2, 0.3], 1),
        ([0.0, 0.1, 9e9, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4], 2),
        ([0.0, float("nan"), 0.2], [0.0, 0.1, 0.2], 1),
        ([0.0, 20.0, 20.1], [0.0, 20.0, 20.1], 0),
        ([0.0, 0.1, -5.0, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4], 1),  # one that is wrong leaves no gap
        ([0.0, 0.2, 0.1, 0.4, 0.3, 0.6, 0.7], [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 2),
        ([0.0, *[0.1] * 101, 0.2, 0.3], [index / 10 for index in range(104)], 101),  # a clock that stood still
    ],
)
def test_media_clock(media: list[float | None], expected: list[float], replaced: int) -> None:
    clock = MediaClock(0.1)
    assert [clock.stamp(seconds) for seconds in media] == pytest.approx(expected, abs=1e-6)
    assert clock.replaced == replaced


def looking(stamps: Sequence[float], period: float, packets: int = 48) -> tuple[list[float], int]:
    """The times of frames, and how many were replaced, where so many packets can be read ahead."""
    place = 0
    clock = MediaClock(period, look_ahead=lambda: stamps[place + 1 : place + 1 + packets])
    times = []
    for place, stamp in enumerate(stamps):  # noqa: B007 - the clock looks from there
        times.append(clock.stamp(stamp))
    return times, clock.replaced


@pytest.mark.parametrize("rate", [10, 25, 60])
@pytest.mark.parametrize("seconds", [5.0, 10.0, 30.0, 59.0, 70.0])
@pytest.mark.parametrize("frames", [1, 3, 10, 30])
@pytest.mark.parametrize("begins", [[100], [40, 100, 180]])
def test_stamps_that_are_ahead_and_fall_back_are_wrong(rate: int, seconds: float, frames: int, begins: list[int]) -> None:
    true = [index / rate for index in range(250)]
    ahead = {index for begin in begins for index in range(begin, begin + frames)}
    times, replaced = looking([stamp + seconds * (index in ahead) for index, stamp in enumerate(true)], 1 / rate)
    assert times == pytest.approx(true, abs=1e-3)
    assert replaced >= len(ahead)


@pytest.mark.parametrize("every", [2, 7])
def test_stamps_that_are_ahead_again_and_again_add_no_time(every: int) -> None:
    """Without a look at what follows each of them would add its 30 seconds."""
    true = [index / 25 for index in range(501)]
    times, _ = looking([stamp + 30 * (index % every == 1) for index, stamp in enumerate(true)], 1 / 25)
    assert times == pytest.approx(true, abs=1e-3)


@pytest.mark.parametrize(
    "stamps",
    [
        [*(index / 25 for index in range(50)), *(30 + index / 25 for index in range(50))],  # a pause
        [5.0 * index for index in range(20)],  # slides
        [*(index / 25 for index in range(50)), 20.0],  # the last one
    ],
)
def test_a_pause_is_no_mistake(stamps: list[float]) -> None:
    times, _ = looking(stamps, 1 / 25)
    assert times[-1] == pytest.approx(stamps[-1], abs=0.1)


def test_a_pause_before_frames_that_are_decoded_in_another_order_is_no_mistake() -> None:
    clock = MediaClock(0.04, look_ahead=lambda: [30.16, 30.08, 30.04, 30.12, 30.32, 30.24, 30.2, 30.28])
    assert [clock.stamp(stamp) for stamp in (0.0, 0.04, 30.0)] == pytest.approx([0.0, 0.04, 30.0])


@pytest.mark.parametrize("group", [8, 12, 25, 48])
def test_frames_in_reversed_groups_are_not_ahead(group: int) -> None:
    true = [index / 25 for index in range(480)]
    stamps = [stamp for begin in range(0, 480, group) for stamp in reversed(true[begin : begin + group])]
    assert looking(stamps, 1 / 25)[0][-group] == pytest.approx(true[-group], abs=group / 25)


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
    ("given", "rate"),
    [
        (lambda index: index // 30, 30),
        (lambda index: (index + 27) // 30, 30),  # begins late in a second
        (lambda index: (index + 29) // 30, 30),
        (lambda index: index * 10 // 25 / 10, 25),
        (lambda index: 1.7e9 + index // 10, 10),
        (lambda index: index // 100, 100),
        (lambda index: min(index, 1) * 1e-6, 25),  # a clock that is stuck
        (lambda index: 7.0, 25),
        (lambda index: index / 100 if index % 7 else (index - 1) / 100, 100),
    ],
)
def test_time_keeps_its_speed_where_a_coarse_clock_repeats_itself(given: Callable[[int], float], rate: float) -> None:
    clock = CallerClock()
    stamps = np.array([clock.stamp(given(index)) for index in range(900)])
    assert np.all(np.diff(stamps) > 0)
    assert clock.replaced > 100
    seconds = np.arange(900) / rate
    assert stamps[-1] - stamps[0] == pytest.approx(seconds[-1], abs=1.0)
    assert np.abs(stamps - stamps[0] - seconds).max() < (1.2 if rate < 100 else 3.1)  # the first second shows the rate


@pytest.mark.parametrize("nominal", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("resolution", [1.0, 0.1, 0.067])
@pytest.mark.parametrize("rate", [10.0, 30.0, 50.0])
def test_a_recording_keeps_its_speed_where_its_stamps_repeat(rate: float, resolution: float, nominal: float) -> None:
    seconds = np.arange(600) / rate
    clock = MediaClock(1 / (rate * nominal))
    stamps = np.array([clock.stamp(float(second // resolution * resolution)) for second in seconds])
    assert np.all(np.diff(stamps) > 0)
    assert np.abs(stamps - seconds).max() <= (resolution + 1e-6) * max(1.0, 1 / nominal)  # until the rate is known


def concatenated(lengths: Sequence[int], begins: float = 0.0) -> list[float]:
    """Stamps of 25 frames a second that begin again behind so many frames each."""
    return [begins + index / 25 for length in lengths for index in range(length)]


def out_of_order(frames: int, order: Sequence[int]) -> list[float]:
    size = len(order)
    return [(index // size * size + order[index % size]) / 25 for index in range(frames)]


@pytest.mark.parametrize(
    "stamps",
    [
        *(pytest.param(concatenated([length] * (250 // length)), id=f"parts of {length}") for length in (2, 5, 8, 12, 25, 75)),
        pytest.param(concatenated([8] * 30, begins=1.4), id="parts that begin late"),
        pytest.param(concatenated([7, 12, 40, 3, 25, 9, 60, 11, 33, 50]), id="parts of any length"),
        pytest.param([index / 25 - 3600.0 * (index > 90) for index in range(250)], id="set back"),
        pytest.param([index / 25 - 0.5 * (index // 60) for index in range(250)], id="set back again and again"),
        pytest.param([0.0, *(index / 25 - 1.9 for index in range(1, 250))], id="set back at once"),
        pytest.param([-index / 25 for index in range(250)], id="backward"),
    ],
)
def test_a_recording_whose_stamps_begin_again_goes_on_at_its_rate(stamps: list[float]) -> None:
    clock = MediaClock(1 / 25)
    assert [clock.stamp(given) for given in stamps] == pytest.approx(np.arange(len(stamps)) / 25)


@pytest.mark.parametrize(
    "stamps",
    [
        out_of_order(250, (1, 0)),
        out_of_order(250, (0, 3, 1, 2)),  # the order of decoding
        out_of_order(249, (2, 1, 0)),
        out_of_order(250, tuple(range(9, -1, -1))),
        [index / 25 + 1.5 / 25 * (index % 50 == 20) for index in range(250)],
        [(index ^ (index % 20 < 2)) / 25 for index in range(250)],
        list(np.arange(250) / 25 + np.random.default_rng(1).uniform(-1, 1, 250) / 25),
        list(np.arange(250) / 25 + np.random.default_rng(2).uniform(-3, 3, 250) / 25),
    ],
)
@pytest.mark.parametrize("nominal", [1.0, 1.3, 0.8])
def test_frames_out_of_order_do_not_change_the_speed(stamps: list[float], nominal: float) -> None:
    clock = MediaClock(1 / 25 / nominal, start=0.0)
    times = np.array([clock.stamp(given) for given in stamps])
    assert np.diff(times).min() > 0.2 / 25
    assert np.diff(times).max() < 6 / 25
    assert times[-1] == pytest.approx(len(stamps) / 25, abs=0.2)
    assert np.abs(times - np.arange(len(stamps)) / 25).max() < 0.6


@pytest.mark.parametrize("order", [(0, 2, 1), (0, 3, 1, 2)])
@pytest.mark.parametrize(("declared", "real"), [(30, 60), (30, 50), (25, 50), (25, 40), (24, 30)])
def test_frames_out_of_order_may_be_faster_than_they_say(declared: float, real: float, order: Sequence[int]) -> None:
    clock = MediaClock(1 / declared)
    times = [clock.stamp(given * 25 / real) for given in out_of_order(1200, order)]
    assert np.diff(times).min() > 0.2 / real
    assert times[-1] == pytest.approx(1200 / real, abs=0.4)


def test_a_pause_in_a_recording_is_kept_where_its_stamps_began_again() -> None:
    clock = MediaClock(1 / 25)
    stamps = [*concatenated([20, 10]), *(5 + index / 25 for index in range(10))]
    times = [clock.stamp(given) for given in stamps]
    assert times[29] == pytest.approx(29 / 25)
    assert np.diff(times[29:]) == pytest.approx([5 - 9 / 25, *[1 / 25] * 9])


@pytest.mark.parametrize("times", [1, 2, 20])
@pytest.mark.parametrize("wrong", [0.0, 27.0, 29.5])
@pytest.mark.parametrize("pause", [0.2, 0.6, 1.0, 5.0, 29.0])
def test_the_pause_behind_a_wrong_stamp_is_kept(pause: float, wrong: float, times: int) -> None:
    clock = MediaClock(1 / 25)
    stamps = [*(index / 25 for index in range(750)), *[wrong] * times]
    stamps += [29.96 + times / 25 + pause + index / 25 for index in range(100)]
    seconds = [clock.stamp(given) for given in stamps]
    assert seconds[:750] == pytest.approx(stamps[:750])
    assert seconds[750 + times :] == pytest.approx(stamps[750 + times :])
    assert np.diff(seconds).min() > 0.019
    assert clock.replaced == times


def test_a_wrong_stamp_behind_a_minute_is_none_before_which_all_begins_again() -> None:
    clock = MediaClock(1 / 25)
    stamps = [*(index / 25 for index in range(1500)), 0.0, *(61 + index / 25 for index in range(50))]
    assert [clock.stamp(given) for given in stamps] == pytest.approx([*stamps[:1500], 60.0, *stamps[1501:]])


@pytest.mark.parametrize("late", [0.5, 1.5, 1.9])
@pytest.mark.parametrize("period", [1.0, 0.5, 0.2])
def test_a_frame_that_comes_late_does_not_shift_the_slower_ones_behind_it(period: float, late: float) -> None:
    clock = MediaClock(1 / 25)
    stamps = [*(index * period for index in range(6)), (5 - late) * period, *(index * period for index in range(6, 20))]
    assert [clock.stamp(given) for given in stamps][7:] == pytest.approx(stamps[7:])


@pytest.mark.parametrize("times", [1, 2, 20])
@pytest.mark.parametrize("pause", [0.6, 2.0, 100.0])
@pytest.mark.parametrize("begins", [1.76e9, 1000.0])
def test_a_wrong_stamp_of_a_caller_does_not_shift_those_behind_it(begins: float, pause: float, times: int) -> None:
    clock = CallerClock()
    stamps = [*(begins + index / 25 for index in range(200)), *[0.0] * times]
    stamps += [begins + 8 + times / 25 + pause + index / 25 for index in range(50)]
    seconds = [clock.stamp(given) for given in stamps]
    assert seconds[200 + times :] == pytest.approx(stamps[200 + times :], rel=0, abs=1e-3)
    assert np.diff(seconds).min() > 0.019


def test_stamps_of_any_kind_increase() -> None:
    chance = random.Random(4)
    kinds = (lambda last: last, lambda last: last + 0.04, lambda last: last - 0.02, lambda last: last + 1.0,
             lambda last: None, lambda last: last + 3600.0, lambda last: last - 3600.0, lambda last: last + 1e-12)  # fmt: skip
    for _ in range(100):
        clock, given, stamps = MediaClock(0.04), 0.0, [-0.04]
        for _ in range(60):
            media = chance.choice(kinds)(given)
            given = given if media is None else media
            stamps.append(clock.stamp(media))
        assert all(after > before for before, after in pairwise(stamps))
        assert clock.now == stamps[-1]


def test_a_long_pause_is_no_step() -> None:
    clock = CallerClock()
    stamps = [clock.stamp(given) for given in (0.0, 0.1, 3600.0, 3600.0, 10.0, 10.1)]
    assert stamps == pytest.approx([0.0, 0.1, 3600.0, 3600.04, 3600.14, 3600.24])
    assert clock.replaced == 2


def test_a_clock_of_whole_seconds_is_spread_evenly() -> None:
    clock = CallerClock()
    stamps = [clock.stamp(float(index // 10)) for index in range(60)]
    assert np.diff(stamps[30:]) == pytest.approx(np.full(29, 0.1))


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


@pytest.mark.parametrize(
    ("declared", "stamps", "expected"),
    [
        (0, [index // 3 / 10 for index in range(48)], 30),
        (30, [index // 2 / 15 for index in range(48)], 30),
        (25, [index // 2 / 25 for index in range(48)], 25),  # packets of half a frame
        (10, [index * 4 // 10 / 10 for index in range(48)], 25),
        (1, [index // 25 for index in range(48)], 25),  # one step between two stamps
        (1, [(index + 20) // 25 for index in range(48)], 25),
        (50, concatenated([5] * 9), 25),  # begins again
        (0, concatenated([8] * 6, begins=1.4), 25),
        (12.5, out_of_order(48, (0, 3, 1, 2)), 25),
        (0, [None if index % 5 else index / 25 for index in range(48)], 25),  # some have none
        (1000, [0.0] * 48, 25),  # the unit of the stamps
        (50, [0.0] * 48, 50),
    ],
)
def test_nominal_rate_where_stamps_repeat(declared: float, stamps: list[float | None], expected: float) -> None:
    assert believable_rate(declared, 0, stamps) == pytest.approx(expected)
