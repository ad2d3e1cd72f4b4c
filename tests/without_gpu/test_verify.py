"""An engine that loads, runs and gives something else than its network is found out when it is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.tensorrt import load as opening
from ferengine.inference.tensorrt.networks import Network, classifier_network
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.verify import check_outputs
from ferengine.models.registry import load_model
from ferengine.models.settings import Precision

OPEN_SIDES = [((1, 3, 12, 12), (8, 3, 30, 30), (16, 3, 60, 40)), ((1, 3, 12, 12), (1, 3, 50, 50), (1, 3, 90, 90))]


def reference(expected: Callable[[NDArray[np.float32]], NDArray[np.float32]], factor: float = 1.0) -> Any:
    return SimpleNamespace(input_dtype=np.dtype(np.float32), run=lambda rows: {"logits": expected(rows) * np.float32(factor)})


@pytest.mark.parametrize("shapes", [OPEN_SIDES, OPEN_SIDES[:1], [((2, 1, 48, 48), (2, 1, 48, 48), (2, 1, 48, 48))]])
def test_right_answers_pass(device: Any, fake_trt: Any, expected: Any, shapes: Any) -> None:
    runner = EngineRunner(fake_trt(device, shapes).loaded, device, b"plan")
    check_outputs(runner, reference(expected), "fp32", 32)
    runner.close()


@pytest.mark.parametrize(("precision", "factor"), [("fp32", 1.02), ("fp16", 1.2), ("int8", 3.0), ("fp32", float("nan"))])
def test_other_answers_are_refused(
    device: Any, fake_trt: Any, profiles: Any, expected: Any, precision: Precision, factor: float
) -> None:
    runner = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
    with pytest.raises(ModelError, match="the engine's logits differ from ONNX Runtime's by"):
        check_outputs(runner, reference(expected, factor), precision, 32)
    runner.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_zeros_are_refused(device: Any, fake_trt: Any, profiles: Any, expected: Any, precision: Precision) -> None:
    fake = fake_trt(device, profiles)
    fake.silent = True
    runner = EngineRunner(fake.loaded, device, b"plan")
    with pytest.raises(ModelError, match="by 1 of their largest"):
        check_outputs(runner, reference(expected), precision, 32)
    runner.close()


def test_every_profile_is_compared(device: Any, fake_trt: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = EngineRunner(fake_trt(device, OPEN_SIDES).loaded, device, b"plan")
    run, seen = runner.run, []

    def noting(rows: NDArray[np.float32]) -> Any:
        seen.append(rows.shape)
        return run(rows)

    monkeypatch.setattr(runner, "run", noting)
    check_outputs(runner, reference(expected), "fp32", 32)
    assert [shape[2] for shape in seen] == [60, 90]  # which the smaller profile does not take
    runner.close()


def test_what_is_wrong_in_one_size_alone_is_found(
    device: Any, fake_trt: Any, profiles: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = EngineRunner(fake_trt(device, profiles).loaded, device, b"plan")
    run = runner.run

    def wrong(rows: NDArray[np.float32]) -> Any:
        return {name: values * np.float32(2 if len(rows) == 16 else 1) for name, values in run(rows).items()}

    monkeypatch.setattr(runner, "run", wrong)
    with pytest.raises(ModelError, match=r"shape \(16, 1, 4, 4\)"):
        check_outputs(runner, reference(expected), "fp32", 32)
    runner.close()


@pytest.fixture
def opened(device: Any, fake_trt: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """``open_engine`` with the fake runtime, as if the cache held an engine of every network."""
    fake = fake_trt(device, [((1, 1, 48, 48), (8, 1, 48, 48), (32, 1, 48, 48))], name="tensorrt-rtx")
    file = SimpleNamespace(path=tmp_path / "any.engine")
    monkeypatch.setattr(opening, "load_runtime", lambda: fake.loaded)
    monkeypatch.setattr(opening, "engines_folder", lambda: tmp_path)
    monkeypatch.setattr(opening, "find_engine", lambda *arguments: SimpleNamespace(file=file))
    monkeypatch.setattr(opening, "read_engine", lambda search: b"plan")
    monkeypatch.setattr(opening, "open_device", lambda: device)
    return fake


def test_an_opened_engine_is_compared_with_its_network_and_closed_if_it_differs(opened: Any, device: Any) -> None:
    opened.dtypes = ("uint8", "float")
    with pytest.raises(ModelError, match="does not run correctly on this GPU"):
        opening.open_engine(classifier_network(load_model("dscnn")), "fp16", 32)
    assert device.closed


def test_compiled_kernels_are_kept_at_the_start(
    opened: Any, device: Any, expected: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker may be killed at any time afterwards."""
    monkeypatch.setattr(opening, "OrtRunner", lambda onnx, **options: reference(expected))
    runner = opening.open_engine(Network("any", b"network", "any"), "fp16", 32)
    assert (tmp_path / "any.kernels").read_bytes()[64:] == b"k"
    runner.close()
