"""Images on loan to consumers: no copy, valid until the next item, harmless afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine, PushSource, SourceSpec
from threads_help import CheckedThread

Images = list[NDArray[np.uint8]]
PushAll = Callable[[Engine, str, Images], None]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def test_held_images_stay_unchanged_and_do_not_block_others(images: Images, push_all: PushAll) -> None:
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        loans = [engine.results(frames=True, policy="drop_oldest") for _ in range(3)]
        everything = engine.results()
        pusher = CheckedThread(lambda: push_all(engine, "door", images))
        held = [next(results) for results in loans]
        assert [result.frame for result in everything] == list(range(40))
        pusher.join()
        for result, image in held:
            assert (image == images[result.frame]).all()
        for results in loans:
            rest = [(result.frame, np.array_equal(image, images[result.frame])) for result, image in results]
            assert rest == [(38, True), (39, True)]  # as many as may wait


def test_after_the_next_item_the_view_is_stale_but_safe(images: Images) -> None:
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results(frames=True)
        views, numbers = [], []
        for number, image in enumerate(images):
            assert engine.push("door", image, number / 30, timeout=60)
            result, view = next(results)
            with pytest.raises(ValueError, match="read-only"):
                view[0, 0] = 0
            assert (view == image).all()
            views.append(view)
            numbers.append(result.frame)
    assert numbers == list(range(40))
    fresh = [number for number in range(40) if (views[number] == images[number]).all()]
    assert len(fresh) < 40  # slots were used again
    assert fresh[-1] == 39
    for view in views:  # the memory stays mapped, also after the end of the engine
        assert any((view == image).all() for image in images)


def test_closing_the_iterator_frees_its_slots(images: Images) -> None:
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        for turn in range(4):  # were they kept, the ring would run full
            with engine.results(frames=True, queue=8) as results:
                result, image = None, None
                for number in range(8):
                    assert engine.push("door", images[number], turn + number / 30, timeout=60)
                    if number == 0:
                        result, image = next(results)
                assert result is not None
                assert result.frame == 8 * turn
                assert (image == images[0]).all()
                while sum(consumer.waiting for consumer in engine.health().consumers) < 7:
                    time.sleep(0.01)
        health = engine.health()
        assert health.cameras["door"].dropped["ring_full"] == 0
        assert [consumer.name for consumer in health.consumers] in ([], ["results"])


def test_one_who_comes_late_begins_with_a_later_frame(images: Images) -> None:
    with Engine(SourceSpec("demo", "stroll", "demo", loop=0), **SETTINGS) as engine:
        everything = engine.results(queue=4)
        assert [result.frame for result in islice(everything, 10)] == list(range(10))
        late = engine.results(frames=True)
        draining = CheckedThread(lambda: sum(1 for _ in everything))
        seen = []
        for result, image in islice(late, 12):
            seen.append(result.frame)
            if result.frame < 40:
                assert (image == images[result.frame]).all()
        assert seen[0] > 0
        assert seen == list(range(seen[0], seen[0] + 12))
        engine.stop()
        draining.join()


def test_a_callback_gets_the_image_too(images: Images, push_all: PushAll) -> None:
    same: list[bool] = []
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        engine.subscribe(lambda result, image: same.append(np.array_equal(image, images[result.frame])), frames=True)
        push_all(engine, "door", images[:15])
        assert engine.wait(60)
    assert same == [True] * 15
