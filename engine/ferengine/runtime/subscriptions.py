"""From the supervisor to the consumers: bounded queues, each with its own policy."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, TypeAlias, get_args

from ferengine.config import MAX_QUEUE
from ferengine.errors import UsageError, shown
from ferengine.ipc.frame_loans import FrameLoan, FrameReader
from ferengine.results import FrameResult

Policy: TypeAlias = Literal["wait", "drop_oldest", "drop_newest"]
"""What happens when a consumer's queue is full.

``wait``: sources that can wait (files) are held back, so that nothing is lost; live ones drop the oldest of theirs.
``drop_oldest``: no source is held back; the oldest waiting result makes room. ``drop_newest``: no source is held back; the
waiting results stay and the new one is dropped. Drops are counted.
"""


_AGES = 1e9
"""Seconds that are as good as for ever, and that a clock can still be added to."""

_SLICE = 0.25
"""Maximum seconds of one wait of a caller's thread."""


def wait_in_slices(wait: Callable[[float], bool], timeout: float | None) -> bool:
    """Wait for ``timeout`` seconds, without limit for ``None``, in slices.

    CPython handles a signal that comes just before a wait begins only when that wait is over. Without slices a Ctrl-C, or a
    handler that calls ``Engine.stop``, could thus be put off for ever.

    Args:
        wait: Waits for at most some seconds, and returns whether what it waits for has come.
        timeout: Seconds.

    Returns:
        Whether it has come.

    Raises:
        UsageError: ``timeout`` is no number.
    """
    deadline = deadline_after(timeout)
    while True:
        left = _SLICE if deadline is None else max(0.0, deadline - time.monotonic())
        if wait(min(left, _SLICE)):
            return True
        if left <= _SLICE and deadline is not None:
            return False


def deadline_after(timeout: float | None) -> float | None:
    """The monotonic time in ``timeout`` seconds; ``None`` for ``None``. Raises UsageError for what is no number."""
    if timeout is None:
        return None
    if not is_number(timeout) or timeout != timeout:  # NaN
        raise UsageError(f"a timeout is a number of seconds or None, not {shown(timeout)}")
    return time.monotonic() + float(max(-_AGES, min(timeout, _AGES)))


def is_number(value: object) -> bool:
    """Whether it is a real number, NumPy's too. Beside a ``float`` the check hides the code behind it from mypy, to which no
    float is a ``Real``."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 1 <= int(value) <= MAX_QUEUE


def join_in_slices(thread: threading.Thread, timeout: float | None) -> bool:
    """Wait until ``thread`` has ended, as ``wait_in_slices``."""

    def has_ended(seconds: float) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    return wait_in_slices(has_ended, timeout)


@dataclass(frozen=True, slots=True)
class Item:
    """One result on its way to one consumer, with the loan of its image if that consumer wants images."""

    result: FrameResult
    live: bool
    loan: FrameLoan | None = None

    def release(self) -> None:
        """The consumer is done with it."""
        if self.loan is not None:
            self.loan.release()


class Subscription:
    """A bounded queue of results for one consumer in another thread; ``offer`` never blocks.

    ``on_change`` may be set: it is called (by the supervisor, under no lock) when there is something to take.

    Args:
        name: What the consumer is called in ``Engine.health``.
        capacity: Results that may wait.
        on_room: Called (by the consumer) when a full queue has room again.
        policy: What happens when the queue is full.
        cameras: The names of the cameras that it wants, ``None`` for all.
        reader: How the frame rings know it, if it wants images.

    Raises:
        UsageError: There is no such policy, or room for no result.
    """

    def __init__(
        self,
        name: str,
        capacity: int,
        on_room: Callable[[], None],
        policy: Policy = "wait",
        cameras: frozenset[str] | None = None,
        reader: FrameReader | None = None,
    ) -> None:
        if policy not in get_args(Policy):
            raise UsageError(f"there is no policy {policy!r}: choose one of {', '.join(get_args(Policy))}")
        if not is_count(capacity):
            raise UsageError(f"a queue holds 1 to {MAX_QUEUE} results, not {shown(capacity)}")
        self.name = name
        self.policy = policy
        self.reader = reader
        self.on_change: Callable[[], None] | None = None
        self.delivered = 0
        self.dropped = 0
        self.cut = 0
        self.errors = 0
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._on_room = on_room
        self._cameras = cameras
        self._changed = threading.Condition()
        self._ended = False
        self._discarding = False

    @property
    def waiting(self) -> int:
        """Results in the queue."""
        return len(self._items)

    def wants(self, camera: str) -> bool:
        return self._cameras is None or camera in self._cameras

    def holds_back(self, camera: str) -> bool:
        """Whether ``camera``, which can wait, has to."""
        full = self.policy == "wait" and len(self._items) >= self._capacity
        return full and not self._discarding and self.wants(camera)

    def offer(self, item: Item) -> None:
        """Queue ``item``, or drop it or another one as the policy says."""
        with self._changed:
            unwanted = item if self._discarding or self._ended else self._make_room(item)
            if unwanted is not item:
                self._items.append(item)
                self._changed.notify()
            self.dropped += unwanted is not None and not self._discarding
        if unwanted is not None:
            unwanted.release()
        if self.on_change is not None:
            self.on_change()

    def _make_room(self, item: Item) -> Item | None:
        """What has to go so that the queue is no longer than its capacity: ``item`` itself, an older one or nothing."""
        if len(self._items) < self._capacity:
            return None
        if self.policy == "drop_newest":
            return item
        if self.policy == "drop_oldest":
            return self._items.popleft()
        oldest = next((waiting for waiting in self._items if waiting.live), None)
        if oldest is None:  # only results of files wait, which may not be lost
            return item if item.live else None
        self._items.remove(oldest)
        return oldest

    def end(self) -> None:
        """No more results come; those that wait may still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self.on_change is not None:
            self.on_change()

    def discard(self) -> None:
        """The consumer has left: nothing is kept for it any more."""
        with self._changed:
            self._discarding = True
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
        for item in items:
            item.release()
        self._on_room()
        if self.on_change is not None:
            self.on_change()

    def cut_off(self) -> int:
        """The run is over, and its consumer takes too long: give up what waits, and return how many results that were."""
        self.cut = len(self._items)
        self.discard()
        return self.cut

    def take(self, timeout: float | None = None) -> Item | None:
        """The next item; ``None`` after ``timeout`` seconds. Raises EOFError after the last one."""

        def has_come(seconds: float) -> bool:
            return self._changed.wait_for(lambda: bool(self._items) or self._ended or self._discarding, seconds)

        with self._changed:
            if not wait_in_slices(has_come, timeout):
                return None
            if not self._items:
                raise EOFError("no more results")
            was_full = len(self._items) >= self._capacity
            item = self._items.popleft()
            self.delivered += 1
        if was_full:
            self._on_room()
        return item


class Subscriptions:
    """All subscriptions of a run. Touched by the supervisor alone, except for the queues themselves."""

    def __init__(self) -> None:
        self.all: tuple[Subscription, ...] = ()
        self.unattended = False
        """Whether files run on without a subscriber."""
        self._dropped = self._cut = 0
        self._ended = False

    @property
    def dropped(self) -> int:
        """Results that full queues dropped, those of consumers that have left included."""
        return self._dropped + sum(subscription.dropped for subscription in self.all)

    @property
    def cut(self) -> int:
        """Results that waited for callbacks that took too long at the end."""
        return self._cut + sum(subscription.cut for subscription in self.all)

    @property
    def readers(self) -> Iterable[FrameReader]:
        """The consumers of images."""
        return [subscription.reader for subscription in self.all if subscription.reader is not None]

    def add(self, subscription: Subscription) -> None:
        if self._ended:
            subscription.end()
        self.all = (*self.all, subscription)

    def remove(self, subscription: Subscription) -> None:
        if subscription in self.all:
            self._dropped += subscription.dropped
            self._cut += subscription.cut
            self.all = tuple(item for item in self.all if item is not subscription)

    def holds_back(self, camera: str) -> bool:
        """Whether a camera that can wait has to: until there is room for it, or any subscriber."""
        if not self.all:
            return not self.unattended
        return any(subscription.holds_back(camera) for subscription in self.all)

    def offer(self, result: FrameResult, live: bool, borrow: Callable[[FrameReader], FrameLoan | None]) -> None:
        """Give ``result`` to every subscriber that wants it.

        Args:
            result: The next result of its camera.
            live: Whether it may be dropped where it would have to wait.
            borrow: Makes the loan of its image, ``None`` where a subscriber came too late to get that.
        """
        for subscription in self.all:
            if not subscription.wants(result.camera):
                continue
            if subscription.reader is None:
                subscription.offer(Item(result, live))
            elif (loan := borrow(subscription.reader)) is not None:
                subscription.offer(Item(result, live, loan))

    def end(self) -> None:
        self._ended = True
        for subscription in self.all:
            subscription.end()
