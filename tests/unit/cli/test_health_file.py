"""``--health-file``: the state of a run, every second and whole."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ferengine import Engine
from ferengine.cli import health_file
from ferengine.cli.health_file import HealthFile


def test_it_follows_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_file, "_EVERY", 0.01)
    path = tmp_path / "health.json"
    engine = Engine("demo", max_frames=10)
    file = HealthFile(path, engine)
    seen: list[str] = []
    with engine:
        for _ in engine.results(queue=1):
            time.sleep(0.2)
            seen.append(json.loads(path.read_text())["state"])
    file.close()
    record = json.loads(path.read_text())
    assert seen[0] == "running"
    assert record["state"] == "ended"
    assert record["cameras"]["demo"]["frames"] == 10
    assert set(record) == {"time", "ok", "state", "workers", "cameras", "consumers", "failures"}
    assert abs(record["time"] - time.time()) < 60
    assert file.error is None
    assert [item.name for item in tmp_path.iterdir()] == ["health.json"]


def test_a_folder_that_vanishes_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health_file, "_EVERY", 0.01)
    engine = Engine("demo")
    file = HealthFile(tmp_path / "gone" / "health.json", engine)
    time.sleep(0.2)
    file.close()
    engine.close()
    assert file.error is not None
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1
