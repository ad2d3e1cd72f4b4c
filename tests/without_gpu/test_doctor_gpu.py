"""``ferengine doctor``: the shipped models' logits by a GPU's backend, on devices that are not there."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferengine.cli.checks.base import Finding
from ferengine.cli.checks.models import check_gpu
from ferengine.errors import ModelError
from ferengine.inference import onnxruntime as providers
from ferengine.inference import select as choose
from ferengine.inference.tensorrt import load as opening
from ferengine.inference.tensorrt.environment import Environment, Gpu
from ferengine.inference.tensorrt.networks import Network
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models import registry
from ferengine.models.self_test import self_test_crops

SIDE_48 = [((1, 1, 48, 48), (8, 1, 48, 48), (32, 1, 48, 48))]
WITH_GPU = Environment("linux-x86_64", "580.1", "13.0", Gpu("RTX 4090", "8.9", 1 << 34), None)


def takes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(choose, "choose_backend", lambda requested: (name, f"{requested} on this machine"))


def found() -> Finding:
    finding = check_gpu()
    assert finding is not None
    return finding


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with dscnn, fast and its int8 variant in place of those that ship."""
    for name in ("dscnn", "fast", "fast-int8"):
        for suffix in (".onnx", ".json"):
            shutil.copy(registry.SHIPPED / f"{name}{suffix}", tmp_path)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    return tmp_path


@pytest.fixture
def fake_gpu(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, make_device: Any, fake_trt: Any, expected: Any
) -> Callable[..., list[str]]:
    """Engines of the fake TensorRT, and manifests that hold what it computes, one logit ``off``; gives the names opened."""

    def pretend(*, off: float = 0.0, lost: bool = False) -> list[str]:
        opened: list[str] = []

        def open_engine(network: Network, precision: str, max_batch: int, folder: Any, *, build: bool) -> EngineRunner:
            assert (precision, max_batch, folder, build) == ("fp16", 32, None, False)  # as a run asks for it
            opened.append(network.name)
            device = make_device()
            runner = EngineRunner(fake_trt(device, SIDE_48).loaded, device, b"plan")
            device.lost = lost
            return runner

        takes(monkeypatch, "tensorrt")
        monkeypatch.setattr("ferengine.inference.tensorrt.load.open_engine", open_engine)
        for path in shipped.glob("*.json"):
            manifest = json.loads(path.read_text())
            spec = manifest["input"]
            crops = self_test_crops(spec["size"])[:, None].astype(np.float32)
            logits = expected((crops - spec["mean"]) / np.float32(spec["std"]))
            logits[2, 4] += off
            path.write_text(json.dumps({**manifest, "self_test": logits.tolist()}))
        return opened

    return pretend


def test_no_finding_where_a_run_takes_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    takes(monkeypatch, "ort")
    assert check_gpu() is None


def test_the_engines_that_are_there_are_run(fake_gpu: Callable[..., list[str]]) -> None:
    opened = fake_gpu()
    finding = found()
    assert finding.status == "ok", finding
    assert finding.reason.startswith("tensorrt: dscnn (logits within ")
    assert ", fast (logits within " in finding.reason
    assert opened == ["dscnn", "fast"]  # int8 variants run only where they are requested


def test_half_precision_passes_and_wrong_logits_are_a_failure(fake_gpu: Callable[..., list[str]]) -> None:
    fake_gpu(off=0.05)
    assert found().status == "ok"
    fake_gpu(off=0.2)
    finding = found()
    assert finding.status == "fail"
    assert finding.reason.startswith("tensorrt: dscnn gives logits up to 0.2 off those of its manifest; fast ")
    assert "--backend ort" in finding.hint


def test_a_gpu_that_fails_is_a_warning_and_its_device_is_closed(fake_gpu: Callable[..., list[str]]) -> None:
    fake_gpu(lost=True)
    finding = found()
    assert finding.status == "warn"
    assert finding.reason.startswith("tensorrt: dscnn, fast would run on the CPU (")
    assert "the GPU was lost" in finding.reason
    assert finding.reason.endswith("right: none")


def test_without_engines_the_hint_is_that_of_a_run(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    takes(monkeypatch, "tensorrt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ferengine.inference.tensorrt.load.this_machine", lambda: WITH_GPU)
    monkeypatch.setattr(
        "ferengine.inference.tensorrt.load.load_runtime", lambda: SimpleNamespace(name="tensorrt-rtx", version="1")
    )
    with caplog.at_level(logging.WARNING):
        finding = found()
    assert finding.status == "warn"
    assert "dscnn, fast would run on the CPU (there is no TensorRT engine of dscnn in " in finding.reason
    assert "ferengine build-trt --model dscnn" in finding.reason
    assert "ferengine build-trt" in finding.hint
    assert caplog.records == []  # said once, by the check


def test_an_engine_of_one_model_is_run_although_the_other_has_none(
    fake_gpu: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gpu()
    open_engine = opening.open_engine

    def of_fast_alone(network: Network, *arguments: Any, **options: Any) -> EngineRunner:
        if network.name != "fast":
            raise ModelError(f"there is no engine of {network.name}")
        return open_engine(network, *arguments, **options)

    monkeypatch.setattr(opening, "open_engine", of_fast_alone)
    finding = found()
    assert finding.status == "warn"
    assert "dscnn would run on the CPU (there is no engine of dscnn); right: fast (logits within " in finding.reason


def test_onnx_runtime_on_the_gpu(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes(monkeypatch, "ort-cuda")
    if not providers.available_providers()["ort-cuda"]:
        assert found().status == "warn"  # a run would go on on the CPU, for auto took it
        assert " install 'onnxruntime-gpu" in found().reason
    monkeypatch.setitem(providers._PROVIDERS, "ort-cuda", "CPUExecutionProvider")
    finding = found()
    assert finding.status == "ok"
    assert finding.reason.startswith("ort-cuda: dscnn (logits within ")
