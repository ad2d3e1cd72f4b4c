"""The end of a run: what is alive and still has data finishes, and what is cut off is counted and reported."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ferengine import Engine, PushSource
from ferengine.errors import WorkerError
from ferengine.ipc.process import WorkerProcess
from ferengine.results import CameraEvent, FrameResult


def stamps_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_clip(path: Path, width: int, height: int, frames: int) -> None:
    """A clip of coarse noise that moves."""
    coarse = np.random.default_rng(5).integers(0, 255, (height // 40, width // 40, 3), np.uint8)
    noise = coarse.repeat(40, axis=0).repeat(40, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 16 * number, axis=1), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def stopped_video(path: Path, then: Callable[[int], None], **settings: object) -> Engine:
    """An engine that has read a short demo while its video worker stood still; ``then`` gets that one's process id."""
    with Engine("demo", save=path, max_frames=10, **settings) as engine:
        results = engine.results()
        engine.wait_ready()
        pid = engine.worker_pids()["video"]
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(3.0, then, [pid])
        timer.start()
        assert [result.frame for result in results] == list(range(10))
        timer.join()
    return engine


def test_a_clip_in_4k_is_saved_completely(tmp_path: Path) -> None:
    """Encoding takes longer than everything else: when the last result comes out, most frames have not been encoded."""
    write_clip(tmp_path / "clip.mp4", 3840, 2160, 30)
    with Engine(tmp_path / "clip.mp4", save=tmp_path / "out.mp4", min_face=600.0) as engine:
        engine.wait()
    assert len(stamps_of(tmp_path / "out.mp4")) == 30
    assert engine.failures == ()
    assert engine.summary()["sinks"]["video"] == {"written": 30, "dropped": 0, "cut": 0, "error": None}


def test_a_video_worker_that_is_slow_at_the_end_is_waited_for(tmp_path: Path) -> None:
    engine = stopped_video(tmp_path / "out.mp4", lambda pid: os.kill(pid, signal.SIGCONT))
    assert len(stamps_of(tmp_path / "out.mp4")) == 10
    assert engine.failures == ()
    assert engine.summary()["sinks"]["video"]["written"] == 10


def test_a_video_worker_that_dies_at_the_end_is_replaced(tmp_path: Path) -> None:
    engine = stopped_video(tmp_path / "out.mp4", lambda pid: os.kill(pid, signal.SIGKILL))
    assert len(stamps_of(tmp_path / "out.mp4")) == 10
    assert engine.failures == ()
    assert names_in(tmp_path) == ["out.mp4"]


def test_a_video_worker_that_hangs_at_the_end_is_replaced(tmp_path: Path) -> None:
    engine = stopped_video(tmp_path / "out.mp4", lambda pid: None, stuck_after=4.0)
    assert len(stamps_of(tmp_path / "out.mp4")) == 10
    assert engine.failures == ()


def test_a_stop_gives_a_hanging_video_worker_a_stated_time(tmp_path: Path) -> None:
    with Engine("demo", save=tmp_path / "out.mp4", max_frames=10) as engine:
        results = engine.results()
        engine.wait_ready()
        pid = engine.worker_pids()["video"]
        os.kill(pid, signal.SIGSTOP)
        for _ in range(6):
            next(results)
        engine.stop()
        began = time.monotonic()
        assert sum(1 for _ in results) <= 4
        assert time.monotonic() - began > 4.0
    cut = engine.summary()["sinks"]["video"]["cut"]
    assert 6 <= cut <= 10
    assert engine.summary()["dropped"]["render"]["cut"] == cut
    assert [text for text in engine.failures if f"{cut} of {cut} results were not written: the run was stopped" in text]


def test_parts_are_joined_and_files_of_others_are_untouched(tmp_path: Path) -> None:
    """The worker is killed twice; what it had not yet brought to the file is counted, and leaves a gap of its length."""
    (tmp_path / "out.part2.mp4").write_bytes(b"mine")
    (tmp_path / "out.part3.mp4").symlink_to(tmp_path / "nowhere")
    with Engine("demo", save=tmp_path / "out.mp4", max_frames=150) as engine:
        for result in engine.results(queue=2):  # so that the video is not far ahead
            if result.frame in (50, 100):
                os.kill(engine.worker_pids()["video"], signal.SIGKILL)
    assert names_in(tmp_path) == ["out.mp4", "out.part2.mp4", "out.part3.mp4"]
    assert (tmp_path / "out.part2.mp4").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    stamps = stamps_of(tmp_path / "out.mp4")
    video = engine.summary()["sinks"]["video"]
    assert len(stamps) == video["written"] == 150 - video["cut"]
    assert 0 < video["cut"] <= 90
    assert f"{video['cut']} of 150 results were not written: its worker died with them" in engine.failures[0]
    numbers = [round(stamp * 30) for stamp in stamps]
    assert numbers == pytest.approx([30 * stamp for stamp in stamps], abs=0.01)
    assert numbers[-1] == 149
    assert len(set(numbers)) == len(numbers)


def test_callbacks_get_everything_after_a_natural_end() -> None:
    taken: list[int] = []

    def slow(result: FrameResult) -> None:
        time.sleep(0.1)
        taken.append(result.frame)

    with Engine("demo", max_frames=40) as engine:
        callback = engine.subscribe(slow)
        assert sum(1 for _ in engine.results()) == 40
    assert taken == list(range(40))
    assert (engine.failures, callback.delivered) == ((), 40)


def test_callbacks_that_never_return_are_cut_off_and_counted() -> None:
    forever = threading.Event()
    with Engine("demo", max_frames=10, stuck_after=1.0) as engine:
        engine.subscribe(lambda result: forever.wait(), name="stuck")
        assert sum(1 for _ in engine.results()) == 10
    forever.set()
    assert engine.failures == ("stuck did not return within 1 s: its last 9 results were cut off",)
    assert engine.summary()["dropped"]["results"]["cut"] == 9


def test_the_event_callback_gets_everything() -> None:
    kinds: list[str] = []

    def slow(event: CameraEvent) -> None:
        time.sleep(1.5)
        kinds.append(event.kind)

    with Engine("demo", max_frames=5, on_event=slow) as engine:
        assert sum(1 for _ in engine.results()) == 5
    assert kinds == ["started", "ended"]
    assert engine.failures == ()


def test_the_event_callback_may_wait_for_the_end() -> None:
    ended: list[bool] = []

    def wait_in_it(event: CameraEvent) -> None:
        if event.kind == "ended":
            ended.append(engine.wait(60))

    engine = Engine("demo", max_frames=5, on_event=wait_in_it)
    began = time.monotonic()
    with engine:
        assert sum(1 for _ in engine.results()) == 5
    deadline = time.monotonic() + 30
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended == [True]
    assert time.monotonic() - began < engine._state.config.stuck_after + 10


def test_classifier_that_gets_stuck_on_the_same_faces_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its deaths are too far apart for the limit of a minute; what counts is that no batch was finished between them."""
    monkeypatch.setattr("ferengine.ipc.process._MINUTE", 0.5)
    stuck = WorkerProcess.stuck

    def stuck_after_its_start(self: WorkerProcess[Any], now: float, after: float) -> bool:
        return self.name == "classify" and self.was_ready and stuck(self, now, after)

    monkeypatch.setattr(WorkerProcess, "stuck", stuck_after_its_start)
    engine = Engine("demo", stuck_after=2.0, restart_limit=2)
    seen, stopped = 0, 0
    with engine, pytest.raises(WorkerError, match=r"without getting any further \(last: it was stuck for"):  # noqa: PT012
        for _ in engine.results():
            seen += 1
            if not stopped:
                threading.Thread(target=stop_lives, args=(engine, "classify", 4)).start()
            stopped = 1
    summary = engine.summary()
    assert summary["workers"]["classify"]["restarts"] in (2, 3)  # the first may leave finished batches that are not read yet
    assert 0 < seen < 600
    assert summary["dropped"]["track"]["cut"] > 0


def stop_lives(engine: Engine, name: str, lives: int) -> None:
    """Stop the present process of a worker, and each of its successors before it has done anything."""
    stopped: set[int] = set()
    deadline = time.monotonic() + 120
    while len(stopped) < lives and time.monotonic() < deadline:
        worker = engine.health().workers[name]
        if worker.pid is not None and worker.pid not in stopped and (worker.state == "running" or stopped):
            os.kill(worker.pid, signal.SIGSTOP)
            stopped.add(worker.pid)
        time.sleep(0.01)


@pytest.mark.parametrize("step", ["_delivery.take_in", "_poll"])
def test_a_failure_at_the_end_leaves_no_worker_behind(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(PushSource("door"), detector="haar")
    engine.start()
    assert engine.wait_ready(120)
    pids = engine.worker_pids().values()
    supervisor = engine._supervisor
    owner, _, name = step.rpartition(".")
    part = attrgetter(owner)(supervisor) if owner else supervisor
    method = getattr(part, name)

    def fails(*args: float) -> None:
        if supervisor.state.stopping:
            raise KeyError("odd")
        method(*args)

    monkeypatch.setattr(part, name, fails)
    engine.stop()
    with pytest.raises(WorkerError, match="please report this"):
        engine.wait(60)
    assert supervisor.state.finished.wait(60)
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
