"""What happens when a source breaks off, with sources that break as they are told."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.reconnect import Backoff, Disconnected, Item, ReconnectingSource, SourceCounts


class Scripted:
    """One life of a source: an error when opened, or so many frames and then an error or the end."""

    def __init__(self, frames: int = 0, error: Exception | None = None, *, opens: bool = True, ends: bool = False) -> None:
        self.frames = frames
        self.error = error
        self.opens = opens
        self.ends = ends
        self.position = 0
        self.closed = False
        self.broken_frames = 1
        self.late_frames = 2
        self.left_out_frames = 3
        self.replaced_stamps = 3
        self.truncated = False

    def open(self) -> SourceInfo:
        if not self.opens:
            assert self.error is not None
            raise self.error
        return SourceInfo(8, 8, 25.0, live=not self.ends, ends=self.ends)

    def read(self) -> CapturedFrame | None:
        if self.position < self.frames:
            self.position += 1
            return CapturedFrame(np.zeros((8, 8, 3), np.uint8), float(self.position))
        if self.error is not None:
            raise self.error
        return None

    def skip(self, frames: int | None, last: float | None = None) -> None:
        self.position = min(self.frames, self.position + (frames or 0))

    def close(self) -> None:
        self.closed = True


def dead() -> Scripted:
    return Scripted(error=SourceError("nothing answers"), opens=False)


class Follow:
    """Follows ``lives`` without pausing; ``stopped`` is set with the last one's loss."""

    def __init__(self, *lives: Scripted, reconnect: str = "disconnected", **options: object) -> None:
        self.lives = lives
        self.stopped = threading.Event()
        self._next: Iterator[Scripted] = iter(lives)
        self.pauses = 0
        self.source = ReconnectingSource(
            lambda: next(self._next),
            reconnect,  # type: ignore[arg-type]
            self.stopped,
            backoff=Backoff(draw=self._draw),
            **options,  # type: ignore[arg-type]
        )

    def _draw(self, low: float, high: float) -> float:
        self.pauses += 1
        if self.pauses == len(self.lives):
            self.stopped.set()
        return 0.0

    def kinds(self) -> str:
        """ "o" for opened, "." for a frame, "x" for a loss."""
        return "".join(self._kind(item) for item in self.source)

    @staticmethod
    def _kind(item: Item) -> str:
        return {SourceInfo: "o", CapturedFrame: ".", Disconnected: "x"}[type(item)]


def test_what_breaks_off_is_opened_again() -> None:
    follow = Follow(Scripted(2, SourceError("broke")), dead(), dead(), Scripted(3), dead())
    assert follow.kinds() == "o..xxxo...xx"
    assert all(life.closed for life in follow.lives)
    assert follow.source.counts == SourceCounts(5, 10, 15, 15)


def test_nothing_is_counted_twice_while_a_source_is_closed() -> None:
    said: list[int] = []

    class Asked(Scripted):
        """Another thread asks for the counts while they are summed up."""

        asking = False

        def __getattribute__(self, name: str) -> object:
            if name in ("late_frames", "left_out_frames", "truncated") and not Asked.asking:
                Asked.asking = True
                said.append(follow.source.counts.broken)
                Asked.asking = False
            return super().__getattribute__(name)

    follow = Follow(Asked(1, SourceError("broke")), Asked(1, SourceError("broke")))
    assert follow.kinds() == "o.xo.x"
    assert said == [1] * 3 + [2] * 3
    assert follow.source.counts == SourceCounts(2, 4, 6, 6)


def test_one_file_that_was_cut_off_is_enough() -> None:
    assert SourceCounts(1, truncated=True) + SourceCounts(2, 3) == SourceCounts(3, 3, truncated=True)


def test_reasons() -> None:
    follow = Follow(Scripted(1, SourceError("the cable")), Scripted(1))
    assert [item.reason for item in follow.source if isinstance(item, Disconnected)] == ["the cable", "it ended"]


def test_a_first_failure_is_final_unless_always() -> None:
    with pytest.raises(SourceError, match="nothing answers"):
        Follow(dead()).kinds()
    assert Follow(dead(), Scripted(1), reconnect="always").kinds() == "xo.x"
    assert Follow(dead(), Scripted(1), was_open=True).kinds() == "xo.x"


def test_never() -> None:
    with pytest.raises(SourceError, match="broke"):
        Follow(Scripted(2, SourceError("broke")), reconnect="never").kinds()
    assert Follow(Scripted(2), reconnect="never").kinds() == "o.."


@pytest.mark.parametrize("reconnect", ["disconnected", "always"])
def test_refused_credentials_are_final(reconnect: str) -> None:
    refused = Scripted(error=CredentialsError("401"), opens=False)
    with pytest.raises(CredentialsError):
        Follow(Scripted(1), refused, reconnect=reconnect).kinds()
    assert refused.closed


def test_a_finite_source_goes_on_where_it_was_and_ends() -> None:
    lives = [Scripted(6, SourceError("broke"), ends=True), Scripted(9, ends=True)]
    follow = Follow(*lives, skip=4)
    assert follow.kinds() == "o..xo..."
    assert lives[1].position == 9


def test_a_finite_source_that_gives_no_more_is_damaged() -> None:
    with pytest.raises(SourceError, match="broke"):
        Follow(*(Scripted(6, SourceError("broke"), ends=True) for _ in range(9))).kinds()


def test_stopping_ends_a_pause_at_once() -> None:
    stopped = threading.Event()
    source = ReconnectingSource(dead, "always", stopped, backoff=Backoff(draw=lambda low, high: 30.0))
    items: list[Item] = []
    thread = threading.Thread(target=lambda: items.extend(source))
    thread.start()
    stopped.set()
    thread.join(5)
    assert not thread.is_alive()
    assert all(isinstance(item, Disconnected) for item in items)


def test_pauses_grow_from_half_a_second_to_thirty() -> None:
    longest = Backoff(draw=lambda low, high: high)
    assert [longest.next() for _ in range(6)] == [1.5, 4.5, 13.5, 30, 30, 30]
    longest.reset()
    assert longest.next() == 1.5
    drawn = Backoff()
    pauses = [drawn.next() for _ in range(2000)]
    assert min(pauses) >= 0.5
    assert max(pauses) <= 30
    assert len(set(pauses)) > 1000


def test_a_steady_source_starts_with_short_pauses_again() -> None:
    now = iter([0.0, 1.0, 2.0, 100.0, 101.0, 112.0])
    asked: list[float] = []

    def draw(low: float, high: float) -> float:
        asked.append(high)
        if len(asked) == 2:
            stopped.set()
        return 0.5 + 0.001 * len(asked)

    stopped = threading.Event()
    lives = iter([Scripted(2), Scripted(2)])
    list(ReconnectingSource(lambda: next(lives), "disconnected", stopped, backoff=Backoff(draw=draw), clock=lambda: next(now)))
    assert asked == [1.5, 1.5]
