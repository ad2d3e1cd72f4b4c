"""Follows one source over its losses: what breaks off is opened again, after a pause that grows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.base import CapturedFrame, Source, SourceInfo
from ferengine.sources.spec import Reconnect

_STEADY = 10.0
"""Seconds of frames after which a new loss begins with short pauses again."""
_FRUITLESS = 3
"""Openings of a finite source in a row without one more frame, after which it counts as damaged."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The source broke off, or could not be opened again."""

    reason: str


Item: TypeAlias = SourceInfo | CapturedFrame | Lost


class Backoff:
    """Pauses of ``shortest`` to ``longest`` seconds, drawn from [shortest, 3 x the last one]: "decorrelated jitter"
    (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015), so that many cameras behind one switch
    do not come back in step."""

    def __init__(
        self, shortest: float = 0.5, longest: float = 30.0, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._shortest = shortest
        self._longest = longest
        self._draw = draw
        self._last = shortest

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        self._last = min(self._longest, self._draw(self._shortest, 3 * self._last))
        return self._last

    def reset(self) -> None:
        """The source is well again."""
        self._last = self._shortest


class FollowedSource:
    """Iterates over what becomes of the sources that ``make`` makes, one after the other: a SourceInfo each time one
    is open, its frames, and Lost each time it breaks off or does not open.

    ``reconnect``: "never", "lost" (only what ``was_open`` before is opened again; a first failure is raised) or
    "always". ``skip``: frames to pass over in a finite source. A finite source goes on where it broke off; its end is
    the end. An endless one that ends is lost, too.

    Raises SourceError for what is not tried again; CredentialsError always, since cameras lock accounts. Setting
    ``stopped``, from any thread, ends it, at once where it pauses. ``clock``: monotonic seconds.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        reconnect: Reconnect,
        stopped: threading.Event,
        *,
        was_open: bool = False,
        skip: int = 0,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._reconnect = reconnect
        self._stopped = stopped
        self._was_open = was_open
        self._delivered = skip
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._source: Source | None = None
        self._earlier_broken = self._earlier_late = 0

    @property
    def broken_frames(self) -> int:
        """Frames that could not be decoded."""
        return self._earlier_broken + int(getattr(self._source, "broken_frames", 0))

    @property
    def late_frames(self) -> int:
        """Frames that a paced source passed over because it was asked too late."""
        return self._earlier_late + int(getattr(self._source, "lost", 0))

    def __iter__(self) -> Iterator[Item]:
        fruitless = 0
        while not self._stopped.is_set():
            before = self._delivered
            ends = False
            self._source = self._make()
            try:
                info = self._source.open()
                ends = info.ends
                if ends:
                    self._source.skip(self._delivered)
                self._was_open = True
                yield info
                yield from self._frames(self._source)
                if self._reconnect == "never" or ends or self._stopped.is_set():
                    return
                reason = "it ended"
            except CredentialsError:
                raise
            except SourceError as error:
                fruitless = fruitless + 1 if ends and self._delivered == before else 0
                if not self._tries_again or fruitless == _FRUITLESS:
                    raise
                reason = str(error)
            finally:
                self._close()
            yield Lost(reason)
            self._stopped.wait(self._backoff.next())

    @property
    def _tries_again(self) -> bool:
        return self._reconnect == "always" or (self._reconnect == "lost" and self._was_open)

    def _frames(self, source: Source) -> Iterator[CapturedFrame]:
        begun = self._clock()
        while not self._stopped.is_set() and (frame := source.read()) is not None:
            self._delivered += 1
            yield frame
            if self._clock() - begun > _STEADY:
                self._backoff.reset()

    def _close(self) -> None:
        assert self._source is not None
        self._source.close()
        self._earlier_broken, self._earlier_late = self.broken_frames, self.late_frames
        self._source = None
