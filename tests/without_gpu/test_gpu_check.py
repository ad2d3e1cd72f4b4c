"""The parts of tools/gpu_check.sh that need no GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.gpu.engine import LoadedEngine
from ferengine.gpu.environment import this_machine
from ferengine_tools.gpu_check.cameras import replay
from ferengine_tools.gpu_check.measure import (
    FP16_AGREEMENT,
    Parity,
    compare,
    computing_microseconds,
    in_batches,
    microseconds,
    table,
)

ROOT = Path(__file__).parents[2]


def test_parity_is_measured_on_probabilities_and_labels() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, -3.0], [0.0, 0.1]], np.float32)
    moved = logits.copy()
    moved[3] = moved[3, ::-1]
    found = compare(moved, logits)
    assert found.agreement == 0.75
    assert found.difference == pytest.approx(1 / (1 + np.exp(-0.1)) - 1 / (1 + np.exp(0.1)), rel=1e-4)
    assert compare(logits + 1, logits).difference < 1e-6


@pytest.mark.parametrize(
    ("parity", "name", "passes"),
    [
        (Parity(9e-4, 1.0), "tensorrt fp32", True),
        (Parity(1.1e-3, 1.0), "tensorrt fp32", False),
        (Parity(1.1e-3, 1.0), "onnxruntime cuda", False),
        (Parity(float("nan"), 1.0), "tensorrt fp32", False),
        (Parity(0.02, FP16_AGREEMENT), "tensorrt fp16, no graphs", True),
        (Parity(0.02, FP16_AGREEMENT - 1e-4), "tensorrt fp16", False),
    ],
)
def test_what_counts_as_equal(parity: Parity, name: str, passes: bool) -> None:
    assert parity.passes(name) is passes


def test_times_are_of_whole_batches() -> None:
    sizes: list[int] = []

    def run(batch: Any) -> Any:
        sizes.append(len(batch))
        return batch[:, 0, 0]

    faces = np.zeros((10, 1, 4, 4), np.float32)
    assert microseconds(run, faces, 32, seconds=0.0) > 0
    assert set(sizes) == {32}
    sizes.clear()
    assert len(in_batches(run, faces, 4)) == 10
    assert sizes == [4, 4, 2]


def test_computing_alone_copies_nothing_and_gives_everything_back(device: Any, fake_trt: Any, profiles: Any) -> None:
    engine = LoadedEngine(fake_trt(device, profiles).loaded, b"plan")
    assert computing_microseconds(device, engine, 20, rounds=7) > 0
    assert device.calls.count("execute") == 5 + 7
    assert "upload" not in device.calls
    engine.close()
    device.close()


def test_tables_are_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_cameras_are_replayed_from_memory() -> None:
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8))
    load = replay(frames, 2, 0.5, backend="ort")
    assert load.cameras == 2
    assert load.fps > 0
    assert 0 < load.p50 <= load.p99
    assert load.cpu > 0
    assert load.backend in ("ort", "ort (int8)")


def test_wrong_usage_of_the_script_is_named() -> None:
    script = ROOT / "tools" / "gpu_check.sh"
    for arguments, said in (
        ([], "--data FER2013 is needed"),
        (["--odd"], "usage"),
        (["--data", "/no/where"], "does not exist"),
    ):
        done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert said in done.stderr


def test_without_a_gpu_nothing_is_claimed(tmp_path: Path) -> None:
    if this_machine().gpu is not None:
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-m", "ferengine_tools.gpu_check", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing can be checked: ")
    assert not (tmp_path / "out").exists()
