"""The tool that measures many cameras, on a small run."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skimage", reason="the extra `demo` is not installed")

from ferengine import Engine
from ferengine.errors import WorkerError
from ferengine_tools import many_cameras
from ferengine_tools.many_cameras import main, proportional_mb


def test_two_replayed_cameras_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    from ferengine.sources.demo import DemoSource

    source = DemoSource(frames=20)
    source.open()
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 480))
    while (captured := source.read()) is not None:
        writer.write(captured.image)
    writer.release()
    assert main([str(path), "--cameras", "2", "--frames", "12", "--json"]) == 0
    fast, live = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (fast["pace"], fast["cameras"], fast["delivered"], fast["offered"]) == ("fast", 2, 24, 24)
    assert fast["faces"] >= 12
    assert fast["fps"] > 0
    assert live["pace"] == "live"
    assert 0 < live["delivered"] <= live["offered"]
    for run in (fast, live):
        assert run["pss_mb"] > 50
        assert 0 <= run["mixed"] <= 1


def test_wrong_usage_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clip.avi", "--cameras", "0"]) == 2
    assert "error: no source given" in capsys.readouterr().err


def test_an_error_in_mid_run_ends_the_sampling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Breaking(Engine):
        def wait_ready(self, timeout: float | None = None) -> bool:
            return True

        def results(self, **_: Any) -> Any:
            raise WorkerError("the disk is on fire")

    monkeypatch.setattr(many_cameras, "Engine", Breaking)
    assert main(["demo", "--cameras", "1"]) == 1
    assert "error: the disk is on fire" in capsys.readouterr().err
    assert not [thread for thread in threading.enumerate() if thread.name == "ferengine-sampler"]


def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert proportional_mb(os.getpid()) > 5
    assert proportional_mb(2**22 + 1) == 0.0
