"""Tools without the packages of the extras: most work, the others name the extra to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ferengine.cli.app import COMMANDS, TOOLS
from ferengine.pip_hint import install_extra

BARE = """
import sys
from importlib.machinery import PathFinder

EXTRA = {"onnx", "torch", "safetensors", "matplotlib", "skimage", "tensorrt", "tensorrt_rtx", "cuda", "pycuda", "starlette",
         "uvicorn", "websockets", "prometheus_client", "plotly", "paho", "pyarrow"}

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in EXTRA else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
from ferengine.cli.app import main
main()
"""
"""ferengine where no extra is installed."""


def bare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "arguments",
    [("data", "report", "--data"), ("evaluate", "--json", "--data")],
    ids=lambda arguments: arguments[0],
)
def test_tools_that_need_no_extra(arguments: tuple[str, ...], bars: Path) -> None:
    done = bare(*arguments, bars)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_benchmark_needs_no_extra() -> None:
    done = bare("bench", "--only", "crop", "--seconds", "0.01")
    assert done.returncode == 0, done.stderr
    assert "ferengine" in done.stdout


@pytest.mark.parametrize("name", [*COMMANDS, *TOOLS, "data report", "data prepare"])
def test_every_command_has_help_without_any_extra(name: str) -> None:
    done = bare(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: ferengine {name}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("train", "--model", "fast", "--data", "fer2013.csv", "--out", "run"), "torch", "train"),
        (("teach", "--model", "fast", "--data", "fer2013.csv", "--out", "run"), "torch", "train"),
        (("train-all", "--data", "fer2013.csv", "--out", "run"), "onnx", "onnx"),
        (("explain", "face.png"), "torch", "train"),
        (("evaluate", "--model", "a.safetensors", "--data", "fer2013.csv"), "torch", "train"),
        (("export-onnx", "--checkpoint", "a.safetensors", "--out", "a.onnx"), "onnx", "onnx"),
        (("build-trt",), "TensorRT", "trt"),
        (("serve",), "starlette", "serve"),
        (("report", "events.jsonl", "--out", "report.html"), "plotly", "report"),
        (("run", "--source", "demo", "--no-display", "--mqtt", "mqtt://broker"), "paho", "mqtt"),
        (("compare",), "onnx", "onnx"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_tools_that_name_the_extra_to_install(
    arguments: tuple[str, ...], package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = bare(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert package in done.stderr
    assert install_extra(extra) in done.stderr


def test_a_figure_names_the_extra_to_install(bars: Path, tmp_path: Path) -> None:
    done = bare("evaluate", "--data", bars, "--confusion", tmp_path / "confusion.png")
    assert done.returncode == 1
    assert f"a figure needs matplotlib: {install_extra('train')}" in done.stderr
