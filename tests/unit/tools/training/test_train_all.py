"""The whole table in one command, on a few synthetic faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import command  # noqa: E402
from ferengine.errors import UsageError  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine_tools.evaluation import comparison  # noqa: E402
from ferengine_tools.training import plan, table  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.plan import Run  # noqa: E402
from ferengine_tools.training.record import RunRecord  # noqa: E402

main = command("train-all")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (Run("first", "fast", 1), Run("second", "fast", 1, after="first", distil="first"))
    small_table = (
        *stages,
        Run("taught", "dscnn", 1, seeds=2, taught=True),
        Run("alone", "fast", 1),
        Run("gender", "fast", 1, task="gender"),
    )
    monkeypatch.setattr(plan, "TABLE", small_table)
    monkeypatch.setattr(plan, "TEACHERS", ("dscnn",))
    monkeypatch.setattr(plan, "FOLDS", 2)
    monkeypatch.setattr(plan, "TEACHER_EPOCHS", 1)
    # timing a model takes two seconds and a drawing one; test_compare and test_training have both
    monkeypatch.setattr(comparison, "speeds", lambda classifier: {"1": 3.0, "8": 2.0, "32": 1.0})
    monkeypatch.setattr(RunRecord, "draw", lambda record, path, title: path.touch())


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
    written = (tmp_path / "table.md").read_text()
    assert [written.count(f"| {name} ") for name in ("taught", "alone", "alone-int8")] == [2, 1, 1]
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".onnx") or path.name == "alone.json"]
    times = {path: path.stat().st_mtime_ns for path in kept}
    capsys.readouterr()
    main(arguments)  # finished steps are not run again
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert "teachers" not in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_a_second_stage_goes_on_from_the_first_and_is_taught(bars: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(bars), "--out", str(tmp_path), "--device", "cpu", "--threads", "1", "--precision", "fp32"]
    with pytest.raises(UsageError, match="second needs first and first: run first first"):
        main([*arguments, "--only", "second"])
    main([*arguments, "--only", "first", "--only", "second"])
    state = load_checkpoint(tmp_path / "second-0" / "checkpoint.safetensors")
    first = str(tmp_path / "first-0" / "checkpoint.safetensors")
    assert (state["settings"]["start"], state["settings"]["distil"]) == (first, [first])
    assert state["settings"]["decay"] == 0.1
    stages = [load_model(tmp_path / f"{name}-0" / f"{name}.onnx").manifest.accuracy for name in ("first", "second")]
    assert stages[0].private is None  # an earlier stage
    assert stages[1].private is not None
    (tmp_path / "table.md").unlink()
    main([*arguments, "--only", "first"])  # the table keeps what earlier calls have trained
    written = (tmp_path / "table.md").read_text()
    assert [written.count(f"| {name} ") for name in ("first", "second", "second-int8", "alone")] == [1, 1, 1, 0]


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
    monkeypatch.setattr(table, "train", train)
    monkeypatch.setattr(table, "_exported", lambda source, model, *_, final: exported.update({model.name: final}))
    monkeypatch.setattr(table, "compare_models", lambda models: [])
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "teacher.npz").touch()
    main(["--data", "fer", "--gender-data", "utk", "--out", str(tmp_path)])
    assert len(planned) == sum(run.seeds for run in plan.TABLE)
    assert (planned["both-0"].task, planned["both-0"].gender_data, planned["both-0"].data) == ("both", Path("utk"), Path("fer"))
    assert (planned["gender-1"].task, planned["gender-1"].data, planned["gender-1"].seed) == ("gender", Path("utk"), 1)
    assert planned["gender-1"].start == tmp_path / "fast-1" / "checkpoint.safetensors"
    assert planned["gender-1"].distil == (str(tmp_path / "gender-standard-1" / "checkpoint.safetensors"),)
    assert planned["gender-1"].rate == planned["fast-1"].rate > planned["standard-1"].rate  # the last is a later stage
    clean = planned["standard-without-copies-0"]
    assert clean.without_copies
    assert clean.teacher is None  # the teachers saw the copies
    assert (planned["vgg-paper-0"].restart, planned["vgg-paper-0"].epochs) == (30, 90)
    assert planned["accurate-1"].start == tmp_path / "accurate-first-1" / "checkpoint.safetensors"
    assert planned["accurate-1"].distil == (str(tmp_path / "standard-first-1" / "checkpoint.safetensors"),)
    assert {"standard-int8.onnx", "fast-int8.onnx", "dscnn.onnx", "gender.onnx"} <= set(exported)
    assert [name for name, final in exported.items() if not final] == [
        "standard-first.onnx", "standard-first-int8.onnx", "accurate-first.onnx", "accurate-first-int8.onnx"
    ]  # fmt: skip
    assert not {"both.onnx", "dscnn-int8.onnx"} & set(exported)
