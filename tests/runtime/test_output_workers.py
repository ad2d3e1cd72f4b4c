"""Output workers that stop, die or fail: the results go on without them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import av

from ferengine import Engine
from ferengine.sources import SourceSpec

LIVE = SourceSpec("demo", "stroll", "demo", loop=0, pace="native")


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
                assert results.take(60) is not None
            summary = engine.summary()
            assert summary["dropped"]["render"]["queue_full"] > 20
            assert summary["sinks"]["video"]["dropped"] == summary["dropped"]["render"]["queue_full"]
        finally:
            os.kill(engine.worker_pids()["video"], signal.SIGCONT)
        for _ in range(30):
            next(results)
        engine.stop()
        taken = 100 + sum(1 for _ in results)
        dropped = engine.summary()["dropped"]["render"]["queue_full"]
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
    assert engine.summary()["sinks"]["video"]["error"] == failures[0]


def test_a_folder_that_vanishes_before_the_first_frame(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    engine = Engine("demo", save=folder / "out.mp4", max_frames=8)
    folder.rmdir()
    with engine:
        assert sum(1 for _ in engine.results()) == 8
        deadline = time.monotonic() + 60
        while not engine.failures and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [text for text in engine.failures if "no folder" in text] == list(engine.failures) != []
