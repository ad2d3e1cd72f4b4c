"""The clocks of the sources: time stamps that always move forward, at a believable speed."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import median_high

MAX_GAP = 60.0
"""Seconds by which a media time stamp may jump; what jumps further is taken for an error of the recorder."""
_MAX_GAP_PERIODS = 10.0
"""The same in periods, for recordings of less than one frame in six seconds."""
_STEP_TOLERANCE = 1.0
"""Seconds between the system's clock and the elapsed time from which the clock counts as having been set."""


class _GivenClock:
    """Turns time stamps that others give into ones that strictly increase, at the speed of those.

    A stamp that is repeated, as by a clock of whole seconds, or missing is spread over the time until the next one: by the step
    that the frames between two stamps before had, at first by the nominal one. The stamps behind it keep their own time; where
    the replaced ones have run ahead of them, time goes at half its speed until they have caught up. What runs ahead by far is
    a clock that stood still. A stamp that lies before the one before, or too far behind it, is replaced by that one plus the
    nominal step, and the stamps behind it continue from there, unless they go on where the one before was: then that stamp
    alone was wrong.

    Args:
        period: Nominal seconds between two frames; None where they are to be found out.
        max_gap: Maximum seconds between two frames.
    """

    def __init__(self, period: float | None, max_gap: float) -> None:
        self.replaced = 0
        self._nominal, self._max_gap = period, max_gap
        self._max_ahead = max(_MAX_AHEAD, _MAX_GAP_PERIODS * (period or 0.0))
        self._given: float | None = None
        self._now = 0.0
        self._shift = 0.0
        self._returns: tuple[float, float] | None = None  # the stamp before one that ran backward, and the shift until then
        self._frames = 1  # that have had the present stamp
        self._step: float | None = None  # between two stamps of one frame each
        self._spread: float | None = None  # between frames, where several have one stamp
        self._measured = 1 / FALLBACK_RATE if period is None else period  # the same, as the last stamp showed it
        self._ahead = 0.0
        self._is_own = True  # whether the last frame had its own time

    def _begin(self, given: float, now: float) -> None:
        """Let the frame with the stamp ``given``, and those behind it, have the time ``now``."""
        self._given, self._now, self._shift = given, now, now - given
        self._returns, self._frames, self._ahead, self._is_own = None, 1, 0.0, True

    def _repeat(self) -> None:
        self._frames += 1
        step = self._repeat_step()
        self._replace(step / 2 if self._ahead > 0 else step)

    def _advance(self, given: float) -> None:
        """Find the time of the next frame, whose stamp is another one than that of the frame before."""
        assert self._given is not None
        if self._returns is not None and self._returns[0] < given <= self._returns[0] + self._max_gap:
            self._given, self._shift = self._returns
        last, shift = self._given, self._shift
        if not 0 < given - last <= self._max_gap:
            self._shift_on(given)
            self._returns = (last, shift) if given < last else None
            return
        if self._returns is None:
            self._measure((given - last) / self._frames)
        self._given, self._returns, self._frames = given, None, 1
        own, least = given + shift, self._repeat_step() / 2
        if own - self._now >= (math.ulp(own) if self._is_own else least):
            self._now, self._ahead, self._is_own = own, 0.0, True
        elif self._now - own > self._max_ahead:
            self._shift_on(given)
        else:
            self._ahead = self._now - own
            self._replace(least)

    def _shift_on(self, given: float) -> None:
        self._replace(self._nominal or self._step or 1 / FALLBACK_RATE)
        self._begin(given, self._now)

    def _repeat_step(self) -> float:
        if self._spread is not None:
            return self._spread if self._step is None else min(self._spread, self._step)
        if self._nominal is not None:
            return self._nominal
        return min(1 / FALLBACK_RATE, self._step or math.inf)

    def _replace(self, step: float) -> None:
        self.replaced += 1
        self._now += step
        self._ahead -= step
        self._is_own = False

    def _measure(self, step: float) -> None:
        """Note how far two frames were apart, if that can be: the first of several with one stamp may have come late in it,
        so two measurements have to agree on a longer step."""
        if not _MIN_STEP <= step <= _MAX_STEP:
            return
        if self._frames == 1:
            self._step = step
        else:
            self._spread, self._measured = min(step, self._measured), step


class MediaClock(_GivenClock):
    """Turns the time stamps of a recording into seconds from 0 that strictly increase.

    A stamp that is missing, repeated, runs backward or jumps by more than ``max_gap`` is replaced by the one before plus
    the nominal period. Behind one that is missing or repeated the others keep their own time; behind one that runs backward
    or jumps they continue from there.

    Args:
        period: Nominal seconds between two frames.
        start: Media seconds at which the recording begins; by default those of its first frame.
        max_gap: Maximum seconds between two frames.

    Example:
        >>> clock = MediaClock(0.5)
        >>> [clock.stamp(seconds) for seconds in (7.0, 7.5, 7.5, None, 9.0, 2.0, 2.5)]
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        >>> clock.replaced
        3
    """

    def __init__(self, period: float, start: float | None = None, max_gap: float | None = None) -> None:
        super().__init__(period, max(MAX_GAP, _MAX_GAP_PERIODS * period) if max_gap is None else max_gap)
        self.period = period
        self._start = start
        self._now = -period

    @property
    def now(self) -> float:
        """The time of the last frame."""
        return self._now

    def stamp(self, media: float | None) -> float:
        """Return the time of the next frame.

        Args:
            media: Its seconds as the recording gives them, None where it gives none.
        """
        missing = media is None or not math.isfinite(media)
        if self._given is None and (missing or media is None):
            self._replace(self.period)
        elif missing or media is None or media == self._given:
            self._repeat()
        elif self._given is None:  # the first frame, or the first that has a stamp
            late = 0.0 if self._start is None else media - self._start
            self._begin(media, self._now + self.period + (late if 0 < late <= self._max_gap else 0.0))
        else:
            self._advance(media)
        return self._now

    def restart(self) -> None:
        """The recording starts again, as in a loop: the next frame follows one period behind."""
        self._given = None


class WallClock:
    """Seconds since the epoch that never run backward.

    While the system's clock is behind, because it was set back, time goes on at the speed of the monotonic clock. A clock
    that is set forth is followed at once.

    Args:
        wall: Seconds since the epoch, as ``time.time``.
        monotonic: Monotonic seconds, as ``time.monotonic``.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.replaced = 0
        self._wall, self._monotonic = wall, monotonic
        self._last = -math.inf
        self._last_monotonic = 0.0

    def stamp(self) -> float:
        """Return the present time."""
        wall, monotonic = self._wall(), self._monotonic()
        expected = self._last + max(0.0, monotonic - self._last_monotonic)
        if wall < expected - _STEP_TOLERANCE:
            self.replaced += 1
            now = expected
        else:
            now = wall if wall > self._last else math.nextafter(self._last, math.inf)
        self._last, self._last_monotonic = now, monotonic
        return now


wall_clock = WallClock()
"""The clock of this process: time does not run back across the connections of a source either."""


class CallerClock(_GivenClock):
    """Turns the time stamps that a program gives with its frames into ones that strictly increase.

    A clock that repeats itself keeps its speed, and one that is set back leaves no trace. One that is set forth leaves a gap.
    """

    def __init__(self) -> None:
        super().__init__(None, math.inf)

    def stamp(self, given: float) -> float:
        """Return the time of the next frame, for which the program gives ``given``."""
        if self._given is None:
            self._begin(given, given)
        elif given == self._given:
            self._repeat()
        else:
            self._advance(given)
        return self._now


def believable_rate(declared: float, guessed: float, stamps: list[float]) -> float:
    """Choose the nominal rate of a recording.

    Args:
        declared: Average frames per second as the container declares them, 0 where it does not.
        guessed: What FFmpeg guesses from the codec.
        stamps: Seconds of the first frames, in any order; those that have one.

    Returns:
        Frames per second: the declared rate where the stamps bear it out or are missing, else theirs; 25 where nothing is
        known.
    """
    stamped = sorted(Counter(stamps).items())
    steps = [(after - before, frames) for (before, frames), (after, _) in pairwise(stamped)]
    if len(steps) >= _ENOUGH_STEPS:
        measured = 1 / median_high(step / frames for step, frames in steps)  # a coarse clock gives a stamp several times
        stamps_rate = 1 / median_high(step for step, _ in steps)  # but so do two packets that hold half a frame each
        if declared > 0 and any(1 / _RATE_TOLERANCE < rate / declared < _RATE_TOLERANCE for rate in (measured, stamps_rate)):
            return declared
        if _MIN_RATE <= measured <= _MAX_RATE:
            return measured
    candidates = (declared, guessed) if stamps else (guessed, declared)
    return next((rate for rate in candidates if _MIN_RATE <= rate <= _MAX_RATE), FALLBACK_RATE)


FALLBACK_RATE = 25.0
_MIN_STEP, _MAX_STEP = 1e-3, 1.0
"""Seconds between two frames that are believed, where a stamp has to be replaced."""
_MIN_RATE, _MAX_RATE = 1e-3, 1000.0
_MAX_AHEAD = 5.0
"""Seconds by which replaced stamps may run ahead of those behind them, or ten periods."""
_ENOUGH_STEPS = 4
_RATE_TOLERANCE = 1.5
