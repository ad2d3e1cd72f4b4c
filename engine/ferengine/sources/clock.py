"""The clocks of the sources: time stamps that always move forward, at a believable speed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MAX_GAP = 60.0
"""Seconds by which a media time stamp may jump; what jumps further is taken for an error of the recorder."""
_MAX_GAP_PERIODS = 10.0
"""The same in periods, for recordings of less than one frame in six seconds."""
_STEP_TOLERANCE = 1.0
"""Seconds between the system's clock and the elapsed time from which the clock counts as having been set."""


class MediaClock:
    """Turns the time stamps of a recording into seconds from 0 that strictly increase.

    A stamp that is missing, repeated, runs backward or jumps by more than ``max_gap`` is replaced by the one before plus
    the nominal period; the stamps behind it continue from there.

    Args:
        period: Nominal seconds between two frames.
        start: Media seconds at which the recording begins; by default those of its first frame.
        max_gap: Maximum seconds between two frames.

    Example:
        >>> clock = MediaClock(0.5)
        >>> [clock.stamp(seconds) for seconds in (7.0, 7.5, 7.5, None, 9.0)]
        [0.0, 0.5, 1.0, 1.5, 2.5]
        >>> clock.replaced
        2
    """

    def __init__(self, period: float, start: float | None = None, max_gap: float | None = None) -> None:
        self.replaced = 0
        self.period = period
        self._max_gap = max(MAX_GAP, _MAX_GAP_PERIODS * period) if max_gap is None else max_gap
        self._start = start
        self._last: float | None = None  # of the recording
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
        last, step = self._last, self.period
        if media is None or not math.isfinite(media):
            self.replaced += 1
            self._last = None if last is None else last + self.period
        elif last is None:  # the first frame, or the first that has a stamp
            late = 0.0 if self._start is None else media - self._start
            step += late if 0 < late <= self._max_gap else 0.0
            self._last = media
        elif 0 < media - last <= self._max_gap:
            step, self._last = media - last, media
        else:
            self.replaced += 1
            self._last = media
        self._now += step
        return self._now

    def restart(self) -> None:
        """The recording starts again, as in a loop: the next frame follows one period behind."""
        self._last = None


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


class CallerClock:
    """Turns the time stamps that a program gives with its frames into ones that strictly increase.

    A stamp that is given again, as by a clock of whole seconds, is spread over the time until the next one: by the step that
    the frames between two stamps before had, at first by the nominal one. Where that runs ahead of the stamps, time goes at
    half its speed until they have caught up. A stamp that lies before the one before is replaced by that one plus the last
    step, and the stamps behind it continue from there: a clock that is set back leaves no trace. One that is set forth leaves
    a gap.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._given: float | None = None
        self._now = 0.0
        self._shift = 0.0
        self._frames = 1  # that have had the present stamp
        self._step: float | None = None  # between two stamps of one frame each
        self._spread: float | None = None  # between frames, where several have one stamp
        self._measured = 1 / FALLBACK_RATE  # the same, as the last stamp showed it
        self._ahead = 0.0

    def stamp(self, given: float) -> float:
        """Return the time of the next frame, for which the program gives ``given``."""
        last, self._given = self._given, given
        if last is None:
            self._now = given
        elif given == last:
            self._frames += 1
            self._replace(self._repeat_step)
        elif given < last:
            self._frames = 1
            self._replace(self._step or 1 / FALLBACK_RATE)
            self._shift, self._ahead = self._now - given, 0.0
        else:
            self._measure((given - last) / self._frames)
            self._frames = 1
            if given + self._shift > self._now:
                self._now, self._ahead = given + self._shift, 0.0
            else:  # repeated ones have come too far
                self._ahead = self._now - given - self._shift
                self._replace(self._repeat_step)
        return self._now

    @property
    def _repeat_step(self) -> float:
        known = [step for step in (self._step, self._spread) if step is not None]
        step = min(known) if self._spread is not None else min([1 / FALLBACK_RATE, *known])
        return step / 2 if self._ahead > 0 else step

    def _replace(self, step: float) -> None:
        self.replaced += 1
        self._now += step
        self._ahead -= step

    def _measure(self, step: float) -> None:
        """Note how far two frames were apart, if that can be: the first of several with one stamp may have come late in it,
        so two measurements have to agree on a longer step."""
        if not _MIN_STEP <= step <= _MAX_STEP:
            return
        if self._frames == 1:
            self._step = step
        else:
            self._spread, self._measured = min(step, self._measured), step


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
    steps = sorted(after - before for before, after in zip(sorted(stamps), sorted(stamps)[1:], strict=False) if after > before)
    measured = 1 / steps[len(steps) // 2] if steps else 0.0
    if len(steps) >= _ENOUGH_STEPS and _MIN_RATE <= measured <= _MAX_RATE:
        trusted = declared > 0 and 1 / _RATE_TOLERANCE < measured / declared < _RATE_TOLERANCE
        return declared if trusted else measured
    candidates = (declared, guessed) if stamps else (guessed, declared)
    return next((rate for rate in candidates if _MIN_RATE <= rate <= _MAX_RATE), FALLBACK_RATE)


FALLBACK_RATE = 25.0
_MIN_STEP, _MAX_STEP = 1e-3, 1.0
"""Seconds between two frames that are believed, where a stamp has to be replaced."""
_MIN_RATE, _MAX_RATE = 1e-3, 1000.0
_ENOUGH_STEPS = 4
_RATE_TOLERANCE = 1.5
