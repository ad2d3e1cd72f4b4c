"""Opens a source again when it breaks off, after pauses that grow."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self, TypeAlias

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.base import CapturedFrame, Source, SourceInfo
from ferengine.sources.options import Reconnect

_STABLE_AFTER = 10.0
"""Seconds of frames after which the next disconnection starts with short pauses again."""
_MAX_EMPTY_OPENINGS = 3
"""Openings of a finite source in a row without one more frame, after which it counts as damaged."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The source broke off, or could not be opened again; ``reason`` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What sources count; can be added.

    Attributes:
        broken: Frames that could not be decoded.
        late: Frames that were passed over because they were read too late.
        left_out: Frames that were left out to keep to a maximum rate.
        replaced_stamps: Time stamps that were missing or made no sense.
        truncated: Whether the file turned out to have been cut off.
    """

    broken: int = 0
    late: int = 0
    left_out: int = 0
    replaced_stamps: int = 0
    truncated: bool = False

    @classmethod
    def of(cls, source: Source) -> Self:
        """What ``source`` has counted so far."""
        return cls(source.broken_frames, source.late_frames, source.left_out_frames, source.replaced_stamps, source.truncated)

    def __add__(self, other: SourceCounts) -> SourceCounts:
        return SourceCounts(
            self.broken + other.broken,
            self.late + other.late,
            self.left_out + other.left_out,
            self.replaced_stamps + other.replaced_stamps,
            self.truncated or other.truncated,
        )


Item: TypeAlias = SourceInfo | CapturedFrame | Disconnected


class Backoff:
    """Pauses between attempts that grow at random, so that many cameras behind one switch do not return in step.

    Each pause is drawn from [``shortest``, 3 x the previous one]: the "decorrelated jitter" of M. Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        shortest: Minimum pause in seconds.
        longest: Maximum pause in seconds.
        draw: Draws a number between two bounds.
    """

    def __init__(
        self, shortest: float = 0.5, longest: float = 30.0, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._shortest = shortest
        self._longest = longest
        self._draw = draw
        self._last = shortest

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        self._last = min(self._longest, self._draw(self._shortest, 3 * self._last))
        return self._last

    def reset(self) -> None:
        """Start with short pauses again."""
        self._last = self._shortest


class ReconnectingSource:
    """Iterates over one source across its disconnections.

    It yields a SourceInfo each time the source is open, then its frames, and a Disconnected each time it breaks off or does
    not open. A finite source resumes where it broke off, and its end is the end; a source without an end that ends is
    disconnected, too. Iterating raises SourceError for what is not retried, and CredentialsError always, since cameras
    lock accounts.

    Args:
        make: Makes a new source for each attempt.
        reconnect: "never"; "disconnected": reopen only what was open before, and raise a first failure; or "always".
        stopped: Ends the iteration when set, from any thread; at once during a pause.
        was_open: Whether the source was open before, in another worker.
        skip: Frames to pass over in a finite source.
        last: Time stamp of the last of them, where it is known.
        backoff: The pauses between attempts.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        reconnect: Reconnect,
        stopped: threading.Event,
        *,
        was_open: bool = False,
        skip: int = 0,
        last: float | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._reconnect = reconnect
        self._stopped = stopped
        self._was_open = was_open
        self._delivered = skip
        self._last = last
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._counted: tuple[SourceCounts, Source | None] = SourceCounts(), None

    @property
    def counts(self) -> SourceCounts:
        """What has been counted over all connections; may be asked for by any thread."""
        earlier, source = self._counted  # both at once: another thread may close the source meanwhile
        return earlier if source is None else earlier + SourceCounts.of(source)

    def __iter__(self) -> Iterator[Item]:
        empty_openings = 0
        while not self._stopped.is_set():
            before = self._delivered
            ends = False
            source = self._make()
            self._counted = self.counts, source
            try:
                info = source.open()
                ends = info.ends
                if ends:
                    source.skip(self._delivered, self._last)
                self._was_open = True
                yield info
                yield from self._frames(source)
                if self._reconnect == "never" or ends or self._stopped.is_set():
                    return
                reason = "it ended"
            except CredentialsError:
                raise
            except SourceError as error:
                empty_openings = empty_openings + 1 if ends and self._delivered == before else 0
                if not self._retries or empty_openings == _MAX_EMPTY_OPENINGS:
                    raise
                reason = str(error)
            finally:
                source.close()
                self._counted = self.counts, None
            yield Disconnected(reason)
            self._stopped.wait(self._backoff.next())

    @property
    def _retries(self) -> bool:
        return self._reconnect == "always" or (self._reconnect == "disconnected" and self._was_open)

    def _frames(self, source: Source) -> Iterator[CapturedFrame]:
        started = self._clock()
        while not self._stopped.is_set() and (frame := source.read()) is not None:
            self._delivered += 1
            self._last = frame.timestamp
            yield frame
            if self._clock() - started > _STABLE_AFTER:
                self._backoff.reset()
