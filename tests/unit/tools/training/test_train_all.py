"""The whole table in one command, on a few synthetic faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.errors import UsageError  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine_tools import train_all  # noqa: E402
from ferengine_tools.train_all import Run, main  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    legs = (Run("first", "fast", 1), Run("second", "fast", 1, after="first", distil="first"))
    table = (
        *legs,
        Run("taught", "dscnn", 1, seeds=2, taught=True),
        Run("alone", "fast", 1),
        Run("gender", "fast", 1, task="gender"),
    )
    monkeypatch.setattr(train_all, "TABLE", table)
    monkeypatch.setattr(train_all, "TEACHERS", ("dscnn",))
    monkeypatch.setattr(train_all, "FOLDS", 2)
    monkeypatch.setattr(train_all, "TEACHER_EPOCHS", 1)


@pytest.mark.usefixtures("small")
def test_every_run_is_trained_exported_and_measured_once(bars: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["--data", str(bars), "--out", str(tmp_path), "--only", "taught", "--only", "alone", "--device", "cpu",
                 "--precision", "fp32", "--threads", "1"]  # fmt: skip
    main(arguments)
    for name, network in (("taught-0/taught", "dscnn"), ("taught-1/taught", "dscnn"), ("alone-0/alone", "fast")):
        manifest = load_model(tmp_path / f"{name}.onnx").manifest
        assert manifest.network == network
        assert manifest.accuracy.public is not None
        assert manifest.accuracy.private is not None
    assert load_model(tmp_path / "alone-0" / "alone-int8.onnx").manifest.accuracy.private is not None
    assert not (tmp_path / "taught-0" / "taught-int8.onnx").exists()
    state = load_checkpoint(tmp_path / "taught-1" / "checkpoint.safetensors")
    assert (state["settings"]["seed"], state["settings"]["teacher"]) == (1, str(tmp_path / "teacher" / "teacher.npz"))
    assert load_checkpoint(tmp_path / "alone-0" / "checkpoint.safetensors")["settings"]["teacher"] is None
    table = (tmp_path / "table.md").read_text()
    assert [table.count(f"| {name} ") for name in ("taught", "alone", "alone-int8")] == [2, 1, 1]
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".onnx") or path.name == "alone.json"]
    written = {path: path.stat().st_mtime_ns for path in kept}
    capsys.readouterr()
    main(arguments)  # finished steps are not run again
    assert {path: path.stat().st_mtime_ns for path in kept} == written
    assert "teachers" not in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_a_second_leg_goes_on_from_the_first_and_is_taught(bars: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(bars), "--out", str(tmp_path), "--device", "cpu", "--threads", "1", "--precision", "fp32"]
    with pytest.raises(UsageError, match="second begins from first and first: run first first"):
        main([*arguments, "--only", "second"])
    main([*arguments, "--only", "first", "--only", "second"])
    state = load_checkpoint(tmp_path / "second-0" / "checkpoint.safetensors")
    first = str(tmp_path / "first-0" / "checkpoint.safetensors")
    assert (state["settings"]["start"], state["settings"]["distil"]) == (first, [first])
    assert state["settings"]["decay"] == 0.1
    legs = [load_model(tmp_path / f"{name}-0" / f"{name}.onnx").manifest.accuracy for name in ("first", "second")]
    assert legs[0].private is None  # a leg on the way
    assert legs[1].private is not None


@pytest.mark.usefixtures("small")
def test_gender_needs_its_data(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name it with --gender-data"):
        main(["--data", str(bars), "--out", str(tmp_path)])


def test_the_published_table_is_a_plan_that_can_be_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every run of the real table, in order, as it would be trained; nothing is."""
    planned: dict[str, TrainConfig] = {}

    class Trained:
        def validation_by_head(self) -> list[float]:
            return [0.5]

    def train(config: TrainConfig) -> Trained:
        planned[config.out.name] = config
        config.out.mkdir(parents=True)
        (config.out / "checkpoint.safetensors").touch()
        return Trained()

    exported: dict[str, bool] = {}
    monkeypatch.setattr(train_all, "train", train)
    monkeypatch.setattr(train_all, "_exported", lambda source, model, *_, final: exported.update({model.name: final}))
    monkeypatch.setattr(train_all, "compare", lambda models: [])
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "teacher.npz").touch()
    main(["--data", "fer", "--gender-data", "utk", "--out", str(tmp_path)])
    assert len(planned) == sum(run.seeds for run in train_all.TABLE)
    assert (planned["both-0"].task, planned["both-0"].gender_data, planned["both-0"].data) == ("both", Path("utk"), Path("fer"))
    assert (planned["gender-1"].task, planned["gender-1"].data, planned["gender-1"].seed) == ("gender", Path("utk"), 1)
    assert planned["gender-1"].start == tmp_path / "fast-1" / "checkpoint.safetensors"
    assert planned["gender-1"].distil == (str(tmp_path / "gender-standard-1" / "checkpoint.safetensors"),)
    assert planned["gender-1"].rate == planned["fast-1"].rate > planned["standard-1"].rate  # the last is a leg
    clean = planned["standard-without-copies-0"]
    assert clean.without_copies
    assert clean.teacher is None  # the teachers saw the copies
    assert (planned["vgg-document-0"].restart, planned["vgg-document-0"].epochs) == (30, 90)
    assert planned["accurate-1"].start == tmp_path / "accurate-first-1" / "checkpoint.safetensors"
    assert planned["accurate-1"].distil == (str(tmp_path / "standard-first-1" / "checkpoint.safetensors"),)
    assert {"standard-int8.onnx", "fast-int8.onnx", "dscnn.onnx", "gender.onnx"} <= set(exported)
    assert [name for name, final in exported.items() if not final] == [
        "standard-first.onnx", "standard-first-int8.onnx", "accurate-first.onnx", "accurate-first-int8.onnx"
    ]  # fmt: skip
    assert not {"both.onnx", "dscnn-int8.onnx"} & set(exported)
