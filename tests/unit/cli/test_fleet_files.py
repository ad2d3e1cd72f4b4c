"""``ferengine fleet --files`` as far as it goes without a cluster: what it refuses, and a run with nothing left to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine.fleet.files import plan_files


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is nothing to read: pass --config with cameras, or --files"),
        (["--files", "x.mp4"], "--files needs --out: the folder of the results"),
        (["--files", "x.mp4", "--out", "out", "--cpus-per-file", "0"], "--cpus-per-file is above 0, not 0"),
        (["--files", "missing-*.mp4", "--out", "out"], "--files: there is no file missing-*.mp4"),
        (["--config", "fleet.toml", "--out", "out"], "--out is for --files: the outputs of cameras are in --config"),
        (["--config", "fleet.toml", "--overwrite"], "--overwrite is for --files: the outputs of cameras are in --config"),
    ],
)
def test_fleet_refuses_what_makes_no_run(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["fleet", *words])
    assert str(result.exception) == message


def test_fleet_says_that_all_files_have_results(tmp_path: Path) -> None:
    video, out = tmp_path / "talk.mp4", tmp_path / "out"
    video.write_bytes(b"video")
    settings = tmp_path / "fleet.toml"
    settings.write_text("min-face = 50\n[[camera]]\ndemo = 'stroll'\n")
    [job] = plan_files([str(video)], out, min_face=50.0).jobs
    out.mkdir()
    Path(job.output).write_text("{}\n")
    record = {"size": job.size, "modified": job.modified, "settings": json.loads(job.settings)}
    Path(job.record).write_text(json.dumps(record))
    words = ["fleet", "--config", str(settings), "--files", str(video), "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert "1 files, 1 of them with complete results" in result.stderr
    assert "0 files read in 0:00:00: 0 frames, 0 faces; 0 failed, 0 cut off" in result.stderr
