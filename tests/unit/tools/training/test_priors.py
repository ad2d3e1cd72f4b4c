"""Class frequencies in the loss: networks that answer under a uniform prior, whatever the sets they are trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import read_options  # noqa: E402
from ferengine.errors import UsageError  # noqa: E402
from ferengine_tools.data.fer2013 import LABELS  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import load_training_set, normalise, smoothed  # noqa: E402
from ferengine_tools.training.origin import answers_under, load_network, restored, set_prior  # noqa: E402
from ferengine_tools.training.priors import class_prior, log_softmax, moved  # noqa: E402
from ferengine_tools.training.record import RunRecord  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402
from ferengine_tools.training.teachers import Teachers  # noqa: E402
from ferengine_tools.training.trainer import EpochMetrics, Trainer, disagreement  # noqa: E402
from ferengine_tools.training.validation import of_ordinary_faces  # noqa: E402


@pytest.fixture
def mixed(config: TrainConfig, wild: Path, tmp_path: Path) -> TrainConfig:
    return replace(config, beside=(wild,), out=tmp_path / "mixed", model="fast")


def test_frequencies_are_smoothed_by_a_few_faces() -> None:
    prior = class_prior(torch.tensor([0, 0, 0, 2]), 3)
    assert prior.tolist() == pytest.approx([8 / 19, 5 / 19, 6 / 19])


def test_answers_move_between_priors_by_bayes() -> None:
    """p(y) target(y) / source(y), for each head by itself."""
    given = torch.tensor([[0.6, 0.4, 0.2, 0.8]]).log()
    source, target = torch.tensor([0.75, 0.25, 0.5, 0.5]).log(), torch.tensor([0.5, 0.5, 0.1, 0.9]).log()
    got = moved(given, source, target, (2, 2)).exp()
    expected = [0.6 / 1.5, 0.4 / 0.5, 0.2 * 0.1, 0.8 * 0.9]
    assert got[0].tolist() == pytest.approx(
        [expected[0] / 1.2, expected[1] / 1.2, expected[2] / 0.74, expected[3] / 0.74], abs=1e-6
    )
    back = moved(got.log(), target, source, (2, 2)).exp()
    assert back[0].tolist() == pytest.approx([0.6, 0.4, 0.2, 0.8], abs=1e-6)


def test_the_best_logits_of_two_sets_are_those_of_a_uniform_prior() -> None:
    """Two kinds of faces, x, of two classes; two sets that differ in their frequencies alone. One logit a kind, learnt with the
    adjusted loss on both sets, is the logarithm of p(x | y), up to a constant: the answer under a uniform prior."""
    likelihood = torch.tensor([[0.8, 0.3], [0.2, 0.7]], dtype=torch.float64)  # p(x | y), rows x
    priors = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    joint = likelihood[None] * priors[:, None, :]  # set, x, y
    logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10)

    def loss() -> Any:
        optimiser.zero_grad()
        value = -sum((joint[d] * log_softmax(logits + priors[d].log(), (2,))).sum() for d in range(2))
        value.backward()  # type: ignore[union-attr]
        return value

    optimiser.step(loss)
    uniform = likelihood / likelihood.sum(1, keepdim=True)
    assert torch.softmax(logits, 1).detach().flatten().tolist() == pytest.approx(uniform.flatten().tolist(), abs=1e-4)


def test_smoothing_is_towards_the_sets_own_frequencies() -> None:
    hard = np.eye(3, dtype=np.float32)[[0, 2]]
    prior = np.array([0.9, 0.08, 0.02], np.float32)
    assert smoothed(hard, 0.1, prior).tolist() == [
        pytest.approx([0.99, 0.008, 0.002]),
        pytest.approx([0.09, 0.008, 0.902]),
    ]
    assert smoothed(hard, 0.3).tolist()[0] == pytest.approx([0.8, 0.1, 0.1])


def test_sets_are_mixed_each_with_its_own_frequencies(mixed: TrainConfig) -> None:
    faces = load_training_set(mixed)
    alone = load_training_set(replace(mixed, beside=()))
    assert (len(faces.images), faces.margin, faces.images.shape[1:]) == (124, 6, (60, 60))
    assert [part.name for part in faces.parts] == ["FER-2013", "wild_faces"]
    assert faces.part_of.tolist() == [0] * 84 + [1] * 40
    assert torch.equal(faces.images[:84, 6:54, 6:54], alone.images)
    assert torch.equal(faces.images[:84, 0, 6:54], alone.images[:, 0])  # borders are repeated
    assert len(faces.training) == 56 + 32
    assert faces.validation.tolist() == alone.validation.tolist()
    assert faces.parts[1].validation.tolist() == list(range(84, 124, 5))
    assert faces.parts[0].prior.tolist() == pytest.approx([1 / 7] * 7)
    happy, neutral = (faces.parts[1].prior[LABELS.index(name)].item() for name in ("happy", "neutral"))
    assert (happy, neutral) == pytest.approx(((8 + 5) / (32 + 35), (24 + 5) / (32 + 35)))
    assert faces.targets.sum(1).tolist() == pytest.approx([1.0] * 124)
    target = faces.targets[85]  # neutral
    assert target[LABELS.index("happy")].item() == pytest.approx(0.1 * happy)
    assert normalise(faces.images[:2], 6).shape == (2, 1, 48, 48)


def test_faces_of_ones_own_lie_beside_with_their_own_validation(mixed: TrainConfig, tmp_path: Path) -> None:
    """In the layout that ``data prepare`` keeps: here FER-2013's table without any happy face to train on."""
    own = tmp_path / "own.csv"
    rows = mixed.data.read_text().splitlines()
    own.write_text("\n".join(row for row in rows if not (row.startswith("3,") and row.endswith("Training"))))
    faces = load_training_set(replace(mixed, beside=(*mixed.beside, own)))
    assert [part.name for part in faces.parts] == ["FER-2013", "wild_faces", "own.csv"]
    assert len(faces.training) == 56 + 32 + 48
    assert len(faces.parts[2].validation) == 14
    assert (faces.part_of[faces.parts[2].validation] == 2).all()
    assert faces.parts[2].prior[3].item() == pytest.approx(5 / (48 + 35))
    metrics = Trainer(replace(mixed, beside=(own,))).others()
    assert list(metrics) == [f"own.csv_{name}" for name in ("accuracy", "macro_f1", "uniform_recall", "best_macro_f1", "power")]


def test_the_loss_sees_the_prior_of_each_faces_own_set(mixed: TrainConfig) -> None:
    trainer = Trainer(mixed)
    trainer.network.eval()  # without dropout the loss is a function of the batch
    chosen = torch.cat([trainer.faces.training[:3], trainer.faces.training[-3:]])
    batch, target = trainer._batch(chosen)
    loss, logits = trainer._gradients(batch, target, chosen)
    prior = torch.stack([part.prior for part in trainer.faces.parts])[[0, 0, 0, 1, 1, 1]]
    expected = -(target * torch.log_softmax(logits + prior.log(), 1)).sum(1).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    plain = Trainer(replace(mixed, beside=(), prior="data"))
    plain.network.eval()
    batch, target = plain._batch(chosen[:3])
    loss, logits = plain._gradients(batch, target, chosen[:3])
    assert loss.item() == pytest.approx(-(target * torch.log_softmax(logits, 1)).sum(1).mean().item(), rel=1e-5)


def test_teachers_are_moved_to_the_faces_own_prior(mixed: TrainConfig, tmp_path: Path) -> None:
    """A teacher with the first set's frequencies baked in, and one under a uniform prior, that know the same."""
    first = replace(mixed, out=tmp_path / "teacher", beside=(), epochs=1)
    train(first)
    path = first.out / "checkpoint.safetensors"
    state = load_checkpoint(path)
    assert answers_under(path) == "uniform"
    frequencies = torch.tensor([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    loaded = load_training_set(mixed)
    faces = replace(loaded, parts=(replace(loaded.parts[0], prior=frequencies), *loaded.parts[1:]))

    def teachers() -> Teachers:
        return Teachers((str(path),), faces, torch.device("cpu"), "uniform", bf16=False)

    trainer, network = Trainer(mixed, faces), load_network(path, faces.labels)[1]
    chosen = torch.cat([faces.training[:2], faces.training[-2:]])
    batch = normalise(trainer._images[chosen], 6)
    one = teachers()(batch, chosen)
    plain = dict(state["average"])
    baked = {**plain, "fc.bias": plain["fc.bias"] + frequencies.log()}
    save_checkpoint(path, {**state, "average": baked, "settings": {**state["settings"], "prior": "data"}})
    two = teachers()(batch, chosen)
    assert torch.allclose(one, two, atol=1e-5)
    assert one.sum(1).tolist() == pytest.approx([1.0] * 4)
    own = faces.parts[1].prior
    uniform = torch.softmax(network(batch[2:]), 1)
    expected = uniform * own / (uniform * own).sum(1, keepdim=True)
    assert torch.allclose(one[2:], expected.detach(), atol=1e-5)


def test_a_teacher_of_one_set_is_asked_about_its_faces_alone(mixed: TrainConfig, tmp_path: Path) -> None:
    paths = []
    for seed in (1, 2):
        given = replace(mixed, out=tmp_path / str(seed), beside=(), seed=seed)
        save_checkpoint(tmp_path / f"{seed}.safetensors", Trainer(given).state())
        paths.append(str(tmp_path / f"{seed}.safetensors"))
    faces = load_training_set(mixed)
    chosen = torch.cat([faces.training[-2:], faces.training[:3]])
    batch = normalise(faces.images[chosen], 6)

    def answers(*sources: str) -> Any:
        return Teachers(sources, faces, torch.device("cpu"), "uniform", bf16=False)(batch, chosen)

    one, other = answers(paths[0]), answers(paths[1])
    assert not torch.allclose(one, other, atol=1e-3)
    apart = answers(f"wild_faces={paths[0]}", f"FER-2013={paths[1]}")
    torch.testing.assert_close(apart, torch.cat([one[:2], other[2:]]))
    beside = answers(paths[0], f"FER-2013={paths[1]}")
    torch.testing.assert_close(beside, torch.cat([one[:2], (one[2:] + other[2:]) / 2]))
    with pytest.raises(UsageError, match="no teacher of --distil is asked about the faces of wild_faces"):
        answers(f"FER-2013={paths[0]}")
    with pytest.raises(UsageError, match="there is no set 'fer' among those of --data: FER-2013, wild_faces"):
        answers(f"fer={paths[0]}")
    command = replace(mixed, distil=(f"wild_faces={tmp_path}/run/checkpoint.safetensors", "standard")).command()
    assert "--distil wild_faces=runs/run/checkpoint.safetensors --distil standard" in command


def test_a_mixed_run_is_resumed_bit_equal_and_logs_the_other_set(mixed: TrainConfig, tmp_path: Path) -> None:
    given = replace(mixed, views=2, consistency=0.5, crowd=0.3, votes=0.0, batch=8)
    train(given)
    halved = replace(given, out=tmp_path / "other" / "mixed")
    halved.out.mkdir(parents=True)
    trainer = Trainer(halved)
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    train(replace(halved, resume=True))
    one, two = (load_checkpoint(each.out / "checkpoint.safetensors") for each in (given, halved))
    for part in ("model", "average", "crowd"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])
    assert one["priors"] == two["priors"]
    assert list(one["priors"]) == ["FER-2013", "wild_faces"]
    header = (given.out / "log.csv").read_text().splitlines()[0].split(",")
    assert header[-4:] == ["wild_faces_accuracy", "wild_faces_macro_f1", "wild_faces_uniform_recall", "seconds"]
    assert "--data FER2013 --data wild" in given.command()
    assert "--consistency 0.5" in given.command()


def test_a_second_head_learns_the_votes_and_is_no_part_of_the_network(mixed: TrainConfig) -> None:
    trainer = Trainer(replace(mixed, beside=(), crowd=0.5))
    assert trainer.crowd is not None
    assert not any("crowd" in name for name in trainer.network.state_dict())
    votes = torch.zeros(84, 7)
    votes[:, 2] = 1
    trainer.crowd._votes = [votes]
    chosen = trainer.faces.training[:8]
    before = None
    for _ in range(30):
        batch, target = trainer._batch(chosen)
        trainer._step(batch, target, chosen)
        before = before or trainer.crowd.loss(chosen).item()
    assert trainer.crowd.loss(chosen).item() < 0.5 * before
    weights = {id(p) for group in trainer.optimiser.param_groups for p in group["params"]}
    assert all(id(p) in weights for p in trainer.crowd.parameters())


def test_views_that_disagree_cost_their_divergence() -> None:
    p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.6, 0.4]])
    both = 0.5 * ((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
    assert disagreement(torch.cat([p, q]).log(), 2).item() == pytest.approx(both.item(), rel=1e-5)
    assert disagreement(torch.cat([p, p]).log(), 2).item() == 0
    three = disagreement(torch.cat([p, q, q]).log(), 3).item()
    assert three == pytest.approx(2 / 3 * both.item(), rel=1e-5)


def test_a_start_with_frequencies_baked_in_loses_them(config: TrainConfig, tmp_path: Path) -> None:
    first = replace(config, model="fast", out=tmp_path / "one", prior="data", epochs=1)
    train(first)
    path = first.out / "checkpoint.safetensors"
    faces = load_training_set(first)
    prior = torch.tensor([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    faces = replace(faces, parts=(replace(faces.parts[0], prior=prior),))
    rows = torch.arange(len(faces.images))
    same = Trainer(replace(first, out=tmp_path / "two", start=path), faces).logits(rows)
    uniform = Trainer(replace(first, out=tmp_path / "two", start=path, prior="uniform"), faces)
    difference = same - uniform.logits(rows)
    expected = prior.log() - prior.log().mean()
    assert torch.allclose(difference, expected.expand_as(difference), atol=1e-4)
    assert torch.allclose(uniform.answers(rows) - uniform.answers(rows).mean(1, keepdim=True),
                          same - same.mean(1, keepdim=True), atol=1e-4)  # fmt: skip


def test_a_prior_is_put_into_the_last_bias(mixed: TrainConfig) -> None:
    train(replace(mixed, epochs=1))
    state, network = restored(mixed.out / "checkpoint.safetensors")
    state["priors"]["FER-2013"] = [0.4, *[0.1] * 6]
    before = network.fc.bias.detach().clone()
    set_prior(network, state, "uniform")
    assert torch.equal(network.fc.bias, before)
    set_prior(network, state, "data")
    log_prior = torch.tensor([0.4, *[0.1] * 6]).log()
    assert torch.allclose(network.fc.bias - before, log_prior - log_prior.mean(), atol=1e-6)
    del state["priors"]
    with pytest.raises(UsageError, match="does not hold the class frequencies"):
        set_prior(network, state, "data")


def test_a_checkpoint_of_before_priors_learnt_its_data(config: TrainConfig, tmp_path: Path) -> None:
    first = replace(config, out=tmp_path, prior="data", epochs=1)
    train(first)
    path = tmp_path / "checkpoint.safetensors"
    state = load_checkpoint(path)
    del state["settings"]["prior"]
    save_checkpoint(path, state)
    assert answers_under(path) == "data"
    assert train(replace(first, resume=True)).epoch == 1
    with pytest.raises(UsageError, match="started with prior data, not uniform"):
        train(replace(first, resume=True, prior="uniform"))


def test_ordinary_faces_are_measured_under_both_priors() -> None:
    labels = ("neutral", "happy", "fear")
    scores = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.5, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    classes = torch.tensor([0, 0, 1, 1])
    found = of_ordinary_faces(scores, torch.tensor([0.75, 0.0, -5.0]), classes, labels)
    # under their prior all are right; under a uniform one: neutral, happy, happy, fear
    assert found["accuracy"] == 1
    assert found["macro_f1"] == 1
    assert found["uniform_recall"] == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_the_log_takes_columns_that_older_rows_lack(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, 0)
    record.add(1, EpochMetrics(1.0, 0.5, 1.0, 0.5, {"old": 1.0}), 2.0)
    again = RunRecord(tmp_path, 1)
    again.add(2, EpochMetrics(1.0, 0.5, 1.0, 0.5, {"new": 0.25}), 2.0)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,validation_loss,validation_accuracy,old,new,seconds"
    assert [line.split(",")[5:] for line in lines[1:]] == [["1.00000", "nan", "2.00000"], ["nan", "0.25000", "2.00000"]]
    assert RunRecord(tmp_path, 2)._rows[0]["old"] == 1


def test_several_sets_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_options(["--model", "fast", "--data", "a", "--data", "b", "--data", "c", "--out", "o"], monkeypatch)
    assert (config.data, config.beside) == (Path("a"), (Path("b"), Path("c")))
    assert (config.prior, config.threads) == ("uniform", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beside": (Path("x"),), "prior": "data"}, "several sets of --data need"),
        ({"beside": (Path("x"),), "mixup": 0.2}, "mixup would mix faces of sets"),
        ({"consistency": 1.0}, "with consistency at least 2"),
        ({"views": 0}, "views must be at least 1"),
        ({"crowd": -1.0}, "crowd must be a number from 0 on"),
        ({"crowd": 1.0, "task": "gender"}, "crowd is for --task expression"),
    ],
)
def test_settings_that_do_not_go_together(config: TrainConfig, changes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config, **changes)


def test_the_settings_are_json(mixed: TrainConfig) -> None:
    assert json.loads(json.dumps(mixed.settings()))["prior"] == "uniform"
