"""The tool that measures many cameras, on a small run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="the extra `demo` is not installed")

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


def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert proportional_mb(os.getpid()) > 5
    assert proportional_mb(2**22 + 1) == 0.0
