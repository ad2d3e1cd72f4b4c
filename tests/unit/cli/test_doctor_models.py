"""``ferengine doctor``: the shipped models' logits by ONNX Runtime on the CPU and in torch."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.cli.checks import models as checks
from ferengine.cli.checks.models import check_models, check_torch, largest_difference
from ferengine.errors import ModelError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models import registry
from ferengine.models.self_test import self_test_crops
from ferengine.pip_hint import pip_install


def inputs(spec: Any) -> NDArray[np.float32]:
    crops: NDArray[np.float32] = self_test_crops(spec.size)[:, None].astype(np.float32)
    return (crops - spec.mean) / np.float32(spec.std)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of dscnn alone, with right logits in its manifest; gives the manifest."""
    for suffix in (".onnx", ".json"):
        shutil.copy(registry.SHIPPED / f"dscnn{suffix}", tmp_path)
    path = tmp_path / "dscnn.json"
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    change(path, self_test=OrtRunner((tmp_path / "dscnn.onnx").read_bytes()).run(inputs(manifest().input))["logits"].tolist())
    return path


def manifest() -> Any:
    [only] = registry.list_models()
    return only


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def shifted(path: Path, by: float) -> list[list[float]]:
    """The stored logits, one of them off."""
    logits = json.loads(path.read_text())["self_test"]
    logits[3][1] += by
    return logits  # type: ignore[no-any-return]


def test_right_logits_pass(shipped: Path) -> None:
    finding = check_models()
    assert finding.status == "ok"
    assert finding.reason.startswith("dscnn (logits within ")


@pytest.mark.parametrize("by", [0.2, -0.2])
def test_wrong_logits_are_found(shipped: Path, by: float) -> None:
    change(shipped, self_test=shifted(shipped, by))
    finding = check_models()
    assert finding.status == "fail"
    assert finding.reason.startswith("dscnn gives logits up to ")


def test_another_number_of_scores_and_none_at_all(shipped: Path) -> None:
    change(shipped, self_test=json.loads(shipped.read_text())["self_test"][:4])
    assert check_models().status == "fail"
    assert "shape (8, 7), its manifest holds (4, 7)" in check_models().reason
    change(shipped, self_test=None)
    finding = check_models()
    assert (finding.status, finding.reason) == ("warn", "no stored logits to compare with: dscnn; right: none")
    assert largest_difference(manifest(), lambda batch: batch.astype(np.float32)) is None


def test_a_damaged_model_is_found(shipped: Path) -> None:
    file = shipped.with_suffix(".onnx")
    file.write_bytes(file.read_bytes()[:-1])
    finding = check_models()
    assert finding.status == "fail"
    assert "SHA-256" in finding.reason


def test_the_difference_is_the_largest_one(shipped: Path) -> None:
    logits = np.array(manifest().self_test, np.float32)
    off = logits.copy()
    off[5, 2] += 0.75
    off[0, 0] -= 0.25
    seen: list[NDArray[np.uint8]] = []
    assert largest_difference(manifest(), lambda batch: seen.append(batch) or off) == pytest.approx(0.75)  # type: ignore[func-returns-value]
    assert (seen[0].dtype, seen[0].shape) == (np.uint8, (8, 48, 48))
    with pytest.raises(ModelError, match=r"dscnn gives scores of shape \(8, 2\)"):
        largest_difference(manifest(), lambda batch: off[:, :2])


def test_without_torch_there_is_no_line_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert check_torch() is None


def test_a_torch_that_cannot_be_imported_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = check_torch()
    assert finding is not None
    assert finding.status == "warn"
    assert finding.reason.startswith("torch cannot be used (")
    assert finding.hint == pip_install("--force-reinstall", "torch")


def test_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")
    right = check_torch()
    assert right is not None
    assert right.status == "ok"
    assert right.reason.startswith(f"torch {torch.__version__} ")
    load = torch.from_numpy
    monkeypatch.setattr(torch, "from_numpy", lambda array: load(array) * 1.1)
    wrong = check_torch()
    assert wrong is not None
    assert wrong.status == "warn"  # a run does without torch
    assert "multiplies matrices up to 0.21 off" in wrong.reason
