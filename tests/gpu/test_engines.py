"""Engines on the GPU against ONNX Runtime and the cascade in C++."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from command_help import command
from ferengine import Engine
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_device import MtcnnDeviceDetector
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.tensorrt.engine_file import list_engines, load_engine
from ferengine.inference.tensorrt.environment import this_machine
from ferengine.inference.tensorrt.open_device import device_layer, open_device
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.tensorrt import installed_runtimes, load_runtime, rtx_supports
from ferengine.models.registry import load_model
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine_tools.gpu_check.measure import compare

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]  # tensorrt measures kernels while it builds


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_runtimes():
        pytest.skip(f"{request.param} is not installed")
    if device_layer() is None:
        pytest.skip("neither pycuda nor cuda-bindings is installed")
    here = this_machine()
    if request.param == "tensorrt-rtx" and here.gpu is not None and not rtx_supports(here.gpu.capability):
        pytest.skip(f"tensorrt-rtx is not made for compute capability {here.gpu.capability}")
    return str(request.param)


def open_engines(runtime: Any, precision: str, folder: Path, model: str) -> dict[str, EngineRunner]:
    command("build-trt")(
        ["--model", model, "--runtime", runtime, "--precision", precision, "--batch", "1:32:256", "--out", str(folder)]
    )
    trt = load_runtime(runtime)
    return {f.record.model: EngineRunner(trt, open_device(), load_engine(f)) for f in list_engines(folder)}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_classifier_gives_the_same(runtime: str, precision: str, tmp_path: Path) -> None:
    runner = open_engines(runtime, precision, tmp_path, "dscnn")["dscnn"]
    crops = np.random.default_rng(0).integers(0, 256, (1000, 1, 48, 48), np.uint8)
    model = load_model("dscnn")
    reference = OrtRunner(model.onnx, normalisation=model.manifest.input.normalisation).run(crops)["logits"]
    for _ in range(4):  # the third and fourth times as graphs
        found = compare(runner.run(crops)["logits"], reference)
        assert found.agreement > 0.99
        assert found.passes(precision) or precision == "fp16"
    runner.close()


def test_mtcnn_finds_the_same_faces(runtime: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"min_face": 30.0, "thresholds": (0.6, 0.7, 0.7), "factor": 0.709}
    image: NDArray[np.uint8] = ASTRONAUT.load()
    frames = [image, image[:, ::-1].copy(), np.ascontiguousarray(image[:301, :407])]
    detector = MtcnnDeviceDetector(open_engines(runtime, "fp32", tmp_path, "mtcnn"), **settings)  # type: ignore[arg-type]
    for found, expected in zip(
        detector.detect_many(frames), [MtcnnDetector(**settings).detect(f) for f in frames], strict=True
    ):
        assert len(expected) >= 1
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    detector.close()


def test_the_engine_runs_on_the_gpu_and_builds_what_is_missing(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed_runtimes()[0] != runtime:
        pytest.skip("another runtime is preferred")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Engine("demo:crossing", backend="tensorrt", build_engines=True, max_frames=60) as engine:
        faces = sum(len(result.faces) for result in engine.results())
        assert engine.summary()["backend"] == "tensorrt"
    assert faces > 60
