"""``ferengine soak``: a few seconds of it, with and without something that grows."""

from __future__ import annotations

import csv
import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("matplotlib", reason="the extra `demo` is not installed")

from command_help import command
from ferengine.errors import UsageError
from ferengine.results import FrameResult
from ferengine_tools.soak import run
from ferengine_tools.soak.run import ResultCounter, SoakReport, SoakSettings, run_soak

SETTINGS = SoakSettings(seconds=4, warm_up=1.5, cameras=2, growth=25)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> None:
    """What earlier tests have left to the collector would go in the middle of a run, and count as a change."""
    gc.collect()


OURS = ("threads of engine", "threads of all processes")
"""What says nothing where the engine is this process: threads of earlier tests may end at any time."""


def soak(settings: SoakSettings, folder: Path) -> SoakReport:
    """A run, and a longer one where the machine is too busy to take enough samples of the short one."""
    try:
        return run_soak(settings, folder)
    except UsageError:
        return run_soak(replace(settings, seconds=5 * settings.seconds), folder)


def failed(report: SoakReport) -> list[str]:
    return [check.subject for check in report.checks if not check.passed and check.subject not in OURS]


def test_a_clean_run_passes(tmp_path: Path) -> None:
    # the longer one where the machine is too busy to take enough samples of the short one
    for minutes, warm_up in ((0.08, 0.03), (0.6, 0.3)):
        options = ["--minutes", minutes, "--warm-up", warm_up, "--growth", 25, "--out", tmp_path / "new"]
        command_line = [sys.executable, "-m", "ferengine", "soak", *map(str, options)]
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=300, check=False)
        if "too short" not in done.stderr:
            break
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "nothing grew and nothing was lost" in done.stdout
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"processes.csv", "frames.csv", "soak.json", "soak.png"}
    verdict = json.loads((tmp_path / "new" / "soak.json").read_text())
    assert verdict["passed"]
    assert verdict["frames"] > 10
    assert verdict["failures"] == []
    with (tmp_path / "new" / "processes.csv").open(newline="") as file:
        names = {row["process"] for row in csv.DictReader(file)}
    assert names == {"engine", "capture-demo-0", "detect-0", "track-0", "classify"}


def test_growing_memory_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaking(ResultCounter):
        def add(self, result: FrameResult) -> None:
            super().add(result)
            if time.monotonic() > started + 0.1 * len(kept):
                kept.append(b"x" * (8 << 20))

    kept: list[bytes] = []
    started = time.monotonic()
    monkeypatch.setattr(run, "ResultCounter", Leaking)
    report = soak(replace(SETTINGS, growth=2), tmp_path)  # the tests before may have left this process large
    assert failed(report)[:1] == ["memory of engine, MiB"]


def test_leaked_descriptors_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Leaking(ResultCounter):
        def add(self, result: FrameResult) -> None:
            super().add(result)
            opened.append(os.open("/dev/null", os.O_RDONLY))

    opened: list[int] = []
    monkeypatch.setattr(run, "ResultCounter", Leaking)
    with pytest.raises(SystemExit) as caught:
        command("soak")(["--minutes", "0.06", "--growth", "25"])
    for descriptor in opened:
        os.close(descriptor)
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "descriptors of engine" in out
    assert "the run failed" in out


def test_a_lost_result_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Losing(ResultCounter):
        def add(self, result: FrameResult) -> None:
            if result.frame != 7:
                super().add(result)

    monkeypatch.setattr(run, "ResultCounter", Losing)
    assert failed(soak(SETTINGS, tmp_path)) == ["results not counted"]


@pytest.mark.parametrize(
    "options",
    [("--minutes", "0"), ("--cameras", "65"), ("--size", "big"), ("--size", "32x32"), ("--minutes", "1", "--warm-up", "1")],
)
def test_wrong_options_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"--minutes|--cameras|--size|--warm-up"):
        command("soak")(options)
