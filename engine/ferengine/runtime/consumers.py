"""The consumers of a run, on the caller's side: iterators, asyncio streams and callbacks, each with a dedicated queue of
results, and the callback for camera events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, Self, TypeVar

from ferengine.errors import EngineStoppedError, UsageError, shown
from ferengine.ipc.frame_loans import MAX_WAITING
from ferengine.results import CameraEvent
from ferengine.runtime.rings import FrameRings
from ferengine.runtime.state import BackgroundThread, RunState
from ferengine.runtime.subscriptions import Item, Policy, Subscription, is_count, join_in_slices, wait_in_slices

log = logging.getLogger("ferengine")

T = TypeVar("T")

_TICK = 0.005
"""Seconds between two looks at a callback at the end."""

_IMAGES_WAITING = 2
"""Results with images that may wait for their consumer, unless it asks for another number."""


class Consumers:
    """What consumers need of a run: their queues, and its beginning and end.

    Args:
        state: The run.
        rings: Where images come from.
        consume: Starts the run, if it has not been started, and lets capture begin.
    """

    def __init__(self, state: RunState, rings: FrameRings, consume: Callable[[], None]) -> None:
        self._state = state
        self._rings = rings
        self.consume = consume

    @property
    def inherited(self) -> bool:
        """Whether this is a copy in a forked process: what it leads to is the parent's, and not to be touched."""
        return self._state.is_inherited

    def check_process(self) -> None:
        """Raise EngineStoppedError in a forked process."""
        self._state.check_process()

    def open(
        self, name: str, *, frames: bool, cameras: Iterable[str] | None, queue: int | None, policy: Policy
    ) -> Subscription:
        """A queue for one consumer. Raises UsageError for arguments that make no sense, and where there is no memory for
        the images that it may keep."""
        wanted = None if cameras is None else frozenset(cameras)
        if frames and queue is not None and not (is_count(queue) and queue <= MAX_WAITING):
            raise UsageError(
                f"with images 1 to {MAX_WAITING} results may wait (each keeps a frame from being reused), not {shown(queue)}"
            )
        capacity = queue if queue is not None else _IMAGES_WAITING if frames else self._state.config.queue
        subscription = Subscription(name, capacity, self._state.wake, policy, wanted)
        call = self._state.executor.call
        try:
            if frames:
                subscription.reader = call(lambda: self._rings.new_reader(capacity, wanted))
            try:
                for ring in call(lambda: self._rings.subscribe(subscription)):
                    ring.result()
            except UsageError:
                call(lambda: self._rings.unsubscribe(subscription))
                raise
            if frames:
                call(self._rings.renew_masks)
        except EngineStoppedError:
            subscription.end()
        return subscription

    def close(self, subscription: Subscription, in_hand: Item | None = None) -> None:
        """The consumer leaves; the image ``in_hand`` and those that wait are released. Never blocks."""
        if in_hand is not None:
            in_hand.release()
        subscription.discard()
        self._state.executor.post(lambda: self._rings.unsubscribe(subscription))

    def abandon(self, subscription: Subscription, in_hand: Item | None) -> None:
        """``close`` for finalisers: left to the supervisor, since the collector may come in the middle of anything."""
        self._state.executor.post(lambda: self.close(subscription, in_hand))

    def wait_end(self) -> None:
        """After the last result: wait for the end, and raise what caused it, if that was an error."""
        if self._state.ending:
            wait_in_slices(self._state.finished.wait, None)
            if self._state.error is not None:
                raise self._state.error


class Results(Generic[T]):
    """The results of ``Engine.results``: an iterator with a dedicated queue, which begins when it is made.

    ``close()``, the end of a ``with`` block or of the object give up the queue; until then files wait for it. Not for
    use by several threads at once: make one for each.
    """

    def __init__(self, consumers: Consumers, subscription: Subscription) -> None:
        self._consumers = consumers
        self._subscription = subscription
        self._item: Item | None = None
        self._closed = False

    @property
    def dropped(self) -> int:
        """Results that the full queue dropped."""
        return self._subscription.dropped

    @property
    def waiting(self) -> int:
        """Results in the queue."""
        return self._subscription.waiting

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
        """The next one. The image that came with the one before is released.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            ``None`` where none came within ``timeout``.

        Raises:
            EOFError: There are no more.
            FerengineError: What ended the run.
        """
        self._consumers.check_process()
        self._release()
        self._consumers.consume()
        try:
            item = self._subscription.take(timeout)
        except EOFError:
            self.close()
            self._consumers.wait_end()
            raise
        self._item = item
        return None if item is None else as_value(item)

    def close(self) -> None:
        """Give up the queue; may be called more than once."""
        self._consumers.check_process()
        if not self._closed:
            self._closed = True
            self._consumers.close(self._subscription, self._item)

    def _release(self) -> None:
        item, self._item = self._item, None
        if item is not None:
            item.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and not self._consumers.inherited:
            self._consumers.abandon(self._subscription, self._item)


async def stream_results(consumers: Consumers, open_queue: Callable[[], Subscription]) -> AsyncGenerator[Any, None]:
    """What ``Engine.stream`` returns: sleeps until there is something to take."""
    consumers.check_process()
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def notify() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed before the engine
            loop.call_soon_threadsafe(arrived.set)

    opening: Future[Subscription] = Future()

    def open_in_thread() -> None:
        try:
            opening.set_result(open_queue())
        except Exception as error:
            opening.set_exception(error)

    def close_opened(done: Future[Subscription]) -> None:
        if done.exception() is None:
            consumers.close(done.result())

    try:
        await asyncio.to_thread(open_in_thread)
    except BaseException:  # cancelled: the thread goes on, and the queue that it opens has no other owner
        opening.add_done_callback(close_opened)
        raise
    subscription = opening.result()
    subscription.on_change = notify
    item: Item | None = None
    try:
        consumers.consume()
        while True:
            consumers.check_process()
            arrived.clear()
            try:
                item = subscription.take(0)
            except EOFError:
                break
            if item is None:
                await arrived.wait()
                continue
            yield as_value(item)
            item.release()
        await asyncio.to_thread(consumers.wait_end)
    finally:
        if not consumers.inherited:
            consumers.close(subscription, item)


class CallbackSubscription:
    """A callback with a dedicated queue and thread: see ``Engine.subscribe``.

    ``errors`` counts what it raised; the first is logged with its traceback, and ``last_error`` is the last.
    """

    def __init__(self, consumers: Consumers, subscription: Subscription, callback: Callable[..., object]) -> None:
        self._consumers = consumers
        self._subscription = subscription
        self._callback = callback
        self.last_error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"ferengine-{subscription.name}", daemon=True)
        self._thread.start()

    @property
    def subscription(self) -> Subscription:
        """Its queue."""
        return self._subscription

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
        self._consumers.check_process()
        self._subscription.discard()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has been called with everything (after the end of the run, or ``cancel``).

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            False where that took longer.
        """
        self._consumers.check_process()
        return threading.current_thread() is not self._thread and join_in_slices(self._thread, timeout)

    def finish(self, patience: float, *, extended: bool) -> str | None:
        """The run is over: wait until it has been called with everything.

        Args:
            patience: Seconds to wait.
            extended: Whether each result that it takes restarts them.

        Returns:
            What is wrong, where it took longer: what still waits is given up then.
        """
        if threading.current_thread() is self._thread:
            self._subscription.discard()
            return None
        seen, deadline = self.delivered, time.monotonic() + patience
        while not self.join(_TICK):
            if extended and self.delivered != seen:
                seen, deadline = self.delivered, time.monotonic() + patience
            if time.monotonic() > deadline:
                cut = self._subscription.cut_off()
                return f"{self._subscription.name} did not return within {patience:.0f} s: its last {cut} results were cut off"
        return None

    def _run(self) -> None:
        try:
            while (item := self._subscription.take()) is not None:
                self._call(item)
        except EOFError:
            pass
        self._consumers.close(self._subscription)

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
            item.release()


def as_value(item: Item) -> Any:
    """What a consumer sees of ``item``: the result, or the pair of result and image."""
    return item.result if item.loan is None else (item.result, item.loan.image())


class EventReporter:
    """Logs disconnections, and calls ``callback``, where there is one, with each event, in order.

    The callback has a dedicated thread: it may block, and call any method of the engine. Events are few (a camera
    starts, is disconnected, reconnects, ends), so their queue has no bound. What it raises is logged and goes no further.
    """

    def __init__(self, callback: Callable[[CameraEvent], object] | None = None) -> None:
        self._callback = callback
        self._thread = BackgroundThread("ferengine-events")
        self._waits_itself = False

    def report(self, event: CameraEvent | None) -> None:
        """Never blocks. ``None`` is nothing new."""
        if event is None:
            return
        if event.kind == "disconnected":
            log.warning("%s: disconnected: %s", event.camera, event.reason)
        elif event.kind == "reconnected":
            log.warning("%s: reconnected after %.1f s", event.camera, event.seconds)
        if self._callback is not None:
            self._thread.submit(partial(_report, self._callback, event))

    def note_waiting(self) -> None:
        """The calling thread waits for the end of the run. If it is the callback's, the end does not wait for that."""
        self._waits_itself |= self._thread.is_current

    def close(self, is_over: Callable[[], bool], patience: float) -> int:
        """Wait until the callback has had every event.

        Args:
            is_over: Returns whether to wait no longer.
            patience: Seconds that one call of it may take.

        Returns:
            How many events it has not had.
        """
        seen, since = self._thread.pending, time.monotonic()
        while self._thread.pending and not self._waits_itself:
            if is_over() or time.monotonic() - since > patience:
                break
            time.sleep(_TICK)
            if self._thread.pending != seen:
                seen, since = self._thread.pending, time.monotonic()
        self._thread.close(0.0)
        return 0 if self._waits_itself else self._thread.pending


def _report(callback: Callable[[CameraEvent], object], event: CameraEvent) -> None:
    try:
        callback(event)
    except BaseException:  # also SystemExit: the events that follow have no other thread
        log.exception("the callback for camera events failed")
