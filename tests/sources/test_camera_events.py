"""What the engine reports about its cameras."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferengine import CameraEvent, Engine
from ferengine.errors import SourceError
from ferengine.sources import parse_source


def test_each_camera_has_its_own_life_and_faults(
    make_clip: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[CameraEvent] = []

    def note(event: CameraEvent) -> None:
        events.append(event)
        raise RuntimeError("the caller's own mistake")

    data = bytearray(make_clip(frames=60).read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = random.Random(0).randbytes(len(data) // 8)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data[:-100])
    with Engine([make_clip(name="good.mp4"), tmp_path / "gone.mp4", damaged], on_event=note) as engine:
        results = list(engine.results())
        summary = engine.summary()
    broken = summary["dropped"]["capture"]["broken"]
    assert broken > 0
    assert {name: camera["truncated"] for name, camera in summary["cameras"].items()} == {
        "good": False,
        "gone": False,
        "damaged": True,
    }
    frames = {name: [r.frame for r in results if r.camera == name] for name in engine.cameras}
    assert frames == {"good": list(range(40)), "gone": [], "damaged": list(range(60 - broken))}
    lives = {name: [(e.kind, e.reason) for e in events if e.camera == name] for name in engine.cameras}
    assert lives["good"] == lives["damaged"] == [("started", None), ("ended", None)]
    [(kind, reason)] = lives["gone"]
    assert kind == "ended"
    assert "gone.mp4" in str(reason)
    assert "the caller's own mistake" in caplog.text


def test_killed_worker_of_a_thinned_file_loses_nothing(make_clip: Callable[..., Path]) -> None:
    spec = parse_source(str(make_clip(name="long.mp4", frames=600)), fps=10)  # of 20
    with Engine(spec, queue=8) as engine:
        stamps = []
        for result in engine.results():
            stamps.append(result.timestamp)
            if result.frame == 150:
                os.kill(engine.worker_pids()["capture-long"], signal.SIGKILL)
        assert engine.summary()["workers"]["capture-long"]["restarts"] == 1
    assert stamps == pytest.approx([i / 10 for i in range(300)])


def test_a_killed_worker_is_a_loss_that_passes(make_clip: Callable[..., Path]) -> None:
    events: list[CameraEvent] = []
    with Engine(make_clip(name="clip.mp4", frames=200), on_event=events.append, queue=8) as engine:
        frames = []
        for result in engine.results():
            frames.append(result.frame)
            if result.frame == 20:
                os.kill(engine.worker_pids()["capture-clip"], signal.SIGKILL)
    assert frames == list(range(200))
    assert [event.kind for event in events] == ["started", "disconnected", "reconnected", "ended"]
    assert events[1].reason == "its worker died and is being replaced"
    assert events[2].seconds is not None
    assert [event.timestamp for event in events] == sorted(event.timestamp for event in events)


def test_no_error_and_no_event_holds_credentials(http: Any, caplog: pytest.LogCaptureFixture) -> None:
    http.credentials = "viewer:right"
    events: list[CameraEvent] = []
    with (
        pytest.raises(SourceError, match="401") as caught,
        Engine(http.url("/mjpeg?pwd=hunter2", "viewer:p%40ss@"), on_event=events.append) as engine,
    ):
        list(engine.results())
    reported = f"{caught.value!r} {events} {engine.summary()} {engine.failures} {caplog.text}"
    assert not any(secret in reported for secret in ("viewer", "hunter2", "p%40ss", "p@ss"))
    assert [event.kind for event in events] == ["ended"]


def test_a_file_over_http_waits_and_loses_nothing(http: Any, make_clip: Callable[..., Path]) -> None:
    http.files["/clip.mp4"] = make_clip(frames=200).read_bytes()
    with Engine(http.url("/clip.mp4"), queue=4) as engine:
        results = list(engine.results())
    assert [result.frame for result in results] == list(range(200))
    assert results[-1].timestamp == pytest.approx(199 / 20, abs=2e-3)
