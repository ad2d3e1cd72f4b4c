"""``ferengine bench --only engine``: a short run of all that it measures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="the extra `demo` is not installed")

from ferengine_tools.bench import clips, engine_runs, others
from ferengine_tools.bench.command import Stage, measure
from ferengine_tools.bench.record import OWN


def test_the_whole_engine_on_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "DEMO_FRAMES", 40)
    monkeypatch.setattr(engine_runs, "_MIN_FRAMES", 60)
    monkeypatch.setattr(others, "find_spec", lambda name: None)
    record = measure([Stage.ENGINE], seconds=0.1, live_seconds=1.5)
    metrics = {metric.key[1:]: metric for metric in record.metrics}
    for way in (OWN, "ferengine, near search", "decoding alone", others.LOOP):
        assert metrics["file", way].value > 0
        assert metrics["file", way].unit == "frames/s"
    for way in (OWN, "ferengine, near search"):
        assert 1 <= metrics["file, faces", way].value <= 2
    latencies = [metrics[f"camera 640x480, {name}", OWN].value for name in ("p50", "p95", "p99")]
    assert latencies == sorted(latencies)
    assert latencies[0] > 0
    assert metrics["camera 640x480, dropped", OWN].unit == "frames"
    workers = {case.removeprefix("camera 640x480, ") for case, _ in metrics if case.startswith("camera 640x480, ")}
    assert {"engine", "capture", "detect-0", "track-0", "classify", "all processes"} <= workers
    assert len(record.absent) == 4
    assert record.source == "demo"


def test_a_camera_gets_its_size_and_goes_on_from_the_begin(tmp_path: Path) -> None:
    spec = clips.live_clip(clips.render_demo(tmp_path / "demo.mp4"), tmp_path / "live.mp4", 11.0)
    assert spec.pace == "native"
    from ferengine.sources import open_source, parse_source

    source = open_source(parse_source(Path(spec.value)))
    info = source.open()
    assert (info.width, info.height, info.fps, info.seconds) == (640, 480, 30.0, pytest.approx(11.0, abs=0.01))
    source.close()
