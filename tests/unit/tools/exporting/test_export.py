"""Export: a checkpoint becomes an ONNX file that gives torch's answers, and its manifest."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import command  # noqa: E402
from ferengine.classification.classifier import Classifier  # noqa: E402
from ferengine.errors import ModelError, UsageError  # noqa: E402
from ferengine.models.card import model_card  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine.models.self_test import self_test_crops  # noqa: E402
from ferengine_tools.data import fer2013  # noqa: E402
from ferengine_tools.data.fer2013 import Split, load_fer2013  # noqa: E402
from ferengine_tools.evaluation.evaluation import Evaluation, evaluate_faces  # noqa: E402
from ferengine_tools.evaluation.priors import log_prior  # noqa: E402
from ferengine_tools.evaluation.sets import fer2013_faces  # noqa: E402
from ferengine_tools.exporting import graph  # noqa: E402
from ferengine_tools.exporting.check import compare  # noqa: E402
from ferengine_tools.exporting.export import export  # noqa: E402
from ferengine_tools.exporting.graph import multiply_adds, to_onnx  # noqa: E402
from ferengine_tools.networks.registry import create_network, deployed  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import normalise  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402

main = command("export-onnx")


def evaluate(classifier: Classifier, data: Path, split: Split) -> Evaluation:
    return evaluate_faces(classifier, fer2013_faces(data, split), split)[0]


def test_the_export_equals_torch_and_loads(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    manifest, agreement = export(whole, out, data=config.data)
    assert agreement.faces == 14
    assert agreement.agreement == 1
    assert agreement.difference < 1e-3
    state = load_checkpoint(whole)
    network = create_network("dscnn", 7).eval()
    network.load_state_dict(state["average"])
    crops = np.random.default_rng(1).integers(0, 256, (5, 48, 48), np.uint8)
    with torch.no_grad():
        everyday = torch.from_numpy(log_prior("everyday", manifest.labels))
        expected = (network(normalise(torch.from_numpy(crops))) / manifest.temperature + everyday).softmax(1).numpy()
    classifier = Classifier(out)
    np.testing.assert_allclose(classifier.scores(crops), expected, atol=1e-4)
    assert classifier.labels == manifest.labels == tuple(state["labels"])
    assert load_model(out).manifest == manifest
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["mine.json", "mine.onnx"]
    assert manifest.accuracy.public == pytest.approx(evaluate(classifier, config.data, "public").accuracy, abs=1e-5)
    assert manifest.accuracy.private is None
    result = evaluate(classifier, config.data, "private")
    assert result.faces == 14
    assert np.sum(result.metrics.confusion) == 14
    assert np.trace(result.metrics.confusion) == round(14 * result.accuracy)


def test_manifest_records_the_training(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    training = export(whole, tmp_path / "a.onnx")[0].training
    assert training.epochs == 2
    assert training.seed == 0
    assert training.dataset == "own faces (fer2013.csv)"
    assert training.notes == ""
    assert training.command == (
        "ferengine train --model dscnn --data FER2013 --out runs/whole "
        "--epochs 2 --batch 14 --rate 0.002 --warm-up 0.5 --seed 0"
    )
    assert str(config.data.parent) not in training.command

    trainer = Trainer(replace(config, out=tmp_path, epochs=9, seed=4))
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    training = export(trainer.checkpoint, tmp_path / "b.onnx", notes="Early.")[0].training
    assert training.epochs == 1
    assert training.seed == 4
    assert training.notes == "Stopped after 1 of 9 epochs of the schedule. Early."


def test_own_faces_are_not_called_fer2013(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest names what a model was trained and measured on, and gives no licence that is not its to give."""
    manifest, _ = export(whole, tmp_path / "a.onnx", data=config.data)
    assert manifest.licence == "not stated: trained on own faces (fer2013.csv), whose owner decides"
    assert manifest.accuracy.dataset == "own faces (fer2013.csv)"
    shown = {name: text for section in model_card(load_model(tmp_path / "a.onnx")) for name, text in section.rows}
    assert "PublicTest of own faces (fer2013.csv)" in shown["accuracy"]

    monkeypatch.setattr(fer2013, "_FACES", {"training": 56, "public": 14, "private": 14})
    monkeypatch.setattr(fer2013, "_TRAINING", (8,) * 7)
    trainer = Trainer(replace(config, out=tmp_path))
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    manifest, _ = export(trainer.checkpoint, tmp_path / "b.onnx", data=config.data)
    assert manifest.training.dataset == "FER-2013"
    assert manifest.licence == "MIT (the weights; FER-2013, which they were trained on, is for research)"
    assert manifest.accuracy.dataset is None


def test_export_refuses_a_network_that_onnx_runtime_computes_differently(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_onnx(create_network("dscnn", 7).eval())
    monkeypatch.setattr(graph, "to_onnx", lambda network: other)
    with pytest.raises(ModelError, match=r"differs from its source by .* nothing written"):
        export(whole, tmp_path / "mine.onnx")
    assert list(tmp_path.iterdir()) == []


def test_self_test_holds_the_logits_of_the_built_in_faces(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    manifest, _ = export(whole, tmp_path / "mine.onnx")
    network = create_network("dscnn", 7).eval()
    network.load_state_dict(load_checkpoint(whole)["average"])
    with torch.no_grad():
        expected = network(normalise(torch.from_numpy(self_test_crops(48)))).numpy()
    np.testing.assert_allclose(np.array(manifest.self_test), expected, atol=1e-4)
    assert len(set(manifest.self_test or ())) == 8


@pytest.mark.parametrize(("name", "expected"), [("cnn", 127.4), ("fast", 13.5), ("standard", 24.1)])
def test_multiply_adds(name: str, expected: float) -> None:
    assert multiply_adds(deployed(create_network(name, 7).eval())) / 1e6 == pytest.approx(expected, rel=0.02)


def test_merged_branches_give_the_same_logits() -> None:
    torch.manual_seed(0)
    network = create_network("fast", 7)
    network(torch.randn(32, 1, 48, 48))  # running statistics that are not the fresh ones
    network.eval()
    batch = torch.randn(4, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(deployed(network)(batch), network(batch), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(deployed(deployed(network))(batch), network(batch), atol=1e-4, rtol=1e-4)
    assert not any("point" in name for name, _ in deployed(network).named_parameters())


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_of_a_model_are_checked_on_real_faces(config: TrainConfig, tmp_path: Path, precision: str) -> None:
    plain = load_model("dscnn")
    manifest, agreement = export("dscnn", tmp_path / f"{precision}.onnx", precision=precision, data=config.data)
    assert manifest.precision == precision
    assert manifest.training == plain.manifest.training
    assert 0 < agreement.difference < 4
    assert len(load_model(tmp_path / f"{precision}.onnx").onnx) < 0.6 * len(plain.onnx)
    crops = load_fer2013(config.data).images[:8]
    np.testing.assert_allclose(
        Classifier(tmp_path / f"{precision}.onnx").logits(crops), Classifier("dscnn").logits(crops), atol=4
    )
    with pytest.raises(UsageError, match=f"is {precision} already"):
        export(tmp_path / f"{precision}.onnx", tmp_path / "again.onnx", precision=precision, data=config.data)


def test_a_copy_in_fp32_reads_faces_as_the_model_does(tmp_path: Path) -> None:
    """Its prior is tempered, so that a temperature of 1 would change labels."""
    source = load_model("dscnn").manifest
    manifest, _ = export("dscnn", tmp_path / "copy.onnx", notes="Mine.")
    assert (manifest.temperatures, manifest.accuracy) == (source.temperatures, source.accuracy)
    assert manifest.training.notes == f"{source.training.notes} Mine."
    crops = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)
    np.testing.assert_array_equal(Classifier(tmp_path / "copy.onnx").scores(crops), Classifier("dscnn").scores(crops))
    with pytest.raises(UsageError, match="--prior data is for checkpoints"):
        export("dscnn", tmp_path / "x.onnx", prior="data")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch calls its own exporter that
def test_a_model_is_checked_on_crops_of_its_own_size(config: TrainConfig, tmp_path: Path) -> None:
    labels = load_fer2013(config.data).classes
    network = create_network("dscnn", len(labels)).eval()
    buffer = io.BytesIO()
    torch.onnx.export(
        network, (torch.zeros(1, 1, 64, 64),), buffer, opset_version=17, input_names=["input"], output_names=["logits"],
        dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    (tmp_path / "large.onnx").write_bytes(buffer.getvalue())
    manifest = {
        "name": "large", "file": "large.onnx", "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(), "labels": labels,
        "input": {"size": 64, "mean": 129.5, "std": 65.0}, "licence": "MIT", "intended_use": "a test",
    }  # fmt: skip
    (tmp_path / "large.json").write_text(json.dumps(manifest))
    written, agreement = export(tmp_path / "large.onnx", tmp_path / "fp16.onnx", precision="fp16", data=config.data)
    assert (written.input.size, agreement.faces) == (64, len(load_fer2013(config.data).indices("public")))
    assert export(tmp_path / "large.onnx", tmp_path / "copy.onnx")[1].difference == 0


def test_other_precisions_need_faces(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--precision int8 needs --data"):
        export("dscnn", tmp_path / "x.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_agrees_on_too_few_labels_is_refused() -> None:
    onnx = to_onnx(create_network("dscnn", 7).eval())
    batch = np.random.default_rng(0).normal(size=(4, 1, 48, 48)).astype(np.float32)
    for expected in (np.full((4, 7), np.nan, np.float32), np.eye(7, dtype=np.float32)[[0, 1, 2, 3]] * 3):
        with pytest.raises(ModelError, match="the int8 network differs from its source"):
            compare(expected, onnx, batch, "int8")


def test_final_metrics_are_measured_only_when_asked_for(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    first = export(whole, tmp_path / "a.onnx", data=config.data)[0].accuracy
    assert (first.private, first.private_without_copies, first.ece) == (None, None, None)
    final = export(whole, tmp_path / "a.onnx", data=config.data, private=True)[0].accuracy
    assert final.private == pytest.approx(evaluate(Classifier(tmp_path / "a.onnx"), config.data, "private").accuracy, abs=1e-5)
    assert final.private_without_copies is not None
    assert final.ece is not None
    assert final.public == first.public


def test_command_exports_and_reports_the_checks(
    config: TrainConfig, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--checkpoint", str(whole), "--out", str(tmp_path / "mine.onnx"), "--data", str(config.data)])
    said = capsys.readouterr().out
    assert "358471 parameters, fp32" in said
    assert "same label on 100.00 %" in said
    assert "accuracy on the validation split" in said
    for wrong in (["--checkpoint", "a.pt"], ["--model", "dscnn", "--private"], []):
        with pytest.raises(UsageError):
            main([*wrong, "--out", str(tmp_path / "x.onnx")])


def test_a_file_in_the_manifests_place_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"happy": 0.5}')
    with pytest.raises(UsageError, match=r"mine\.json, where the manifest is written, is no manifest"):
        export("fast", tmp_path / "mine.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
    assert (tmp_path / "mine.json").read_text() == '{"happy": 0.5}'
    (tmp_path / "mine.json").unlink()
    for _ in range(2):  # a model's own manifest is replaced
        export("fast", tmp_path / "mine.onnx")
