"""The measurements of ``ferengine bench`` on short runs: what they give, not how fast it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.errors import SourceError, UsageError
from ferengine.inference.precision import int8_is_faster
from ferengine.sources import parse_source
from ferengine_tools.bench import classifier, crop, others
from ferengine_tools.bench.machine import machine, versions
from ferengine_tools.bench.processor_time import processor_seconds
from ferengine_tools.bench.record import OWN, Metric, read_record
from ferengine_tools.bench.timing import timing

main = command("bench")


def ways(metrics: list[Metric]) -> dict[str, set[str]]:
    assert all(metric.value > 0 and metric.spread >= 0 for metric in metrics)
    found: dict[str, set[str]] = {}
    for metric in metrics:
        found.setdefault(metric.case, set()).add(metric.way)
    return found


class Clock:
    """Processor time that only ``work`` spends."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        return self.now

    perf_counter = process_time

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("ferengine_tools.bench.timing.time", made)
    return made


def test_timing_counts_units_and_leaves_the_setup_out(clock: Clock) -> None:
    taken = timing(lambda: clock.work(0.01), units=5, setup=lambda: clock.work(9.0), seconds=0, least=3)
    assert taken.seconds == pytest.approx(0.002)
    assert taken.spread == pytest.approx(0, abs=1e-6)


def test_short_work_is_repeated_within_a_sample(clock: Clock) -> None:
    assert timing(lambda: clock.work(1e-6), seconds=0.1).seconds == pytest.approx(1e-6)
    assert clock.now > 7 * 2e-3


def test_the_median_and_the_spread(clock: Clock) -> None:
    costs = iter([9.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    taken = timing(lambda: clock.work(next(costs)), setup=lambda: None, seconds=0, least=5)
    assert taken.seconds == pytest.approx(3)
    assert taken.spread == pytest.approx(1 / 3)


def test_crop_and_classifier() -> None:
    assert ways(list(crop.metrics(0.01))) == {"144 px face": {OWN, "cv2, area", "cv2, bilinear"}}
    found = ways(list(classifier.metrics(0.01)))
    plain = {"float32"} if int8_is_faster() else set()  # else it is what runs anyway
    assert found == {
        "batch 1": {OWN, *plain},
        "batch 8": {OWN, "one by one", *plain},
        "batch 32": {OWN, "one by one", *plain},
    }


def test_hand_over_to_another_process(tmp_path: Path) -> None:
    """In a process of its own: the helper process of multiprocessing stays as long as its parent."""
    path = tmp_path / "record.json"
    command = [sys.executable, "-m", "ferengine", "bench", "--only", "hand-over", "--seconds", "0.05"]
    subprocess.run([*command, "--json", str(path)], check=True, capture_output=True, timeout=300)
    found = ways(list(read_record(path).metrics))
    assert found == {case: {OWN, "multiprocessing.Queue"} for case in ("one face", "1280x720 frame")}


def test_machine_and_versions_are_recorded() -> None:
    about = machine()
    assert about["processor"]
    assert about["cores"] >= 1
    assert {"python", "numpy", "onnxruntime"} <= set(versions())


def test_processor_time_of_a_process_that_is_gone() -> None:
    assert processor_seconds(2**22 + 1) is None


def test_missing_libraries_are_listed_as_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "find_spec", lambda name: None)
    monkeypatch.setattr(others, "plain_loop", lambda: lambda frame: None)
    absent: dict[str, str] = {}
    [loop] = others.metrics(parse_source("demo:stroll"), 0.05, absent)
    assert loop.way == others.LOOP
    assert absent == {
        "fer, Haar": "fer is not installed",
        "fer, MTCNN": "facenet_pytorch is not installed",
        "facenet-pytorch (detection alone)": "facenet_pytorch is not installed",
        "mtcnn (detection alone)": "mtcnn is not installed",
    }


def test_another_library_is_measured_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    module: Any = ModuleType("mtcnn")
    module.MTCNN = lambda: SimpleNamespace(detect_faces=seen.append)
    broken: Any = ModuleType("facenet_pytorch")
    monkeypatch.setitem(sys.modules, "mtcnn", module)
    monkeypatch.setitem(sys.modules, "facenet_pytorch", broken)
    monkeypatch.setattr(others, "find_spec", lambda name: None if name == "fer" else object())
    monkeypatch.setattr(others, "plain_loop", lambda: lambda frame: None)
    absent: dict[str, str] = {}
    found = list(others.metrics(parse_source("demo:stroll"), 0.05, absent))
    assert [metric.way for metric in found] == [others.LOOP, "mtcnn (detection alone)"]
    assert seen[0].shape == (480, 640, 3)
    assert seen[0].flags.c_contiguous
    assert "MTCNN" in absent["facenet-pytorch (detection alone)"]


def test_the_loop_that_everyone_writes_reads_the_face() -> None:
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    labels = others.plain_loop()(np.ascontiguousarray(data.astronaut()[..., ::-1]))
    assert labels == ["happy"]


@pytest.mark.parametrize(
    ("arguments", "kind", "named"),
    [
        (["--source", "missing.mp4"], SourceError, "missing.mp4"),
        (["--source", "image.png"], UsageError, "image.png is not a video file"),
        (["--compare", "missing.json"], UsageError, "missing.json cannot be read"),
        (["--json", "nowhere/a.json"], UsageError, "there is no folder"),
        (["--seconds", "0"], UsageError, "--seconds"),
        (["--frames", "0"], UsageError, "--frames"),
    ],
)
def test_bad_input_is_found_out_before_anything_is_measured(
    arguments: list[str], kind: type[Exception], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=named):
        main(["--only", "crop", *arguments])


def test_the_command_writes_a_record_and_compares_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    earlier = tmp_path / "earlier.json"
    main(["--only", "crop", "--seconds", "0.01", "--json", str(earlier)])
    data = json.loads(earlier.read_text())
    assert [metric["way"] for metric in data["metrics"]] == [OWN, "cv2, area", "cv2, bilinear"]
    data["machine"]["processor"] = "another one"
    data["metrics"][0]["value"] *= 1000
    earlier.write_text(json.dumps(data))
    capsys.readouterr()
    main(["--only", "crop", "--seconds", "0.01", "--compare", str(earlier)])
    shown = capsys.readouterr()
    assert "compared with the earlier record" in shown.out
    assert "not comparable: processor: another one then" in " ".join(shown.err.split())
