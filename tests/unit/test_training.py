"""Training, checkpoints and export, on a few synthetic faces."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.classify.classifier import Classifier  # noqa: E402
from ferengine.errors import ModelError, UsageError  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine_tools import export_onnx  # noqa: E402
from ferengine_tools.data.fer2013 import Fer2013  # noqa: E402
from ferengine_tools.evaluate import evaluate  # noqa: E402
from ferengine_tools.export_onnx import export, to_onnx  # noqa: E402
from ferengine_tools.networks import create_network  # noqa: E402
from ferengine_tools.train import TrainConfig, Trainer, normalise, targets, train  # noqa: E402
from ferengine_tools.training.augment import augment, blur, erase, move  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """84 faces: class n is a bright horizontal bar at height 6 n, in noise; 56 to train on, 14 of either test."""
    path = tmp_path_factory.mktemp("bars") / "fer2013.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["emotion", "pixels", "Usage"])
        for number in range(84):
            image = rng.integers(80, 120, (48, 48))
            image[6 * (number % 7) + 2 : 6 * (number % 7) + 8] += 120
            usage = "Training" if number < 56 else "PublicTest" if number < 70 else "PrivateTest"
            writer.writerow([number % 7, " ".join(map(str, image.ravel())), usage])
    return path


@pytest.fixture(scope="module")
def config(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("runs")
    return TrainConfig("dscnn", bars, out / "whole", epochs=2, batch=14, rate=2e-3, warm_up=0.5, device="cpu", threads=1)


@pytest.fixture(scope="module")
def whole(config: TrainConfig) -> Path:
    """The checkpoint of an uninterrupted run of two epochs."""
    train(config)
    return config.out / "checkpoint.pt"


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_the_loss_falls(config: TrainConfig) -> None:
    trainer = Trainer(replace(config, epochs=8))
    losses = [trainer.train_epoch() for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    halved = replace(config, out=tmp_path)
    trainer = Trainer(halved)
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    torch.rand(100)  # whatever happened meanwhile
    train(replace(halved, resume=True))
    assert same(load_checkpoint(tmp_path / "checkpoint.pt"), load_checkpoint(whole))
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "log.csv").open())] == ["2"]


def test_another_seed_is_another_run(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    train(replace(config, out=tmp_path, seed=1))
    assert not same(load_checkpoint(tmp_path / "checkpoint.pt")["model"], load_checkpoint(whole)["model"])


def test_a_finished_run_resumed_tells_its_accuracy_and_changes_nothing(config: TrainConfig, whole: Path) -> None:
    before = whole.read_bytes()
    trainer = Trainer(config)
    trainer.restore()
    assert train(replace(config, resume=True)) == trainer.accuracy()
    assert whole.read_bytes() == before


def test_a_run_is_not_overwritten(config: TrainConfig, whole: Path) -> None:
    with pytest.raises(UsageError, match="exists already: pass --resume"):
        train(config)


@pytest.mark.parametrize(("name", "value"), [("epochs", 3), ("seed", 1), ("batch", 7), ("rate", 1e-3)])
def test_a_run_is_resumed_with_its_own_settings_only(config: TrainConfig, whole: Path, name: str, value: Any) -> None:
    changed: Any = {name: value}
    with pytest.raises(UsageError, match=rf"begun with {name} .*, not {value}: resume it"):
        train(replace(config, resume=True, **changed))


def test_nothing_to_resume_is_named(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoint\.pt cannot be read: No such file"):
        train(replace(config, out=tmp_path, resume=True))


def test_a_start_gives_its_averaged_weights(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(config, out=tmp_path, start=whole))
    assert same(dict(trainer.network.state_dict()), dict(load_checkpoint(whole)["average"]))
    assert trainer.epoch == 0


def test_a_missing_split_is_named(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(config.data.read_text().replace("PublicTest", "Training"))
    with pytest.raises(UsageError, match="no faces of the split public"):
        Trainer(replace(config, data=path))


def test_a_missing_gpu_is_named(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Trainer(replace(config, device="auto")).device.type == "cpu"
    with pytest.raises(UsageError, match=r"no CUDA device: choose --device cpu"):
        Trainer(replace(config, device="cuda"))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": "vgg", "epoch": 1})
    assert load_checkpoint(path, "vgg")["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    with pytest.raises(ModelError, match="a checkpoint of 'vgg', not of 'dscnn'"):
        load_checkpoint(path, "dscnn")


@pytest.mark.parametrize("kind", ["text", "truncated", "tensor", "object"])
def test_what_is_no_checkpoint_is_refused(whole: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.pt"
    if kind == "text":
        path.write_text("epoch 1")
    elif kind == "truncated":
        path.write_bytes(whole.read_bytes()[:-2000])
    else:
        torch.save(torch.zeros(3) if kind == "tensor" else {"network": Path("/")}, path)
    with pytest.raises(ModelError, match="is not a checkpoint of ferengine train"):
        load_checkpoint(path)


def test_the_export_equals_torch_and_loads(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    manifest = export(whole, out, data=config.data)
    state = load_checkpoint(whole)
    network = create_network("dscnn", 7).eval()
    network.load_state_dict(state["average"])
    crops = np.random.default_rng(1).integers(0, 256, (5, 48, 48), np.uint8)
    with torch.no_grad():
        expected = network(normalise(torch.from_numpy(crops))).softmax(1).numpy()
    classifier = Classifier(out)
    np.testing.assert_allclose(classifier.scores(crops), expected, atol=1e-4)
    assert classifier.labels == manifest.labels == tuple(state["labels"])
    assert load_model(out).manifest == manifest
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["mine.json", "mine.onnx"]
    assert manifest.accuracy.public == pytest.approx(evaluate(classifier, config.data, "public").accuracy, abs=1e-5)
    assert manifest.accuracy.private is None
    result = evaluate(classifier, config.data, "private")
    assert result.faces == 14
    assert np.sum(result.confusion) == 14
    assert np.trace(result.confusion) == round(14 * result.accuracy)


def test_the_manifest_tells_how_the_weights_came_about(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    training = export(whole, tmp_path / "a.onnx").training
    assert training.epochs == 2
    assert training.seed == 0
    assert training.dataset == "FER-2013"
    assert training.notes == ""
    assert training.command.startswith("ferengine train --model dscnn --data FER2013 --out runs/dscnn --epochs 2 --batch 14 ")
    assert "--rate 0.002 --warm-up 0.5 --seed 0 --init kaiming" in training.command
    assert str(config.data.parent) not in training.command

    trainer = Trainer(replace(config, out=tmp_path, epochs=9, seed=4))
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    training = export(trainer.checkpoint, tmp_path / "b.onnx", notes="Early.").training
    assert training.epochs == 1
    assert training.seed == 4
    assert training.notes == "Stopped after 1 of 9 epochs of the schedule. Early."


def test_a_network_that_onnx_runtime_runs_otherwise_is_not_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_onnx(create_network("dscnn", 7).eval())
    monkeypatch.setattr(export_onnx, "to_onnx", lambda network: other)
    with pytest.raises(ModelError, match=r"differs from torch's by .* nothing written"):
        export(whole, tmp_path / "mine.onnx")
    assert list(tmp_path.iterdir()) == []


def test_targets_mix_label_and_votes() -> None:
    images, usage = np.zeros((2, 48, 48), np.uint8), np.zeros(2, np.int64)
    votes = np.zeros((2, 7), np.float32)
    votes[0, 4] = 10  # of the second nobody voted: its label stands
    mixed = targets(Fer2013(images, np.array([0, 3]), usage, votes))
    smooth = 0.1 / 7
    rest = 0.7 * smooth
    assert mixed[0].tolist() == pytest.approx([0.63 + rest, rest, rest, rest, 0.3 + rest, rest, rest])
    assert mixed[1, 3].item() == pytest.approx(0.7 * (0.9 + smooth) + 0.3)
    alone = targets(Fer2013(images, np.array([0, 3]), usage, None))
    assert alone[0, 0].item() == pytest.approx(0.9 + smooth)
    for rows in (mixed, alone):
        assert rows.sum(1).tolist() == pytest.approx([1, 1])


def test_augmentation_is_of_each_face_and_repeatable() -> None:
    batch = torch.randn(1, 1, 48, 48).expand(6, 1, 48, 48).contiguous()
    first = augment(batch, torch.Generator().manual_seed(1))
    assert first.shape == batch.shape
    assert torch.equal(first, augment(batch, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, augment(batch, torch.Generator().manual_seed(2)))
    assert not torch.equal(first[0], first[1])


def test_a_quarter_of_the_faces_loses_one_rectangle() -> None:
    batch = torch.linspace(5, 6, 48 * 48).view(1, 1, 48, 48).repeat(2000, 1, 1, 1)  # no random level is as high
    changed = (erase(batch, torch.Generator().manual_seed(0)) != batch)[:, 0]
    touched = changed.flatten(1).any(1)
    assert touched.float().mean().item() == pytest.approx(0.25, abs=0.04)
    rows, columns = changed[touched].any(2), changed[touched].any(1)
    assert torch.equal(changed[touched], rows[:, :, None] & columns[:, None, :])
    for span in (rows, columns):
        length = span.sum(1)
        assert ((span[:, 1:] != span[:, :-1]).sum(1) <= 2).all()  # in one piece
        assert length.min() >= 4
        assert length.max() <= 17
    assert rows[:, 0].any()
    assert rows[:, -1].any()


def test_blur_never_widens_and_spares_half_of_the_faces() -> None:
    batch = torch.randn(400, 1, 48, 48, generator=torch.Generator().manual_seed(3))
    blurred = blur(batch, torch.Generator().manual_seed(0))
    same_as_before = (blurred == batch).flatten(1).all(1)
    assert same_as_before.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (blurred.flatten(1).var(1) <= batch.flatten(1).var(1) + 1e-6).all()
    flat = torch.full((50, 1, 48, 48), 1.5)
    torch.testing.assert_close(blur(flat, torch.Generator().manual_seed(0)), flat)


def test_a_moved_face_stays_in_the_picture() -> None:
    """A blob at the centre moves by 6 % of the side at most."""
    batch = torch.zeros(300, 1, 48, 48)
    batch[:, :, 22:26, 22:26] = 1
    moved = move(batch, torch.Generator().manual_seed(0))[:, 0]
    axis = torch.arange(48.0) - 23.5
    weight = moved.sum((1, 2))
    for marginal in (moved.sum(1), moved.sum(2)):
        offset = (marginal * axis).sum(1) / weight
        assert offset.abs().max() < 0.06 * 48 * 1.13 * 2**0.5
        assert offset.std() > 0.5
