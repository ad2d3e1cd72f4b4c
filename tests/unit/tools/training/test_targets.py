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
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import Part, labels_by_votes, load_training_set, targets  # noqa: E402
from ferengine_tools.training.folds import fold_of, teach  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402
from ferengine_tools.training.teacher import load_teacher, save_teacher  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402


def test_targets_mix_label_and_what_the_votes_say_of_it(config: TrainConfig) -> None:
    """Of two faces that all call sad (4) one is labelled angry (0), one sad: such votes mean half of each."""
    labels = np.array([0, 4, 3, 6])
    votes = np.zeros((4, 7), np.float32)
    votes[:2, 4], votes[3, 6] = 10, 3  # the third has no votes and keeps its label
    usage = np.array([0, 0, 0, 2])  # the last is a test face and counts for nothing
    data = Fer2013(np.zeros((4, 48, 48), np.uint8), labels, usage, votes)
    crowd = labels_by_votes(data)
    assert crowd[:3].tolist() == [[0.5, 0, 0, 0, 0.5, 0, 0]] * 2 + [[0, 0, 0, 1, 0, 0, 0]]
    mixed = targets(data, config)
    smooth = 0.1 / 7
    rest = 0.7 * smooth
    assert mixed[0].tolist() == pytest.approx([0.63 + 0.15 + rest, rest, rest, rest, 0.15 + rest, rest, rest])
    assert mixed[2, 3].item() == pytest.approx(0.7 * (0.9 + smooth) + 0.3)
    alone = targets(replace_votes(data), config)
    assert alone[0, 0].item() == pytest.approx(0.9 + smooth)
    for rows in (mixed[:3], alone):
        assert rows.sum(1).tolist() == pytest.approx([1.0] * len(rows))


def replace_votes(data: Fer2013) -> Fer2013:
    return Fer2013(data.images, data.labels, data.usage, None)


@pytest.mark.data
def test_the_real_votes_mean_the_labels_on_average(data_dir: Path) -> None:
    data = load_fer2013(data_dir / "fer2013")
    rows = data.indices("training")
    fractions = np.bincount(data.labels[rows], minlength=7) / len(rows)
    assert labels_by_votes(data)[rows].mean(0).tolist() == pytest.approx(fractions.tolist(), abs=1e-3)


def test_targets_follow_the_teacher_where_it_knows(config: TrainConfig) -> None:
    data = Fer2013(np.zeros((2, 48, 48), np.uint8), np.array([0, 3]), np.zeros(2, np.int64), None)
    teacher = np.full((2, 7), np.nan, np.float32)
    teacher[0] = [0, 0, 0, 0, 0, 1, 0]
    alone = targets(data, config)
    taught = targets(data, replace(config, teacher=Path("teacher.npz"), teacher_weight=0.25), teacher)
    assert taught[0, 5].item() == pytest.approx(0.75 * alone[0, 5].item() + 0.25)
    assert torch.equal(taught[1], alone[1])


def test_a_teacher_of_other_faces_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    data = load_fer2013(config.data)
    probabilities = np.full((len(data.images), 7), 1 / 7, np.float32)
    save_teacher(path, probabilities, data.images, LABELS)
    assert np.array_equal(load_teacher(path, data.images, LABELS), probabilities)
    for images, labels in ((data.images[::-1], LABELS), (data.images[1:], LABELS), (data.images, LABELS[::-1])):
        with pytest.raises(UsageError, match=r"teacher\.npz was made for other faces or labels, or for these in another order"):
            load_teacher(path, images, labels)
    whole = path.read_bytes()
    damaged = whole[:60] + bytes(40) + whole[100:]  # in the compressed bytes of the first array
    for content in (b"", b"no archive", whole[: len(whole) // 2], damaged):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is not a teacher file of ferengine teach"):
            Trainer(replace(config, teacher=path))


def test_near_copies_share_a_fold(config: TrainConfig) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (40, 12, 12), np.uint8).repeat(4, 1).repeat(4, 2)  # 40 photographs, each twice
    images = np.concatenate([coarse, np.clip(coarse + rng.integers(0, 12, coarse.shape), 0, 255).astype(np.uint8)])
    faces = load_training_set(config)
    fold = fold_of(replace(faces, images=torch.from_numpy(images), training=torch.arange(80)), 4)
    assert torch.equal(fold[:40], fold[40:])
    assert len(set(fold.tolist())) == 4


def test_no_fold_is_empty(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="100 folds are too many for 56 faces"):
        teach(replace(config, out=tmp_path, epochs=1), ["dscnn"], folds=100)
    assert list(tmp_path.iterdir()) == []


def test_a_head_for_votes_needs_some(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match=r"--crowd needs FER\+ votes"):
        load_training_set(replace(config, crowd=0.5))


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
    with pytest.raises(UsageError, match="other labels, votes, splits or folds"):  # those of before know faces of these
        teach(replace(config, out=tmp_path, epochs=1), ["dscnn"], folds=3)


def test_copies_of_test_faces_can_be_left_out(config: TrainConfig, tmp_path: Path) -> None:
    images = np.random.default_rng(3).integers(0, 256, (6, 48 * 48))
    usages = ["Training", "Training", "Training", "PublicTest", "PrivateTest", "PrivateTest"]
    images[5] = np.clip(images[1] + 3, 0, 255)  # a little lighter
    rows = [f"0,{' '.join(map(str, row))},{usage}" for row, usage in zip(images, usages, strict=True)]
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]))
    assert load_training_set(replace(config, data=path)).training.tolist() == [0, 1, 2]
    assert load_training_set(replace(config, data=path, without_copies=True)).training.tolist() == [0, 2]


@pytest.fixture
def genders(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTKFace as 40 dark and bright images: 28 to train on, 12 to validate."""
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
def test_faces_too_young_are_given_hardly_a_gender(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine tenths of their target are the set's own frequencies, to which even odds are the best answer under the adjusted
    loss; one tenth is the label."""
    given = replace(config, task="gender", data=tmp_path)
    known = load_training_set(given)
    faces = utkface.load_utkface(tmp_path)
    ages = np.where(np.arange(len(faces.age)) % 3 == 0, 9, 10)
    monkeypatch.setattr(utkface, "load_utkface", lambda path, cache: replace(faces, age=ages))
    found = load_training_set(replace(given, undecided_under=10))
    torch.testing.assert_close(found.targets[ages == 10], known.targets[ages == 10])
    hard = torch.eye(2)[torch.from_numpy(faces.gender[ages == 9])]
    torch.testing.assert_close(found.targets[ages == 9], 0.9 * found.parts[0].prior + 0.1 * hard)
    even = load_training_set(replace(given, undecided_under=10, prior="data"))
    torch.testing.assert_close(even.targets[ages == 9], 0.45 + 0.1 * hard)
    with pytest.raises(UsageError, match="is for --task gender"):
        replace(config, undecided_under=10)
    with pytest.raises(UsageError, match="--teacher is of FER-2013's faces"):
        replace(given, teacher=tmp_path / "teacher.npz")


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


@pytest.mark.data
def test_contempt_can_be_learnt(config: TrainConfig, data_dir: Path) -> None:
    faces = load_training_set(replace(config, data=data_dir / "fer2013", labels="ferplus8"))
    assert faces.labels == (*LABELS, "contempt")
    assert int((faces.classes[faces.training] == 7).sum()) == 162
    assert faces.targets.shape == (35887, 8)
    assert faces.targets[faces.training].sum(1).numpy() == pytest.approx(1, abs=1e-5)


def test_sets_of_one_name_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    """Their columns in the log, their priors in the checkpoint and SET=MODEL of --distil would be those of one of them."""
    beside = [tmp_path / folder / "faces.csv" for folder in ("one", "other")]
    for path in beside:
        path.parent.mkdir()
        path.write_bytes(config.data.read_bytes())
    with pytest.raises(UsageError, match=r"two sets of --data are called faces\.csv, .*: rename one"):
        load_training_set(replace(config, beside=tuple(beside)))
    assert len(load_training_set(replace(config, beside=(beside[0],))).parts) == 2
    beside[0] = beside[0].rename(tmp_path / "FER-2013")  # what the first set is called
    with pytest.raises(UsageError):
        load_training_set(replace(config, beside=(beside[0],)))


def _without(data: Path, usage: str, out: Path) -> Path:
    out.write_text("\n".join(row for row in data.read_text().splitlines() if not row.endswith(usage)) + "\n")
    return out


def test_a_further_set_without_training_faces_is_named(config: TrainConfig, tmp_path: Path) -> None:
    tests = _without(config.data, "Training", tmp_path / "tests.csv")
    with pytest.raises(UsageError, match=r"tests\.csv has no faces of the training split"):
        load_training_set(replace(config, beside=(tests,)))
    unmeasured = _without(config.data, "PublicTest", tmp_path / "unmeasured.csv")
    assert len(load_training_set(replace(config, beside=(unmeasured,))).parts[1].validation) == 0


def test_a_head_without_validation_faces_is_named(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unmeasured = _without(config.data, "PublicTest", tmp_path / "unmeasured.csv")
    people = replace(load_training_set(config), labels=("male", "female"), heads=(2,))
    people = replace(people, targets=people.targets[:, :2], parts=(Part("UTKFace", torch.full((2,), 0.5), people.validation),))
    monkeypatch.setattr("ferengine_tools.training.dataset._genders", lambda *_: people)
    both = replace(config, task="both", gender_data=Path("utkface"))
    assert load_training_set(both).heads == (7, 2)
    with pytest.raises(UsageError, match=r"unmeasured\.csv has no faces of the validation split"):
        load_training_set(replace(both, data=unmeasured))


def test_votes_that_the_data_have_not_are_refused(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match=r"--votes 0\.5 needs FER\+ votes"):
        load_training_set(replace(config, votes=0.5))


def test_a_teacher_that_has_seen_copies_of_test_faces_is_refused_without_copies(config: TrainConfig, tmp_path: Path) -> None:
    """Of 10 faces to train on the first is a test face too."""
    noise = np.random.default_rng(3).integers(0, 256, (12, 48 * 48))
    usages = ["Training"] * 10 + ["PublicTest", "PrivateTest"]
    pairs = zip([*noise[:11], noise[0]], usages, strict=True)
    data = tmp_path / "fer2013.csv"
    data.write_text("\n".join(["emotion,pixels,Usage", *(f"3,{' '.join(map(str, each))},{usage}" for each, usage in pairs)]))
    given = replace(config, data=data, teacher=tmp_path / "teacher.npz")
    faces = load_fer2013(data)
    taught = np.full((len(faces.images), 7), 1 / 7, np.float32)
    save_teacher(tmp_path / "teacher.npz", taught, faces.images, faces.classes)
    assert load_training_set(given).training.tolist() == list(range(10))
    with pytest.raises(UsageError, match=r"teacher\.npz was taught by copies of test faces: .* --without-copies"):
        load_training_set(replace(given, without_copies=True))
    taught[0] = np.nan
    save_teacher(tmp_path / "teacher.npz", taught, faces.images, faces.classes)
    assert load_training_set(replace(given, without_copies=True)).training.tolist() == list(range(1, 10))
