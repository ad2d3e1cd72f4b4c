"""Frames that the caller pushes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine, Pushed, PushSource
from ferengine.errors import UsageError
from threads_help import CheckedThread

Images = list[NDArray[np.uint8]]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def test_each_layout_and_size_arrives_as_it_was_pushed(images: Images) -> None:
    bgr = images[0]
    alpha = np.full((*bgr.shape[:2], 1), 9, np.uint8)
    grey = bgr[:, :, 1]
    large = np.zeros((900, 1200, 3), np.uint8)
    large[:480, :640] = bgr
    pushed = {
        "bgr": (bgr, bgr),
        "bgra": (np.concatenate([bgr, alpha], axis=2), bgr),
        "grey": (np.ascontiguousarray(grey), np.repeat(grey[:, :, np.newaxis], 3, axis=2)),
        "view": (bgr[10:300:2, 20:400:3], bgr[10:300:2, 20:400:3]),
        "rgb view": (bgr[:, :, ::-1], bgr[:, :, ::-1]),
        "larger: a new ring": (large, large),
        "tiny": (bgr[:16, :16], bgr[:16, :16]),
        "one pixel": (bgr[:1, :1], bgr[:1, :1]),
    }
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results(frames=True)
        for number, (frame, expected) in enumerate(pushed.values()):
            assert engine.push("door", frame, float(number), timeout=60) == Pushed(True, None, number)
            result, image = next(results)
            assert result.frame == number
            assert result.timestamp == number
            assert image.shape == expected.shape
            assert (image == expected).all()
        engine.end_source("door")
        assert list(results) == []


def test_tracks_end_when_the_size_changes_and_their_ids_are_not_used_again(images: Images) -> None:
    small = [np.ascontiguousarray(image[::2, ::2]) for image in images[8:12]]
    with Engine(PushSource("door", wait=True), detector="mtcnn", min_face=20) as engine:
        results = engine.results()
        ids = []
        for number, frame in enumerate([*images[:8], *small, *images[12:14]]):
            assert engine.push("door", frame, number / 30, timeout=60)
            result = next(results)
            ids.append({face.track for face in result.faces})
            assert result.faces
            assert all(x + w / 2 < frame.shape[1] for x, _, w, _ in (face.box for face in result.faces))
    assert set.union(*ids[:8]).isdisjoint(set.union(*ids[8:12]))
    assert set.union(*ids[:12]).isdisjoint(set.union(*ids[12:]))


def test_push_to_live_source_returns_the_reason_of_a_drop(images: Images) -> None:
    with Engine(PushSource("door"), **SETTINGS) as engine:
        assert engine.push("door", images[0]) == Pushed(False, "not_ready")
        held = engine.results(frames=True, queue=1, policy="drop_newest")  # keeps what it has, and takes nothing
        assert engine.wait_ready(120)
        answers = [engine.push("door", image) for image in images * 5]
        numbers = [answer.frame for answer in answers if answer.accepted]
        assert numbers == sorted(set(numbers))
        assert {answer.reason for answer in answers if not answer.accepted} == {"ring_full"}
        refused = sum(not answer for answer in answers)
        engine.stop()
        assert engine.wait(60)
        assert engine.push("door", images[0]) == Pushed(False, "ended")
        held.close()
        dropped = engine.summary()["dropped"]
        assert dropped["capture"]["not_ready"] == 1
        assert dropped["capture"]["ring_full"] == refused
        assert engine.health().cameras["door"].dropped["ring_full"] == refused


def test_a_waiting_source_processes_every_frame_and_holds_the_caller_back(images: Images) -> None:
    with Engine(PushSource("door", wait=True), queue=2, **SETTINGS) as engine:
        results = engine.results()
        engine.wait_ready()
        accepted = 0
        while engine.push("door", images[accepted % 40], accepted / 30, timeout=1.0):
            accepted += 1
        assert accepted < 400  # no result was taken: the queues and the ring were full
        assert engine.summary()["frames"] < accepted
        seen: list[Any] = []
        taken = CheckedThread(lambda: seen.extend(results))
        for _ in range(10):
            assert engine.push("door", images[accepted % 40], accepted / 30, timeout=60)
            accepted += 1
        engine.end_source("door")
        taken.join()
    assert [result.frame for result in seen] == list(range(accepted))


def test_max_frames_ends_a_push_source_too(images: Images) -> None:
    with Engine(PushSource("door", wait=True), max_frames=3, **SETTINGS) as engine:
        answers = [engine.push("door", image, timeout=60) for image in images[:5]]
        frames = [result.frame for result in engine.results()]
    assert [answer.reason for answer in answers] == [None, None, None, "ended", "ended"]
    assert frames == [0, 1, 2]


def test_max_frames_ends_a_live_push_source_whose_last_frames_are_dropped(images: Images) -> None:
    with Engine(PushSource("door"), max_frames=60, **SETTINGS) as engine:
        assert engine.wait_ready(120)
        reasons = []
        while "ended" not in reasons and len(reasons) < 10_000:  # faster than they can be tracked
            reasons.append(engine.push("door", images[0]).reason)
        assert engine.wait(60)
    assert reasons[-1] == "ended"
    assert len(reasons) == 61
    assert "ring_full" in reasons


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (np.zeros((4, 4, 3), np.float64), "float64"),
        (np.zeros((4, 4, 3, 1), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (20_000, 20_000, 3), (0, 0, 0)), "at most 16384"),
        ("frame.png", "str"),
    ],
)
def test_a_wrong_array_is_one_clear_error_and_costs_nothing(frame: Any, named: str) -> None:
    engine = Engine(PushSource("door"))
    try:
        with pytest.raises(UsageError, match=f"door.*{named}"):
            engine.push("door", frame)
        for stamp in (float("nan"), 1e300, "noon"):
            with pytest.raises(UsageError, match=re.escape(str(stamp))):
                engine.push("door", np.zeros((4, 4, 3), np.uint8), stamp)  # type: ignore[arg-type]
    finally:
        engine.close()


def test_a_frame_without_memory_is_an_error_of_that_frame_alone(images: Images) -> None:
    most = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    if most > 8 * 16384 * 16384 * 3:
        pytest.skip("this machine has memory for the largest frames there are")
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (16384, 16384, 3), (0, 0, 0))
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results()
        with pytest.raises(UsageError, match="do not fit into memory"):
            engine.push("door", huge, timeout=60)
        assert engine.push("door", images[0], timeout=60)
        assert next(results).frame == 0
        assert engine.health().ok


def test_push_to_a_removed_camera_returns_ended(images: Images) -> None:
    with Engine([PushSource("door"), PushSource("yard")], **SETTINGS) as engine:
        engine.remove_source("door")
        assert engine.push("door", images[0]) == Pushed(False, "ended")
        assert engine.add_source(PushSource("door")) == "door"
        assert engine.push("door", images[0]).reason != "ended"


def test_names_are_checked() -> None:
    engine = Engine([PushSource("door"), "demo"])
    try:
        with pytest.raises(UsageError, match=r"'yard'.*door, demo"):
            engine.push("yard", np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(UsageError, match="demo is read by the engine itself"):
            engine.push("demo", np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(UsageError, match="needs a name"):
            PushSource("").spec()
    finally:
        engine.close()
