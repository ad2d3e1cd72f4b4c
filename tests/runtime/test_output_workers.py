"""Output workers that stop, die or fail: the results go on without them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from ferengine import Engine
from ferengine.runtime import output_workers as output_feed
from ferengine.runtime.joiner import Joined
from ferengine.runtime.outlet import HOLD, QUEUE, Outlet
from ferengine.runtime.output_workers import OutputFeed
from ferengine.sources import SourceSpec
from ferengine.stages.messages import VIDEO_READER, WINDOW_READER

LIVE = SourceSpec("demo", "stroll", "demo", 0, "native")


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_stopped_video_worker_does_not_slow_a_camera(tmp_path: Path) -> None:
    """It stands still for 60 results, more than its queue, its inbox and the ring hold."""
    with Engine(LIVE, save=tmp_path / "out.mp4") as engine:
        results = engine.results()
        for _ in range(10):
            next(results)
        os.kill(engine.worker_pids()["video"], signal.SIGSTOP)
        try:
            for _ in range(60):
                assert results.take(10) is not None
            figures = engine.summary()
            assert figures["dropped"]["output"]["queue_full"] > 20
            assert figures["outputs"]["video"]["dropped"] == figures["dropped"]["output"]["queue_full"]
        finally:
            os.kill(engine.worker_pids()["video"], signal.SIGCONT)
        for _ in range(30):
            next(results)
        engine.stop()
        taken = 100 + sum(1 for _ in results)
        dropped = engine.summary()["dropped"]["output"]["queue_full"]
    assert 10 <= frames_of(tmp_path / "out.mp4") <= taken - dropped + 1


def test_a_video_worker_that_is_given_up_does_not_end_the_run(tmp_path: Path) -> None:
    with Engine("demo", save=tmp_path / "out.mp4", max_frames=80, restart_limit=0) as engine:
        results = engine.results()
        for _ in range(10):
            next(results)
        os.kill(engine.worker_pids()["video"], signal.SIGKILL)
        rest = [result.frame for result in results]
        failures = engine.failures
    assert rest == list(range(10, 80))
    assert len(failures) == 1
    assert "worker video died" in failures[0]


def test_a_folder_that_vanishes_before_the_first_frame(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    engine = Engine("demo", save=folder / "out.mp4", max_frames=8)
    folder.rmdir()
    with engine:
        assert sum(1 for _ in engine.results()) == 8
        deadline = time.monotonic() + 10
        while not engine.failures and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [text for text in engine.failures if "no folder" in text] == list(engine.failures) != []


class StillRing:
    """A frame ring whose readers keep everything."""

    def __init__(self) -> None:
        self.kept: dict[int, list[tuple[int, int]]] = {VIDEO_READER: [], WINDOW_READER: []}

    def held(self, reader: int) -> list[tuple[int, int]]:
        return list(self.kept[reader])

    def release(self, slot: int, reader: int) -> None:
        self.kept[reader] = [item for item in self.kept[reader] if item[1] != slot]


@pytest.mark.parametrize("live", [True, False])
def test_each_output_has_its_own_queue_and_frames(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The video takes nothing, the window everything: only the video drops, and only from live sources."""
    monkeypatch.setattr(output_feed, "encode_result", lambda *_: b"x" * 60_000)
    outlets = [Outlet("video", VIDEO_READER), Outlet("window", WINDOW_READER)]
    feed, ring = OutputFeed(outlets), StillRing()
    camera = SimpleNamespace(number=0, live=live, rings={0: ring})
    taken = 0
    for number in range(60):
        for kept in ring.kept.values():
            kept.append((number, number))
        joined = Joined(SimpleNamespace(frame=number), 0, number)  # type: ignore[arg-type]
        feed.offer(camera, joined)  # type: ignore[arg-type]
        while outlets[1].waiting or taken <= number:
            outlets[1].inbox_out.recv(1 << 20)
            taken += 1
            outlets[1].flush()
        ring.kept[WINDOW_READER].clear()
    assert (taken, outlets[1].dropped) == (60, 0)
    if live:
        assert len(ring.kept[VIDEO_READER]) == HOLD
        assert outlets[0].dropped == 60 - HOLD
    else:
        assert outlets[0].dropped == 0
        assert len(outlets[0].waiting) > QUEUE
        assert not feed.has_room
    outlets[0].give_up()
    assert feed.has_room
    assert feed.lenders == [outlets[1].lender]
