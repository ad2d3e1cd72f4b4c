"""Iterators, asyncio streams and callbacks: each has its own queue, and none disturbs another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import CameraEvent, Engine, FrameResult, Pushed, PushSource
from ferengine.errors import EngineStoppedError, UsageError
from ferengine.runtime.consumers import Consumers
from ferengine.runtime.subscriptions import Subscription
from threads_help import CheckedThread

Images = list[NDArray[np.uint8]]
PushAll = Callable[[Engine, str, Images], None]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def _pusher(engine: Engine, push_all: PushAll, images: Images, camera: str = "door") -> CheckedThread:
    return CheckedThread(lambda: push_all(engine, camera, images))


def test_every_iterator_callback_and_take_gets_everything(images: Images, push_all: PushAll) -> None:
    called: list[int] = []
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        first, second = engine.results(), engine.results(queue=3)
        subscription = engine.subscribe(lambda result: called.append(result.frame))
        pusher = _pusher(engine, push_all, images)
        seen: list[int] = []
        reader = CheckedThread(lambda: seen.extend(result.frame for result in second))
        assert [result.frame for result in first] == list(range(40))
        reader.join()
        pusher.join()
        assert engine.wait(60)
        assert seen == called == list(range(40))
        assert subscription.delivered == 40
        assert engine.summary()["dropped"]["results"]["queue_full"] == 0


def test_failing_callback_is_counted_and_does_not_affect_others(
    images: Images, push_all: PushAll, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(result: FrameResult) -> None:
        raise SystemExit(7) if result.frame == 3 else KeyError(result.frame)

    with caplog.at_level(logging.ERROR, "ferengine"), Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        failing = engine.subscribe(fails, name="alarm")
        results = engine.results()
        pusher = _pusher(engine, push_all, images[:12])
        assert [result.frame for result in results] == list(range(12))
        pusher.join()
        assert engine.wait(60)
        assert failing.errors == failing.delivered == 12
        assert isinstance(failing.last_error, KeyError)
    reports = [record for record in caplog.records if "alarm" in record.getMessage()]
    assert len(reports) == 1
    assert reports[0].exc_info is not None


def test_a_callback_can_cancel_itself_and_nothing_waits_for_it_then(images: Images, push_all: PushAll) -> None:
    called: list[int] = []
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:

        def once(result: FrameResult) -> None:
            called.append(result.frame)
            subscription.cancel()

        results = engine.results()
        subscription = engine.subscribe(once, queue=1)
        pusher = _pusher(engine, push_all, images)
        assert len(list(results)) == 40
        pusher.join()
        assert subscription.join(60)
        assert called == [0]
        assert [consumer.name for consumer in engine.health().consumers] == []


def test_a_stalled_consumer_of_one_camera_does_not_hold_another(images: Images, push_all: PushAll) -> None:
    go_on = threading.Event()
    with Engine([PushSource("door", wait=True), PushSource("yard", wait=True)], **SETTINGS) as engine:
        engine.subscribe(lambda result: go_on.wait(120), cameras=["door"], queue=1)
        yard = engine.results(cameras=["yard"])
        pushers = [_pusher(engine, push_all, images, camera) for camera in ("door", "yard")]
        assert [result.frame for result in islice(yard, 40)] == list(range(40))
        pushers[1].join()
        assert engine.health().cameras["yard"].frames == 40
        assert engine.health().cameras["door"].frames < 5
        go_on.set()
        pushers[0].join()
        assert engine.wait(60)
        assert engine.health().cameras["door"].frames == 40


def test_asyncio_gets_everything_without_blocking_the_loop(images: Images, push_all: PushAll) -> None:
    async def program() -> tuple[list[int], list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        async with Engine(PushSource("door", wait=True), queue=4, **SETTINGS) as engine:
            ticking = asyncio.create_task(tick())
            pushing = asyncio.create_task(asyncio.to_thread(push_all, engine, "door", images))

            async def collect() -> list[int]:
                return [result.frame async for result in engine.stream()]

            frames, imaged = await asyncio.gather(collect(), _shapes(engine))
            await pushing
            ticking.cancel()
            return frames, imaged, ticks

    async def _shapes(engine: Engine) -> list[int]:
        return [image.shape[0] async for _, image in engine.stream(frames=True)]

    frames, heights, ticks = asyncio.run(program())
    assert frames == list(range(40))
    assert heights == [480] * 40
    assert ticks > 10


def test_a_cancelled_stream_leaves_and_the_others_go_on(images: Images, push_all: PushAll) -> None:
    async def program() -> list[int]:
        async with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
            rest = engine.results()

            async def consume() -> None:
                async for _ in engine.stream(queue=1):
                    await asyncio.sleep(3600)

            consuming = asyncio.create_task(consume())
            pushing = asyncio.create_task(asyncio.to_thread(push_all, engine, "door", images))
            while not any(item.name == "stream" and item.delivered for item in engine.health().consumers):
                await asyncio.sleep(0.02)
            consuming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consuming
            frames = await asyncio.to_thread(lambda: [result.frame for result in rest])
            await pushing
            assert engine.health().consumers == ()
            return frames

    assert asyncio.run(program()) == list(range(40))


def test_threads_that_take_share_one_queue(images: Images, push_all: PushAll) -> None:
    with Engine([PushSource("door", wait=True), PushSource("yard")], **SETTINGS) as engine:
        assert engine.wait_ready(60)
        together = threading.Barrier(6)
        taken: list[int] = []

        def take() -> None:
            together.wait()
            with contextlib.suppress(EOFError):
                while (result := engine.take(60)) is not None:
                    taken.append(result.frame)

        readers = [CheckedThread(take) for _ in range(6)]
        doors = engine.results(cameras="door")
        pusher = _pusher(engine, push_all, images)
        engine.end_source("yard")
        assert [result.frame for result in doors] == list(range(40))
        for thread in (pusher, *readers):
            thread.join()
        assert sorted(taken) == list(range(40))


def test_a_closed_engine_takes_nothing_more(images: Images) -> None:
    engine = Engine(PushSource("door", wait=True), **SETTINGS)
    assert engine.health().state == "new"
    engine.close()
    assert engine.health().state == "ended"
    assert engine.push("door", images[0]) == Pushed(False, "ended")
    with pytest.raises(EngineStoppedError):
        engine.add_source("demo")
    with pytest.raises(EngineStoppedError):
        next(engine.results())


def test_a_consumer_that_comes_after_the_end_gets_nothing(images: Images, push_all: PushAll) -> None:
    called: list[FrameResult] = []
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results()
        push_all(engine, "door", images[:3])
        assert [result.frame for result in results] == [0, 1, 2]
    with pytest.raises(EngineStoppedError, match="has been closed"):
        engine.start()
    with pytest.raises(EngineStoppedError, match="has been closed"), engine:
        raise AssertionError("a closed engine was entered")
    assert engine.wait_ready(0)
    assert list(engine.results(frames=True)) == []
    late = engine.subscribe(called.append)
    assert late.join(60)
    assert called == []
    with pytest.raises(EOFError):
        engine.take()
    with pytest.raises(EngineStoppedError):
        engine.add_source("demo")
    engine.end_source("door")
    engine.remove_source("door")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"cameras": ["yard"]}, "'yard'"),
        ({"cameras": "yard"}, "'yard'"),
        ({"queue": 0}, "1 to 100000"),
        ({"queue": 100, "frames": True}, "1 to 32"),
        ({"policy": "never"}, "drop_newest"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any], named: str) -> None:
    engine = Engine(PushSource("door"))
    try:
        with pytest.raises(UsageError, match=named):
            engine.results(**arguments)
        with pytest.raises(UsageError, match=named):
            engine.subscribe(print, **arguments)
    finally:
        engine.close()


def test_only_what_can_be_called_is_a_callback() -> None:
    with Engine(PushSource("door")) as engine, pytest.raises(UsageError, match=r"a callback is a function.*not NoneType"):
        engine.subscribe(None)  # type: ignore[arg-type]


def test_an_async_function_is_no_callback() -> None:
    """It would make a coroutine of each result, and nothing would come of it."""

    async def take(result: FrameResult) -> None: ...

    async def answer(result: FrameResult) -> AsyncIterator[int]:
        yield result.index

    class Taker:
        async def __call__(self, result: FrameResult) -> None: ...

    with Engine(PushSource("door")) as engine:
        for callback in (take, partial(take), Taker(), Taker().__call__, answer):
            with pytest.raises(UsageError, match=r"takes a result, not an async one: .* nothing awaits it$"):
                engine.subscribe(callback)
        assert engine.health().consumers == ()
    with pytest.raises(UsageError, match=r"^on_event is a function that takes an event, not an async one: "):
        Engine("demo", on_event=take)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_a_callback_for_events_raises_it_gets_the_next(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    kinds: list[str] = []

    def note(event: CameraEvent) -> None:
        kinds.append(event.kind)
        raise error("wrong")

    with Engine("demo:empty", max_frames=2, on_event=note, **SETTINGS) as engine:
        assert [result.frame for result in engine.results()] == [0, 1]
        assert kinds == ["started", "ended"]
        assert engine.failures == ()
    assert [record.message for record in caplog.records] == ["the callback for camera events failed"] * 2


def test_a_stream_that_is_left_early_gives_up_its_queue() -> None:
    async def program(*, images: bool) -> list[int]:
        async with Engine("demo:empty", max_frames=5, **SETTINGS) as engine:
            rest = engine.results(frames=images)
            async with contextlib.aclosing(engine.stream(frames=images, queue=1)) as results:
                async for _ in results:
                    break
            return await asyncio.to_thread(lambda: [(each[0] if images else each).frame for each in rest])

    for images in (False, True):
        assert asyncio.run(program(images=images)) == [0, 1, 2, 3, 4]


def test_a_stream_cancelled_while_it_opens_leaves_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    opened: list[Subscription] = []
    closed: list[Subscription] = []
    open_queue, close_queue = Consumers.open, Consumers.close

    def open_slowly(self: Consumers, *args: Any, **kwargs: Any) -> Subscription:
        entered.set()
        assert go_on.wait(60)
        opened.append(open_queue(self, *args, **kwargs))
        return opened[-1]

    def close_noted(self: Consumers, subscription: Subscription) -> None:
        close_queue(self, subscription)
        closed.append(subscription)

    async def program(engine: Engine) -> None:
        async def consume() -> None:
            async for _ in engine.stream():
                pass

        task = asyncio.create_task(consume())
        await asyncio.to_thread(entered.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    monkeypatch.setattr(Consumers, "open", open_slowly)
    monkeypatch.setattr(Consumers, "close", close_noted)
    engine = Engine(PushSource("door", wait=True), **SETTINGS)
    try:
        asyncio.run(program(engine))  # joins the thread that opens
        assert len(opened) == 1
        assert closed == opened
    finally:
        engine.close()
