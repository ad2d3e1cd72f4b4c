"""What importing costs, what a missing library says, and the analyzer, which brings all together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ferengine
from ferengine import Analyzer, Face, analyze
from ferengine.cli.app import COMMANDS, TOOLS
from ferengine.errors import UsageError
from ferengine.vision import explain_import_error

HEAVY = {"av", "cv2", "numpy", "onnxruntime", "pydantic", "rich", "scipy", "tensorrt", "torch", "typer"}
NEW_MODULES = "import sys; before = set(sys.modules); import ferengine; print(*sorted(set(sys.modules) - before))"


def test_the_import_is_cheap() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_MODULES], capture_output=True, text=True, check=True, timeout=300)
    loaded = done.stdout.split()
    assert "ferengine" in loaded
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert len(loaded) < 100


@pytest.mark.parametrize("module", ["ferengine.engine", "ferengine.cli.run", "ferengine.cli.session"])
def test_the_engines_own_process_loads_no_opencv_and_no_inference_library(module: str) -> None:
    code = f"import sys; import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert not {"av", "cuda", "cv2", "onnxruntime", "tensorrt", "torch"} & set(done.stdout.split())


@pytest.mark.parametrize("command", sorted(COMMANDS | TOOLS))
def test_the_help_of_a_command_loads_no_numpy(command: str) -> None:
    """It takes a quarter of the time, and what the help shows holds no arrays."""
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "import ferengine.__main__ as program; program.main()"
    )
    arguments = [sys.executable, "-c", code, command, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    assert "Usage: ferengine " + command in done.stdout
    assert "typer" in done.stderr.split()
    assert not (HEAVY - {"pydantic", "rich", "typer"}) & set(done.stderr.split())


def test_naming_a_source_loads_no_decoder() -> None:
    code = "import sys; from ferengine.sources import parse_source; parse_source('demo:crossing'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert not {"av", "cv2", "ferengine.sources.demo"} & set(done.stdout.split())


@pytest.mark.parametrize("stage", ["detect", "track"])
def test_a_worker_that_is_replaced_loads_no_checker_of_settings(stage: str) -> None:
    """It takes half of what starting one costs, and camera and faces wait meanwhile."""
    code = f"import sys; import ferengine.stages.{stage}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert not {"pydantic", "typer", "rich"} & set(done.stdout.split())


def test_the_detect_worker_has_no_inference_library_in_memory() -> None:
    """Its networks run in C++, or on a GPU that it opens only when asked."""
    code = "import sys; import ferengine.stages.detect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not {"cuda", "onnx", "onnxruntime", "pycuda", "tensorrt", "tensorrt_rtx", "torch"} & loaded


def test_each_public_name_can_be_had() -> None:
    for name in ferengine.__all__:
        assert getattr(ferengine, name) is not None
        assert name in dir(ferengine)
    with pytest.raises(AttributeError, match="'Analyser'"):
        ferengine.Analyser  # noqa: B018


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("libGL.so.1", "libgl1 libglib2.0-0"),
        ("libgthread-2.0.so.0", "libglib2.0-0 libgl1"),
        ("libSM.so.6", "libsm6 libgl1 libglib2.0-0"),
    ],
)
def test_a_missing_library_names_its_package(library: str, packages: str) -> None:
    error = ImportError(f"{library}: cannot open shared object file: No such file or directory")
    message = explain_import_error(error)
    assert library in message
    assert message.endswith(f"apt-get install {packages})")


def test_other_import_error_names_the_reinstall_command() -> None:
    message = explain_import_error(ImportError("numpy.core.multiarray failed to import"))
    assert "(numpy.core.multiarray failed to import): reinstall it" in message
    assert "install 'opencv-contrib-python<5'" in message


def test_opencv_that_is_not_installed_is_called_that() -> None:
    message = explain_import_error(ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    assert message.startswith("OpenCV is not installed: ")
    assert message.endswith("install 'opencv-contrib-python<5'")


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Analyzer]:
    with Analyzer() as made:
        yield made


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """BGR uint8 (512, 512, 3)."""
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def test_one_face_with_an_expression(analyzer: Analyzer, portrait: NDArray[np.uint8]) -> None:
    [face] = analyzer.analyze(portrait)
    assert isinstance(face, Face)
    x, y, w, h = face.box
    assert x < 225 < x + w
    assert y < 120 < y + h
    assert face.track is None
    assert face.expression is not None
    assert set(face.expression.scores) == set(analyzer.labels)
    assert sum(face.expression.scores.values()) == pytest.approx(1, abs=1e-5)
    assert face.expression.label == max(face.expression.scores, key=face.expression.scores.__getitem__) == "happy"


def test_a_view_gives_the_same_as_its_copy(analyzer: Analyzer, portrait: NDArray[np.uint8]) -> None:
    expected = analyzer.analyze(portrait)
    padded = np.zeros((512, 600, 3), np.uint8)
    padded[:, 40:552] = portrait
    rgb = np.ascontiguousarray(portrait[..., ::-1])
    upside_down = np.ascontiguousarray(portrait[::-1])
    for view in (padded[:, 40:552], rgb[..., ::-1], upside_down[::-1]):
        assert not view.flags.c_contiguous
        assert analyzer.analyze(view) == expected


def test_grey_and_bgra_are_read(analyzer: Analyzer, portrait: NDArray[np.uint8]) -> None:
    grey = portrait.mean(axis=2).astype(np.uint8)
    [expected] = analyzer.analyze(np.repeat(grey[:, :, np.newaxis], 3, axis=2))
    assert analyzer.analyze(grey) == analyzer.analyze(grey[:, :, np.newaxis]) == [expected]
    alpha = np.full((512, 512, 1), 7, np.uint8)
    assert analyzer.analyze(np.concatenate([portrait, alpha], axis=2)) == analyzer.analyze(portrait)


def test_an_unsure_answer_is_uncertain(portrait: NDArray[np.uint8]) -> None:
    [face] = analyze(portrait, min_confidence=0.999999)
    assert face.expression is not None
    assert face.expression.label == face.expression.smoothed.label == "uncertain"
    assert max(face.expression.scores, key=face.expression.scores.__getitem__) == "happy"


def test_haar_and_the_function_of_one_image(portrait: NDArray[np.uint8]) -> None:
    faces = analyze(portrait, detector="haar", min_face=60.0)
    assert any(x < 225 < x + w and y < 120 < y + h for x, y, w, h in (face.box for face in faces))


@pytest.mark.parametrize("shape", [(1, 1, 3), (13, 40, 3), (64, 64, 3)])
def test_no_face_gives_an_empty_list(analyzer: Analyzer, shape: tuple[int, ...]) -> None:
    assert analyzer.analyze(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((64, 64, 2), np.uint8), r"\(64, 64, 2\)"),
        ([[0, 0, 0]], "list"),
        (None, "NoneType"),
        (np.zeros((0, 64, 3), np.uint8), "empty"),
    ],
)
def test_other_images_are_refused(analyzer: Analyzer, image: Any, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        analyzer.analyze(image)
