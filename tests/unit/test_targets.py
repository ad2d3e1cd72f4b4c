"""What networks are trained towards: labels, votes, teachers; and on which faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import UsageError  # noqa: E402
from ferengine_tools.data import utkface  # noqa: E402
from ferengine_tools.data.fer2013 import LABELS, Fer2013, load_fer2013  # noqa: E402
from ferengine_tools.data.utkface import UtkFace  # noqa: E402
from ferengine_tools.teach import fold_of, teach  # noqa: E402
from ferengine_tools.train import train  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import load_training_set, targets  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402


def test_targets_mix_label_and_votes(config: TrainConfig) -> None:
    images, usage = np.zeros((2, 48, 48), np.uint8), np.zeros(2, np.int64)
    votes = np.zeros((2, 7), np.float32)
    votes[0, 4] = 10  # of the second nobody voted: its label stands
    mixed = targets(Fer2013(images, np.array([0, 3]), usage, votes), config)
    smooth = 0.1 / 7
    rest = 0.7 * smooth
    assert mixed[0].tolist() == pytest.approx([0.63 + rest, rest, rest, rest, 0.3 + rest, rest, rest])
    assert mixed[1, 3].item() == pytest.approx(0.7 * (0.9 + smooth) + 0.3)
    alone = targets(Fer2013(images, np.array([0, 3]), usage, None), config)
    assert alone[0, 0].item() == pytest.approx(0.9 + smooth)
    for rows in (mixed, alone):
        assert rows.sum(1).tolist() == pytest.approx([1, 1])


def test_targets_follow_the_teacher_where_it_knows(config: TrainConfig) -> None:
    data = Fer2013(np.zeros((2, 48, 48), np.uint8), np.array([0, 3]), np.zeros(2, np.int64), None)
    teacher = np.full((2, 7), np.nan, np.float32)
    teacher[0] = [0, 0, 0, 0, 0, 1, 0]
    alone = targets(data, config)
    taught = targets(data, replace(config, teacher_weight=0.25), teacher)
    assert taught[0, 5].item() == pytest.approx(0.75 * alone[0, 5].item() + 0.25)
    assert torch.equal(taught[1], alone[1])


def test_a_teacher_of_other_faces_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    np.savez(path, probabilities=np.zeros((3, 7), np.float32), labels=np.array(LABELS))
    with pytest.raises(UsageError, match=r"teacher\.npz was made for other faces or labels"):
        Trainer(replace(config, teacher=path))
    path.write_text("no archive")
    with pytest.raises(UsageError, match="is not a teacher file of ferengine teach"):
        Trainer(replace(config, teacher=path))


def test_the_folds_teach_each_other(config: TrainConfig, tmp_path: Path) -> None:
    probabilities = teach(replace(config, out=tmp_path, epochs=1), ["dscnn"], folds=2)
    data = load_fer2013(config.data)
    rows = data.indices("training")
    assert probabilities[rows].sum(1) == pytest.approx(1, abs=1e-5)
    assert np.isnan(np.delete(probabilities, rows, 0)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dscnn-0", "dscnn-1"]
    held = fold_of(load_training_set(config), 2)
    assert 0 < int(held.sum()) < len(held)
    again = teach(replace(config, out=tmp_path, epochs=1), ["dscnn"], folds=2)  # finished folds are kept
    assert np.array_equal(again, probabilities, equal_nan=True)


def test_copies_of_test_faces_can_be_left_out(config: TrainConfig, tmp_path: Path) -> None:
    lines = config.data.read_text().splitlines()
    copied = lines[1].replace("Training", "PrivateTest")
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join([*lines, copied]))
    whole = load_training_set(replace(config, data=path)).training
    fewer = load_training_set(replace(config, data=path, without_copies=True)).training
    assert sorted(set(whole.tolist()) - set(fewer.tolist())) == [0]


@pytest.fixture
def genders(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTKFace as 40 dark and bright pictures: 28 to train on, 12 to validate."""
    count = 40
    gender = np.arange(count) % 2
    images = (
        np.random.default_rng(2).integers(0, 60, (count, 48, 48), np.uint8) + (gender * 150).astype(np.uint8)[:, None, None]
    )
    split = np.where(np.arange(count) < 28, 0, 1)
    zeros, names = np.zeros(count, np.int64), np.array([f"{n}.webp" for n in range(count)])
    faces = UtkFace(images, gender, zeros, zeros, split, names, zeros > 0, zeros > 0, ())
    monkeypatch.setattr(utkface, "load_utkface", lambda path, cache=None: faces)


@pytest.mark.usefixtures("genders")
def test_gender_is_learnt(config: TrainConfig, tmp_path: Path) -> None:
    trainer = train(replace(config, task="gender", data=tmp_path, out=tmp_path / "run", model="fast", epochs=6, augment="none"))
    assert trainer.faces.labels == ("male", "female")
    assert trainer.validation_by_head() == [1.0]
    assert "--data UTKFACE --out runs/run --task gender" in trainer.config.command()


@pytest.mark.usefixtures("genders")
def test_one_trunk_learns_with_two_heads(config: TrainConfig, tmp_path: Path) -> None:
    both = replace(config, task="both", gender_data=tmp_path, out=tmp_path / "run", model="fast", epochs=8, augment="none")
    faces = load_training_set(both)
    assert faces.labels == (*LABELS, "male", "female")
    assert faces.heads == (7, 2)
    expressions = load_training_set(config)
    assert torch.equal(faces.targets[: len(expressions.images), :7], expressions.targets)
    assert faces.targets.sum(1).tolist() == pytest.approx([1.0] * len(faces.images))
    trainer = train(both)
    expression, gender = trainer.validation_by_head()
    assert gender == 1.0
    assert expression > 0.5
    total = (expression * 14 + gender * 12) / 26
    assert trainer.validate()[1] == pytest.approx(total)


def test_both_tasks_need_both_data(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match="--task both needs --gender-data"):
        replace(config, task="both")
