"""Training, checkpoints and export, on a few synthetic faces."""

from __future__ import annotations

import csv
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import read_options  # noqa: E402
from ferengine.classification.classifier import Classifier  # noqa: E402
from ferengine.errors import FerengineError, ModelError, UsageError  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine.models.settings import FILE_ON_CPU  # noqa: E402
from ferengine_tools.training import run  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig, paper_preset  # noqa: E402
from ferengine_tools.training.origin import load_network  # noqa: E402
from ferengine_tools.training.record import RunRecord  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402
from ferengine_tools.training.teachers import digests  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402


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
    losses = [trainer.train_epoch().loss for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("network", "optimiser"), [("dscnn", "adamw"), ("fast", "adamw"), ("fast", "sgd")])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(
    config: TrainConfig, tmp_path: Path, network: str, optimiser: Any
) -> None:
    uninterrupted = replace(config, model=network, optimiser=optimiser, out=tmp_path / "one" / "run")
    train(uninterrupted)
    halved = replace(uninterrupted, out=tmp_path / "other" / "run")
    halved.out.mkdir(parents=True)
    trainer = Trainer(halved)
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    torch.rand(100)  # whatever happened meanwhile
    train(replace(halved, resume=True))
    assert same(load_checkpoint(trainer.checkpoint), load_checkpoint(uninterrupted.out / "checkpoint.safetensors"))
    assert [row["epoch"] for row in csv.DictReader((halved.out / "log.csv").open())] == ["2"]


def test_a_run_is_not_resumed_on_other_faces(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    rows = config.data.read_text().splitlines()
    other = tmp_path / "fer2013.csv"
    other.write_text("\n".join([*rows[:1], *rows[2:], rows[1]]))
    with pytest.raises(UsageError, match="was started on other faces than those of"):
        train(replace(config, data=other, resume=True))


@pytest.mark.parametrize("change", ["labels", "splits"])
def test_a_run_is_not_resumed_with_other_labels_of_the_same_faces(
    config: TrainConfig, whole: Path, tmp_path: Path, change: str
) -> None:
    head, *rows = config.data.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    for row in cells:
        if change == "labels":
            row[0] = str((int(row[0]) + 1) % 7)
        else:
            row[-1] = {"Training": "PublicTest", "PublicTest": "Training"}.get(row[-1], row[-1])
    other = tmp_path / "fer2013.csv"
    other.write_text("\n".join([head, *map(",".join, cells)]) + "\n")
    with pytest.raises(UsageError, match="was started with other labels, votes, splits or folds of these faces"):
        train(replace(config, data=other, resume=True))
    state = load_checkpoint(whole)
    del state["labelled"]  # as before this was kept: believed
    save_checkpoint(tmp_path / "checkpoint.safetensors", state)
    assert train(replace(config, out=tmp_path, resume=True)).epoch == config.epochs


def test_a_log_that_is_none_is_named(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(whole.read_bytes())
    (tmp_path / "log.csv").write_text("epoch,loss,accu\n1,2")
    with pytest.raises(UsageError, match=r"log\.csv is not the log of a run: move it away"):
        train(replace(config, out=tmp_path, resume=True))


def test_the_log_of_something_else_stays(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("time,temperature\n1,20\n")
    with pytest.raises(UsageError, match=r"log\.csv is not the log of a run: move it away"):
        train(replace(config, out=tmp_path))
    assert (tmp_path / "log.csv").read_text() == "time,temperature\n1,20\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "log.csv"]


def test_an_out_that_is_a_file_is_refused(config: TrainConfig, whole: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made a folder: File exists: choose another"):
        train(replace(config, out=whole))


def test_the_schedule_can_begin_anew(config: TrainConfig, tmp_path: Path) -> None:
    trainer = Trainer(replace(config, out=tmp_path, epochs=6, restart=2, warm_up=0.0))
    first = [trainer.rate(step) for step in range(2 * trainer.steps)]
    second = [trainer.rate(step) for step in range(2 * trainer.steps, 6 * trainer.steps)]
    assert first[0] == second[0] == pytest.approx(config.rate, abs=1e-5)
    assert first == sorted(first, reverse=True)
    assert second == sorted(second, reverse=True)
    assert first[-1] < 0.1 * config.rate
    assert second[-1] < 0.05 * config.rate
    assert second[::2] == pytest.approx(first)


def test_another_seed_is_another_run(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    train(replace(config, out=tmp_path, seed=1))
    assert not same(load_checkpoint(tmp_path / "checkpoint.safetensors")["model"], load_checkpoint(whole)["model"])


def test_resuming_a_finished_run_reports_its_accuracy_and_changes_nothing(config: TrainConfig, whole: Path) -> None:
    before = whole.read_bytes()
    trainer = Trainer(config)
    trainer.restore()
    assert train(replace(config, resume=True)).validate() == trainer.validate()
    assert whole.read_bytes() == before


def test_a_run_is_not_overwritten(config: TrainConfig, whole: Path) -> None:
    with pytest.raises(UsageError, match="exists already: pass --resume"):
        train(config)


@pytest.mark.parametrize(("name", "value"), [("epochs", 3), ("seed", 1), ("batch", 7), ("rate", 1e-3)])
def test_a_run_is_resumed_with_its_own_settings_only(config: TrainConfig, whole: Path, name: str, value: Any) -> None:
    changed: Any = {name: value}
    with pytest.raises(UsageError, match=rf"started with {name} .*, not {value}: resume it"):
        train(replace(config, resume=True, **changed))


def test_a_checkpoint_that_names_label_smoothing_as_it_was_is_resumed(config: TrainConfig, tmp_path: Path) -> None:
    first = replace(config, out=tmp_path, label_smoothing=0.0, epochs=1)
    train(first)
    path = tmp_path / "checkpoint.safetensors"
    state = load_checkpoint(path)
    state["settings"]["smoothing"] = state["settings"].pop("label_smoothing")
    save_checkpoint(path, state)
    assert train(replace(first, resume=True)).epoch == 1
    with pytest.raises(UsageError, match=r"started with label_smoothing 0\.0, not 0\.1"):
        train(replace(first, resume=True, label_smoothing=0.1))


def test_nothing_to_resume_is_named(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors cannot be read: No such file"):
        train(replace(config, out=tmp_path, resume=True))


def test_a_start_gives_its_averaged_weights(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(config, out=tmp_path, start=whole))
    assert same(dict(trainer.network.state_dict()), dict(load_checkpoint(whole)["average"]))
    assert trainer.epoch == 0


def test_a_model_can_be_fine_tuned(config: TrainConfig, tmp_path: Path) -> None:
    labels = load_model("dscnn").manifest.labels
    faces = Trainer(replace(config, out=tmp_path)).faces
    started = Trainer(replace(config, out=tmp_path, start=Path("dscnn")), replace(faces, labels=labels))
    expected = Classifier("dscnn", backend=FILE_ON_CPU).logits(faces.images.numpy())
    assert np.abs(started.logits(torch.arange(len(faces.images))).numpy() - expected).max() < 1e-2
    with pytest.raises(ModelError, match="standard holds 'standard', not 'dscnn'"):
        Trainer(replace(config, out=tmp_path, start=Path("standard")))


def test_a_start_of_other_classes_keeps_what_it_knows(config: TrainConfig, tmp_path: Path) -> None:
    labels = load_model("dscnn").manifest.labels
    faces = replace(Trainer(replace(config, out=tmp_path)).faces, labels=(labels[1], "contempt", labels[0]), heads=(3,))
    started = Trainer(replace(config, out=tmp_path, start=Path("dscnn")), faces)
    logits = started.logits(torch.arange(len(faces.images))).numpy()
    known = Classifier("dscnn", backend=FILE_ON_CPU).logits(faces.images.numpy())
    assert logits.shape == (len(known), 3)
    assert np.abs(logits[:, [0, 2]] - known[:, [1, 0]]).max() < 1e-2
    assert np.abs(logits[:, 1, None] - known).min(axis=0).max() > 1e-2


def test_teachers_answer_the_batch_that_the_pupil_sees(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    given = replace(config, out=tmp_path, distil=(str(whole), "standard"), teacher_weight=0.75, mixup=0.3)
    trainer, alone = Trainer(given), Trainer(replace(given, distil=(), teacher_weight=0.6))
    chosen = trainer.faces.training[:14]
    torch.manual_seed(5)
    batch, target = trainer._batch(chosen)
    torch.manual_seed(5)
    same_batch, plain = alone._batch(chosen)
    assert torch.equal(batch, same_batch)
    with torch.no_grad():
        one, other = (load_network(source, trainer.faces.labels)[1](batch).softmax(1) for source in given.distil)
    assert (target - (0.25 * plain + 0.75 * (one + other) / 2)).abs().max() < 1e-5
    assert (target - plain).abs().max() > 0.05


def test_a_run_with_teachers_is_resumed_bit_equal_and_names_them(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    given = replace(config, out=tmp_path / "one", distil=(str(whole), "standard"))
    assert "--distil runs/whole/checkpoint.safetensors --distil standard" in given.command()
    train(given)
    other = replace(given, out=tmp_path / "other" / "one")
    other.out.mkdir(parents=True)
    trainer = Trainer(other)
    trainer.train_epoch()
    save_checkpoint(trainer.checkpoint, trainer.state())
    assert train(replace(other, resume=True)).epoch == 2
    assert same(load_checkpoint(trainer.checkpoint), load_checkpoint(given.out / "checkpoint.safetensors"))


def test_a_run_is_not_resumed_by_a_teacher_that_has_changed(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    teacher.write_bytes(whole.read_bytes())
    trainer = Trainer(replace(config, out=tmp_path, distil=(str(teacher),)))
    save_checkpoint(trainer.checkpoint, trainer.state())
    state = load_checkpoint(teacher)
    save_checkpoint(teacher, {**state, "epoch": 3})
    with pytest.raises(UsageError, match=r"teacher\.safetensors is not what it was when .* was started"):
        train(replace(trainer.config, resume=True))


def test_teachers_of_one_name_are_told_apart(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    teachers = [tmp_path / folder / "run" / "checkpoint.safetensors" for folder in ("one", "other")]
    for path in teachers:
        path.parent.mkdir(parents=True)
        path.write_bytes(whole.read_bytes())
    given = replace(config, distil=tuple(map(str, teachers)))
    before = digests(given)
    save_checkpoint(teachers[0], {**load_checkpoint(whole), "epoch": 3})
    assert digests(given) != before


def test_a_setting_that_is_newer_than_the_checkpoint_is_its_default(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    state = load_checkpoint(whole)
    del state["settings"]["distil"]
    save_checkpoint(tmp_path / "checkpoint.safetensors", state)
    assert train(replace(config, out=tmp_path, resume=True)).epoch == 2
    with pytest.raises(UsageError, match="started with distil"):
        train(replace(config, out=tmp_path, resume=True, distil=("standard",)))


@pytest.mark.parametrize("missing", ["labels", "average"])
def test_a_checkpoint_with_a_part_missing_is_named(config: TrainConfig, whole: Path, tmp_path: Path, missing: str) -> None:
    state = load_checkpoint(whole)
    del state[missing]
    save_checkpoint(tmp_path / "half.safetensors", state)
    with pytest.raises(ModelError, match=r"half\.safetensors is not a whole checkpoint"):
        Trainer(replace(config, out=tmp_path, distil=(str(tmp_path / "half.safetensors"),)))


def test_several_teachers_are_named_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--model", "fast", "--data", "x", "--out", "y", "--distil", "a", "--distil", "b"]
    config = read_options(words, monkeypatch)
    assert config.distil == ("a", "b")
    assert config.command().endswith(" --distil a --distil b --seed 0")


def test_a_missing_split_is_named(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(config.data.read_text().replace("PublicTest", "Training"))
    with pytest.raises(UsageError, match="no faces of the validation split"):
        Trainer(replace(config, data=path))


def test_a_missing_gpu_is_named(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Trainer(replace(config, device="auto")).device.type == "cpu"
    with pytest.raises(UsageError, match=r"no CUDA device: choose --device cpu"):
        Trainer(replace(config, device="cuda"))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"network": "vgg", "epoch": 1})
    assert load_checkpoint(path, "vgg")["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    with pytest.raises(ModelError, match="a checkpoint of 'vgg', not of 'dscnn'"):
        load_checkpoint(path, "dscnn")


@pytest.mark.parametrize("kind", ["text", "truncated", "tensor", "object"])
def test_what_is_no_checkpoint_is_refused(whole: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    if kind == "text":
        path.write_text("epoch 1")
    elif kind == "truncated":
        path.write_bytes(whole.read_bytes()[:-2000])
    else:
        torch.save(torch.zeros(3) if kind == "tensor" else {"network": Path("/")}, path)
    with pytest.raises(ModelError, match="is not a checkpoint of ferengine train"):
        load_checkpoint(path)


@pytest.mark.parametrize("changes", [{"mixup": 0.2}, {"sam": 0.05}, {"optimiser": "sgd"}, {"augment": "none"},
                                     {"augment": "mirror"}, {"precision": "bf16"}, {"average": 0.0}])  # fmt: skip
def test_each_trick_changes_the_weights_and_trains(config: TrainConfig, whole: Path, tmp_path: Path, changes: Any) -> None:
    trainer = Trainer(replace(config, out=tmp_path, **changes))
    losses = [trainer.train_epoch().loss for _ in range(2)]
    assert np.isfinite(losses).all()
    assert not same(trainer.state()["average"], load_checkpoint(whole)["average"])


def test_the_paper_preset_is_its_own_schedule() -> None:
    preset = paper_preset("vgg")
    assert (preset["epochs"], preset["init"], preset["votes"], preset["label_smoothing"]) == (90, "gaussian", 0.0, 0.0)
    with pytest.raises(UsageError, match="paper has no network 'fast'"):
        paper_preset("fast")


def test_options_that_are_named_win_over_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "--model cnn --data d --out o --preset paper --epochs 3 --distil standard --init kaiming"
    config = read_options(words.split(), monkeypatch)
    assert (config.epochs, config.distil, config.init) == (3, ("standard",), "kaiming")
    assert (config.augment, config.optimiser, config.votes) == ("mirror", "sgd", 0.0)
    plain = read_options(["--model", "cnn", "--data", "d", "--out", "o"], monkeypatch)
    assert plain == TrainConfig("cnn", Path("d"), Path("o"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("batch", 1), ("votes", 1.0), ("votes", 1.5), ("mixup", -1.0), ("mixup", float("nan")), ("rate", 0.0),
        ("rate", float("inf")), ("seed", -1), ("seed", 2**63),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(config: TrainConfig, name: str, value: Any) -> None:
    changed: Any = {name: value}
    with pytest.raises(UsageError, match=name):
        replace(config, **changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": "mirror", "strength": 0.5}, "--strength is of the full augmentation"),
        ({"teacher_weight": 0.3}, "--teacher-weight needs --teacher, --distil or --views-from"),
        ({"task": "gender", "undecided_under": -1}, "undecided_under must be a number from 0 on"),
        ({"task": "gender", "labels": "ferplus8"}, "--labels and --without-copies are of FER-2013"),
        ({"task": "gender", "without_copies": True}, "--labels and --without-copies are of FER-2013"),
    ],
)
def test_settings_that_would_change_nothing_are_refused(config: TrainConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config, **changes)


def test_the_curves_are_drawn(whole: Path) -> None:
    image = (whole.parent / "curves.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert len(image) > 10_000


def test_a_full_disk_leaves_the_last_checkpoint(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(whole.read_bytes())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with pytest.raises(FerengineError, match=r"cannot be written: .*the epoch before is still in"):
            save_checkpoint(path, load_checkpoint(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == whole.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_a_checkpoint_can_be_read_by_those_who_may_read_the_log(whole: Path) -> None:
    modes = {(whole.parent / name).stat().st_mode for name in (whole.name, "log.csv")}
    assert len(modes) == 1


def test_a_checkpoint_keeps_its_permissions_and_clears_what_a_kill_left(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(whole.read_bytes())
    path.chmod(0o640)
    left = tmp_path / ".checkpoint.safetensors.part"
    left.mkdir()
    (left / ".tmpAbC123").write_bytes(b"half of a checkpoint")
    save_checkpoint(path, load_checkpoint(whole))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_out_that_is_gone_is_named(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(FerengineError, match=r"cannot be written: .*: the folder .*gone is gone$"):
        save_checkpoint(tmp_path / "gone" / "checkpoint.safetensors", load_checkpoint(whole))


def test_the_row_of_an_epoch_is_written_before_its_checkpoint(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends between the two writes has lost no row when it is resumed, and has none twice."""
    monkeypatch.setattr(RunRecord, "draw", lambda *_: None)
    given, saved = replace(config, out=tmp_path), run.save_checkpoint

    def rows() -> list[str]:
        return [row["epoch"] for row in csv.DictReader((tmp_path / "log.csv").open())]

    def full_at_the_second(path: Path, state: dict[str, Any]) -> None:
        assert rows()[-1] == str(state["epoch"])
        if state["epoch"] == 2:
            raise FerengineError("no room")
        saved(path, state)

    monkeypatch.setattr(run, "save_checkpoint", full_at_the_second)
    with pytest.raises(FerengineError, match="no room"):
        train(given)
    monkeypatch.undo()
    monkeypatch.setattr(RunRecord, "draw", lambda *_: None)
    train(replace(given, resume=True))
    assert rows() == ["1", "2"]


def test_a_run_whose_weights_grow_beyond_all_numbers_ends(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(FerengineError, match=r"in epoch \d the weights grew beyond all numbers .*: choose a smaller --rate"):
        train(replace(config, out=tmp_path, rate=1e30, epochs=4))


def test_the_power_of_a_prior_is_no_percentage() -> None:
    assert run._shown("wild_faces_power", 0.3) == "0.3"
    assert run._shown("wild_faces_macro_f1", 0.3) == "30.00 %"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": 0}, "threads must be from 1 to 1024, not 0"),
        ({"threads": 100_000}, "threads must be from 1 to 1024, not 100000"),
        ({"task": "gender", "votes": 0.5}, "--votes is of FER-2013's faces"),
    ],
)
def test_threads_and_votes_that_cannot_be_are_refused(config: TrainConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config, **changes)
