"""``ferengine evaluate`` on checkpoints: what torch reads is what the exported model reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import command
from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.evaluation import speed
from ferengine_tools.evaluation.checkpoint import open_checkpoint
from ferengine_tools.exporting.export import export
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint

evaluate = command("evaluate")


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    evaluate([str(each) for each in (*arguments, "--json")])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_a_checkpoint_is_read_as_its_export(
    whole: Path, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "speeds", lambda classifier: {"1": 1.0})
    exported = tmp_path / "exported.onnx"
    export(whole, exported)  # at a temperature of 1
    one, other = (run(capsys, "--model", model, "--data", bars, "--split", "private") for model in (whole, exported))
    assert one["models"] == ["whole/checkpoint.safetensors"]
    assert one["confusion"] == other["confusion"]
    assert one["nll"] == pytest.approx(other["nll"], abs=1e-4)
    assert one["calibrated"]["temperature"] == 1
    assert (one["microseconds"], other["microseconds"]) == (None, {"1": 1.0})

    both = run(capsys, "--model", whole, "--model", exported, "--data", bars, "--split", "private")
    assert both["models"] == ["whole/checkpoint.safetensors", "exported"]
    assert both["nll"] == pytest.approx(one["nll"], abs=1e-4)
    assert both["microseconds"] is None

    evaluate(["--model", str(whole), "--data", str(bars)])
    assert "no time: a checkpoint is run by torch" in " ".join(capsys.readouterr().out.split())


def test_a_dim_face_is_read_as_by_the_export(whole: Path, tmp_path: Path) -> None:
    """The engine stretches crops of little contrast before a network sees them."""
    export(whole, tmp_path / "exported.onnx")
    crops = np.random.default_rng(0).integers(20, 40, (5, 48, 48), np.uint8)
    classifier = Classifier(tmp_path / "exported.onnx", backend=FILE_ON_CPU)
    np.testing.assert_allclose(open_checkpoint(whole).logits(crops), classifier.logits(crops), atol=1e-3)


def test_checkpoints_that_are_refused(whole: Path, bars: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    command = ["--model", str(path), "--data", str(bars)]
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors cannot be read: No such file"):
        evaluate(command)
    state = load_checkpoint(whole)
    save_checkpoint(path, {**state, "settings": {**state["settings"], "task": "both"}})
    with pytest.raises(UsageError, match="has two heads"):
        evaluate(command)
    save_checkpoint(path, {name: value for name, value in state.items() if name != "labels"})
    with pytest.raises(ModelError, match="is not a whole checkpoint of ferengine train"):
        evaluate(command)
    with pytest.raises(UsageError, match="is a checkpoint and keeps no temperature: export it first"):
        evaluate([*command, "--fit-temperature"])
