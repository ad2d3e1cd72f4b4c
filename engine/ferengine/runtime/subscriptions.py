"""From the supervisor to those who consume: bounded queues, each with its own policy."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ferengine.errors import UsageError
from ferengine.results import FrameResult
from ferengine.runtime.frame_loans import Lender, Loan

Policy: TypeAlias = Literal["wait", "drop_oldest", "drop_newest"]
"""What happens when a consumer's queue is full.

``wait``: sources that can wait (files) are held back, so that nothing is lost; live ones drop the oldest of theirs.
``drop_oldest``: nobody is held back, the oldest waiting result makes room. ``drop_newest``: nobody is held back, what
waits stays and the new result is dropped. Drops are counted.
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One result on its way to one consumer, with the loan of its image if that consumer wants images."""

    result: FrameResult
    live: bool
    loan: Loan | None = None

    def discard(self) -> None:
        if self.loan is not None:
            self.loan.give_back()


class Subscription:
    """A bounded queue of results for one consumer in another thread.

    ``cameras``: the names it wants, ``None`` for all. ``lender``: where it gets images from, if it wants them.
    ``on_room`` is called (by the consumer) when a full queue has room again, ``on_change`` (by the supervisor, under
    no lock) when there is something to take. ``offer`` never blocks.
    """

    def __init__(
        self,
        name: str,
        capacity: int,
        on_room: Callable[[], None],
        policy: Policy = "wait",
        cameras: frozenset[str] | None = None,
        lender: Lender | None = None,
    ) -> None:
        if policy not in get_args(Policy):
            raise UsageError(f"there is no policy {policy!r}: choose one of {', '.join(get_args(Policy))}")
        if capacity < 1:
            raise UsageError(f"a queue holds at least 1 result, not {capacity}")
        self.name = name
        self.policy = policy
        self.lender = lender
        self.on_change: Callable[[], None] | None = None
        self.delivered = 0
        self.dropped = 0
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

    @property
    def cancelled(self) -> bool:
        return self._discarding

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
            unwanted.discard()
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
            item.discard()
        self._on_room()
        if self.on_change is not None:
            self.on_change()

    def take(self, timeout: float | None = None) -> Item | None:
        """The next item; ``None`` after ``timeout`` seconds. Raises EOFError after the last one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._items:
                if self._ended or self._discarding:
                    raise EOFError("no more results")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            was_full = len(self._items) >= self._capacity
            item = self._items.popleft()
            self.delivered += 1
        if was_full:
            self._on_room()
        return item


class Delivery:
    """All subscriptions of a run. Touched by the supervisor alone, except for the queues themselves."""

    def __init__(self) -> None:
        self.subscriptions: tuple[Subscription, ...] = ()
        self.unattended = False
        self._dropped = 0
        self._ended = False

    @property
    def dropped(self) -> int:
        """Results that full queues dropped, those of consumers that have left included."""
        return self._dropped + sum(subscription.dropped for subscription in self.subscriptions)

    @property
    def lenders(self) -> Iterable[Lender]:
        return [item.lender for item in self.subscriptions if item.lender is not None]

    def add(self, subscription: Subscription) -> None:
        if self._ended:
            subscription.end()
        self.subscriptions = (*self.subscriptions, subscription)

    def remove(self, subscription: Subscription) -> None:
        if subscription in self.subscriptions:
            self._dropped += subscription.dropped
            self.subscriptions = tuple(item for item in self.subscriptions if item is not subscription)

    def holds_back(self, camera: str) -> bool:
        """Whether a camera that can wait has to: until there is room for it, or anyone at all."""
        if not self.subscriptions:
            return not self.unattended
        return any(subscription.holds_back(camera) for subscription in self.subscriptions)

    def offer(self, result: FrameResult, live: bool, lend: Callable[[Lender], Loan | None]) -> None:
        """Give ``result`` to everyone who wants it; ``lend`` makes the loan of its image, ``None`` where a consumer
        came too late to get that."""
        for subscription in self.subscriptions:
            if not subscription.wants(result.camera):
                continue
            if subscription.lender is None:
                subscription.offer(Item(result, live))
            elif (loan := lend(subscription.lender)) is not None:
                subscription.offer(Item(result, live, loan))

    def end(self) -> None:
        self._ended = True
        for subscription in self.subscriptions:
            subscription.end()
