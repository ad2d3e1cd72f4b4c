"""The clocks of the sources: time stamps that always move forward, at a believable speed."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    a clock that stood still. A stamp too far behind the one before is replaced by that one plus the nominal step, and the
    stamps behind it continue from there.

    A stamp that runs backward may be a clock that was set back, or a recording that begins again: then the stamps behind it
    continue from there. Or frames are only out of order. Which of them it was shows when the stamps come to new ones: frames
    that are out of order have not been more than their span has room for, and the time of the stamps is the old one again.
    Where this happens again and again, time goes on at the nominal rate, and follows the stamps slowly. Behind one
    wrong stamp, even one that repeats itself, the old time goes on too, however long the pause behind it is.

    A stamp that is far ahead may stand behind a pause, or be wrong. Only the stamps behind it show that: where these can be
    read ahead and come before it, it is wrong.

    Args:
        period: Nominal seconds between two frames; None where they are to be found out.
        max_gap: Maximum seconds between two frames.
        look_ahead: Reads the stamps of some of the next frames, in the order of decoding; called only where one is far ahead.
    """

    def __init__(self, period: float | None, max_gap: float, look_ahead: Callable[[], Sequence[float]] | None = None) -> None:
        self.replaced = 0
        self.look_ahead = look_ahead
        self._nominal, self._max_gap = period, max_gap
        self._max_ahead = max(_MAX_AHEAD, _MAX_GAP_PERIODS * (period or 0.0))
        self._given: float | None = None
        self._before: float | None = None  # the stamp before the present one, since time has its shift
        self._now = 0.0
        self._shift = 0.0
        self._return: _Return | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)  # the stamps of the last frames
        self._ordered = _CALM  # frames since the last one that was out of order
        self._disorder: float | None = None  # seconds by which frames are out of order, while they are
        self._frames = 1  # that have had the present stamp
        self._step: float | None = None  # between two stamps of one frame each
        self._spread: float | None = None  # between frames, where several have one stamp
        self._measured = 1 / FALLBACK_RATE if period is None else period  # the same, as the last stamp showed it
        self._ahead = 0.0
        self._is_own = True  # whether the last frame had its own time

    def _begin(self, given: float, now: float) -> None:
        """Let the frame with the stamp ``given``, and those behind it, have the time ``now``."""
        self._given, self._now, self._shift = given, now, now - given
        self._before = self._return = self._disorder = None
        self._recent.clear()
        self._recent.append(given)
        self._frames, self._ahead, self._is_own, self._ordered = 1, 0.0, True, _CALM

    def _repeat(self) -> None:
        if self._given is not None:
            self._recent.append(self._given)
        self._frames += 1
        step = self._repeat_step()
        self._replace(step / 2 if self._ahead > 0 else step)

    def _advance(self, given: float) -> None:
        """Find the time of the next frame, whose stamp is another one than that of the frame before."""
        last, before = self._given, self._before
        assert last is not None
        back = self._return
        # one stamp only since time ran backward: no clock, which would have moved, but a mistake
        is_over = back is not None and len(set(self._recent)) == 1 and 0 < given - back.high <= self._max_gap
        if self._is_astray(given, last):
            self._frames += 1
            self._replace(self._regular_step())
            return
        if given - last > self._max_gap and not is_over:
            self._jump(given)
            return
        self._recent.append(given)
        self._ordered += 1
        self._given, self._before = given, last
        if self._disorder is not None and self._follow(given, last, self._disorder):
            return
        if given < last and not (back is None and before is not None and given > before):
            self._go_back(given)
            return
        if back is not None and (given > back.high or len(self._recent) > _MAX_DISORDER):
            self._come_forth(given, back, is_over)
        elif back is None and given > last:
            self._measure((given - last) / self._frames)
        self._frames = 1
        if given < last:  # the stamp before was early, and it alone
            self._note_disorder(last - given)
            self._catch_up(given, min(self._regular_step(), self._usual_step()))  # frames may be faster than they say
        else:
            self._catch_up(given, self._repeat_step() / 2)

    def _is_astray(self, given: float, last: float) -> bool:
        """Whether a stamp is far ahead, and those behind it fall back. They are in the order of decoding, so that small steps
        back mean nothing; nor do those of frames in reversed groups."""
        jump = given - last
        if self.look_ahead is None or jump < max(_LONG_JUMP, _MAX_GAP_PERIODS * self._regular_step()):
            return False
        ahead = pairwise((given, *self.look_ahead()))
        return any(last < stamp < given and before - stamp >= jump / 2 for before, stamp in ahead)

    def _catch_up(self, given: float, least: float) -> None:
        """Give the next frame its own time, or that of the frame before plus ``least`` where the own one is past already."""
        own = given + self._shift
        if own - self._now >= (_SAME if self._is_own else least):
            self._now, self._ahead, self._is_own = own, 0.0, True
        elif self._now - own > self._max_ahead:
            self._jump(given)
        else:
            self._ahead = self._now - own
            self._replace(least)

    def _jump(self, given: float) -> None:
        self._replace(self._regular_step())
        self._begin(given, self._now)
        self._is_own = False

    def _go_back(self, given: float) -> None:
        """Let time go on from a stamp that lies before those before, until it shows what that was."""
        if self._return is None:
            self._recent.pop()
            earlier = tuple(self._recent)
            self._return = _Return(max(earlier), self._shift, given, earlier)
            self._recent.clear()
            self._recent.append(given)
        else:
            self._return.low = min(self._return.low, given)
        self._frames = 1
        self._replace(self._regular_step())
        self._shift = self._now - given

    def _come_forth(self, given: float, back: _Return, is_over: bool) -> None:
        """Find out what it was that ran backward, now that there is a new stamp; a mistake is over however long the pause
        behind it was."""
        self._return = None
        if is_over:
            self._recent.clear()
            self._recent.extend((*back.earlier, back.low, given))
        else:
            step, since = self._regular_step(), len(self._recent)
            low = max(back.low, min(back.earlier))
            frames = sum(low <= stamp < given for stamp in (*back.earlier, *self._recent))
            goes_on = 0 < given - back.high <= (since + _MAX_GAP_PERIODS) * step
            if not goes_on or frames > _MAX_DENSITY * (given - low) / step + 0.5:
                return
            self._recent.extendleft(reversed(back.earlier[since - _RECENT :]))
        self._shift = back.shift
        self._note_disorder(back.high - back.low + max(0.0, self._now - given - back.shift))

    def _note_disorder(self, seconds: float) -> None:
        if self._ordered < _CALM and seconds <= _MAX_DISORDER * self._regular_step():
            self._disorder = max(seconds, self._disorder or 0.0)
        self._ordered = 0

    def _follow(self, given: float, last: float, disorder: float) -> bool:
        """Go on at the nominal rate, where frames are out of order; False where they no longer are, or something else is."""
        step = self._usual_step()
        late = given + self._shift - (self._now + step)
        slack = _FOLLOWED_PERIODS * step
        if self._ordered >= _CALM or not -2 * disorder - slack < late < disorder + slack:
            self._disorder = None
            return False
        if given < last:
            self._ordered = 0
            self._disorder = max(disorder, last - given)
        self._frames = 1
        if abs(late) < _SAME:
            self._now, self._is_own = given + self._shift, True
        else:
            self._replace(step + max(-step / 2, late * _FOLLOWING))
        self._ahead = 0.0
        return True

    def _usual_step(self) -> float:
        """That between the last frames, in the order of their stamps, without what lies far from the others."""
        stamps = sorted(self._recent)
        steps = sorted(after - before for before, after in pairwise(stamps) if before < after)
        if len(stamps) < _ENOUGH_FRAMES or not steps:
            return self._nominal or self._step or 1 / FALLBACK_RATE
        quarter = len(stamps) // 4
        mean = (stamps[-1 - quarter] - stamps[quarter]) / (len(stamps) - 1 - 2 * quarter)
        return min(mean, 2 * steps[len(steps) // 2]) or steps[0]

    def _regular_step(self) -> float:
        return self._nominal or self._usual_step()

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


@dataclass(slots=True)
class _Return:
    """A stamp that ran backward.

    Attributes:
        high: The stamp before it.
        shift: What was added to stamps until then.
        low: The lowest stamp since.
        earlier: The stamps of the frames before.
    """

    high: float
    shift: float
    low: float
    earlier: tuple[float, ...]


class MediaClock(_GivenClock):
    """Turns the time stamps of a recording into seconds from 0 that strictly increase.

    A stamp that is missing, repeated, runs backward or jumps by more than ``max_gap`` is replaced by the one before plus
    the nominal period. Behind one that is missing, repeated or out of order the others keep their own time; behind one that
    runs backward or jumps they continue from there.

    Args:
        period: Nominal seconds between two frames.
        start: Media seconds at which the recording begins; by default those of its first frame.
        max_gap: Maximum seconds between two frames.
        look_ahead: Reads the stamps of some of the next frames, where that is possible.

    Example:
        >>> clock = MediaClock(0.5)
        >>> [clock.stamp(seconds) for seconds in (7.0, 7.5, 7.5, None, 9.0, 2.0, 2.5)]
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        >>> clock.replaced
        3
    """

    def __init__(
        self,
        period: float,
        start: float | None = None,
        max_gap: float | None = None,
        look_ahead: Callable[[], Sequence[float]] | None = None,
    ) -> None:
        super().__init__(period, max(MAX_GAP, _MAX_GAP_PERIODS * period) if max_gap is None else max_gap, look_ahead)
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


def believable_rate(declared: float, guessed: float, stamps: Sequence[float | None]) -> float:
    """Choose the nominal rate of a recording.

    Args:
        declared: Average frames per second as the container declares them, 0 where it does not.
        guessed: What FFmpeg guesses from the codec.
        stamps: Seconds of the first packets in the order in which they are decoded, None for one that has none.

    Returns:
        Frames per second: the declared rate where the stamps bear it out or are missing, else theirs; 25 where nothing is
        known.
    """
    runs = _runs(stamps)
    steps = [(after - before, frames) for run in runs for (before, frames), (after, _) in pairwise(run)]
    most = max((frames for run in runs for _, frames in run), default=0)
    if len(steps) >= _ENOUGH_STEPS or (steps and most >= _ENOUGH_STEPS):
        usual = median_high(step for step, _ in steps)
        if most == 1:
            measured = 1 / usual
        elif len(steps) < _ENOUGH_STEPS:
            measured = most / usual  # of the first and the last stamp not all frames need be here
        else:  # a coarse clock gives a stamp several times
            even = [(step, frames) for step, frames in steps if step <= 2 * usual]
            measured = sum(frames for _, frames in even) / sum(step for step, _ in even)
        shown = (measured, 1 / usual) if most <= 2 else (measured,)  # two packets may hold half a frame each
        if declared > 0 and any(1 / _RATE_TOLERANCE < rate / declared < _RATE_TOLERANCE for rate in shown):
            return declared
        if _MIN_RATE <= measured <= _MAX_RATE:
            return measured
    candidates = (declared, guessed) if runs else (guessed, declared)
    return next((rate for rate in candidates if _MIN_RATE <= rate <= _MAX_UNPROVEN_RATE), FALLBACK_RATE)


def _runs(stamps: Sequence[float | None]) -> list[list[tuple[float, int]]]:
    """The stamps in ascending order, each with its number of packets: a list for each time that they begin again."""
    runs: list[list[float]] = []
    lowest = last = math.inf
    for stamp in stamps:
        if stamp is not None:
            if not runs or lowest != last != stamp <= lowest:
                runs.append([])
                lowest = stamp
            lowest, last = min(lowest, stamp), stamp
        if runs:
            runs[-1].append(last)
    return [sorted(Counter(run).items()) for run in runs]


FALLBACK_RATE = 25.0
_MIN_STEP, _MAX_STEP = 1e-3, 1.0
"""Seconds between two frames that are believed, where a stamp has to be replaced."""
_MIN_RATE, _MAX_RATE = 1e-3, 1000.0
_MAX_UNPROVEN_RATE = 500.0
"""Frames per second that are believed without stamps that bear them out: above that it is mostly the unit of the stamps."""
_MAX_AHEAD = 5.0
"""Seconds by which replaced stamps may run ahead of those behind them, or ten periods."""
_LONG_JUMP = 0.8
"""Seconds by which a stamp may be ahead without a look at those behind it, or ten periods."""
_RECENT = 128
"""Frames whose stamps are remembered."""
_MAX_DISORDER = 32
"""Frames after which stamps that have run backward are not out of order."""
_MAX_DENSITY = 1.4
"""Frames that are out of order for each that their span has room for; there are twice as many of what begins again."""
_CALM = 32
"""Frames in order after which the next one out of order is an exception."""
_FOLLOWED_PERIODS = 4.0
"""Periods, beyond those by which frames are out of order, from which time follows a stamp at once."""
_FOLLOWING = 1 / 32
"""Fraction of its distance from the stamps that time makes up with each frame."""
_SAME = 1e-6
"""Seconds within which a time is the frame's own: it was summed up in another way."""
_ENOUGH_FRAMES = 16
_ENOUGH_STEPS = 4
_RATE_TOLERANCE = 1.5
