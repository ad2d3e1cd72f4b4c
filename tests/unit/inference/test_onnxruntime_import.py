"""What is said where ONNX Runtime is missing, or what is left of it is not whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_a_runtime_that_is_not_installed_is_named() -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = None; from ferengine.inference.onnxruntime import explain_import_error\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "MissingDependencyError: ONNX Runtime is not installed: " in done.stderr


@pytest.mark.parametrize("command", [("image", "portrait.png"), ("run", "demo", "--no-display", "--max-frames", "2")])
def test_what_is_left_of_a_removed_runtime_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    """Of two distributions that share a folder, removing one leaves files of the other: an empty module, for Python."""
    from ferengine.vision import cv2

    cv2.imwrite(str(tmp_path / "portrait.png"), cv2.UMat(64, 64, cv2.CV_8UC3).get())
    (tmp_path / "first" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "first" / "onnxruntime" / "__init__.py").touch()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "first"), *sys.path])}
    arguments = [sys.executable, "-m", "ferengine", *command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "error: ONNX Runtime is not complete (module 'onnxruntime' has no attribute '__version__'): install it again" in last
    assert last.endswith("onnxruntime")
