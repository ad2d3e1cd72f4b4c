"""Those who take the results of an engine: iterators, asyncio streams and callbacks, each with a queue of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ferengine.errors import EngineStoppedError, UsageError
from ferengine.runtime.frame_loans import MAX_WAITING
from ferengine.runtime.subscriptions import Item, Policy, Subscription

if TYPE_CHECKING:
    from ferengine.runtime.supervisor import Supervisor

log = logging.getLogger("ferengine")

T = TypeVar("T")

_IMAGES_WAITING = 2
"""Results with images that may wait for their consumer, unless it says otherwise."""


def open_subscription(
    supervisor: Supervisor,
    name: str,
    *,
    frames: bool,
    cameras: Iterable[str] | None,
    queue: int | None,
    policy: Policy,
) -> Subscription:
    """A queue for one consumer, known to the supervisor. Raises UsageError for arguments that make no sense."""
    wanted = None if cameras is None else frozenset(cameras)
    if frames and queue is not None and not 1 <= queue <= MAX_WAITING:
        raise UsageError(f"with images 1 to {MAX_WAITING} results may wait (each keeps a frame from being reused), not {queue}")
    capacity = queue if queue is not None else _IMAGES_WAITING if frames else supervisor.config.queue

    def open_it() -> Subscription:
        subscription = Subscription(name, capacity, supervisor.wake, policy, wanted)
        if frames:
            subscription.lender = supervisor.roster.lend_to(capacity, wanted)
        supervisor.roster.subscribe(subscription)
        return subscription

    try:
        return supervisor.calls.call(open_it)
    except EngineStoppedError:
        ended = Subscription(name, capacity, supervisor.wake, policy, wanted)
        ended.end()
        return ended


def close_subscription(supervisor: Supervisor, subscription: Subscription, in_hand: Item | None = None) -> None:
    """The consumer leaves; the image ``in_hand`` and those that wait are given back. Never blocks."""
    if in_hand is not None:
        in_hand.discard()
    subscription.discard()
    supervisor.calls.post(lambda: supervisor.roster.unsubscribe(subscription))


class Results(Generic[T]):
    """The results of ``Engine.results``: an iterator with a queue of its own, which begins when it is made.

    ``close()``, the end of a ``with`` block or of the object give up the queue; until then files wait for it. Not for
    use by several threads at once: make one for each.
    """

    def __init__(self, supervisor: Supervisor, subscription: Subscription, start: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._subscription = subscription
        self._start = start
        self._item: Item | None = None
        self._closed = False

    @property
    def dropped(self) -> int:
        """Results that the full queue dropped."""
        return self._subscription.dropped

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            value = self.take()
        except EOFError:
            raise StopIteration from None
        assert value is not None  # without a timeout
        return value

    def take(self, timeout: float | None = None) -> T | None:
        """The next one; ``None`` after ``timeout`` seconds. Raises EOFError after the last, or the error that ended
        the run. What was lent with the one before is given back."""
        self._give_back()
        self._start()
        try:
            item = self._subscription.take(timeout)
        except EOFError:
            self.close()
            end_of_run(self._supervisor)
            raise
        self._item = item
        return None if item is None else as_value(item)

    def close(self) -> None:
        """Give up the queue; may be called more than once."""
        if not self._closed:
            self._closed = True
            close_subscription(self._supervisor, self._subscription, self._item)

    def _give_back(self) -> None:
        item, self._item = self._item, None
        if item is not None:
            item.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:  # left to the supervisor: the collector may come in the middle of anything
            supervisor, subscription, item = self._supervisor, self._subscription, self._item
            supervisor.calls.post(lambda: close_subscription(supervisor, subscription, item))


async def stream_results(
    supervisor: Supervisor, open_it: Callable[[], Subscription], start: Callable[[], None]
) -> AsyncIterator[Any]:
    """What ``Engine.stream`` returns: sleeps until the supervisor says that there is something to take."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def notify() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed before the engine
            loop.call_soon_threadsafe(arrived.set)

    subscription = await asyncio.to_thread(open_it)
    subscription.on_change = notify
    item: Item | None = None
    try:
        start()
        while True:
            arrived.clear()
            try:
                item = subscription.take(0)
            except EOFError:
                break
            if item is None:
                await arrived.wait()
                continue
            yield as_value(item)
            item.discard()
        await asyncio.to_thread(end_of_run, supervisor)
    finally:
        close_subscription(supervisor, subscription, item)


class CallbackSubscription:
    """A callback with a queue and a thread of its own: see ``Engine.subscribe``.

    ``errors`` counts what it raised; the first is logged with its traceback, and ``last_error`` is the last.
    """

    def __init__(self, supervisor: Supervisor, subscription: Subscription, callback: Callable[..., object]) -> None:
        self._supervisor = supervisor
        self._subscription = subscription
        self._callback = callback
        self.last_error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"ferengine-{subscription.name}", daemon=True)
        self._thread.start()

    @property
    def delivered(self) -> int:
        """Results that it was called with."""
        return self._subscription.delivered

    @property
    def dropped(self) -> int:
        """Results that the full queue dropped."""
        return self._subscription.dropped

    @property
    def errors(self) -> int:
        """How often it raised."""
        return self._subscription.errors

    def cancel(self) -> None:
        """Call it no more; what waits for it is dropped. May be called by itself, and more than once."""
        self._subscription.discard()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has had everything (after the end of the run, or ``cancel``); False after ``timeout`` seconds."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (item := self._subscription.take()) is not None:
                self._call(item)
        except EOFError:
            pass
        close_subscription(self._supervisor, self._subscription)

    def _call(self, item: Item) -> None:
        try:
            if item.loan is None:
                self._callback(item.result)
            else:
                self._callback(item.result, item.loan.image())
        except BaseException as error:  # also SystemExit: nothing may leave the queue without a consumer
            self._subscription.errors += 1
            self.last_error = error
            if self._subscription.errors == 1:
                log.exception("the callback %s failed; it goes on, and further failures are only counted",
                              self._subscription.name)  # fmt: skip
        finally:
            item.discard()


def as_value(item: Item) -> Any:
    """What a consumer sees of ``item``: the result, or the pair of result and image."""
    return item.result if item.loan is None else (item.result, item.loan.image())


def end_of_run(supervisor: Supervisor) -> None:
    """After the last result: wait for the end, and raise what caused it, if that was an error."""
    if supervisor.over:
        supervisor.join()
        if supervisor.error is not None:
            raise supervisor.error
