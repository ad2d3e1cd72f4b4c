"""Every model of the published table, one after the other, each exported and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ferengine.errors import UsageError
from ferengine.models.settings import Precision
from ferengine_tools.evaluation.comparison import compare_models
from ferengine_tools.evaluation.comparison_table import to_markdown
from ferengine_tools.exporting.export import export
from ferengine_tools.files import make_folder, written_whole
from ferengine_tools.training import plan
from ferengine_tools.training.config import TrainConfig, paper_preset
from ferengine_tools.training.folds import write_teacher
from ferengine_tools.training.plan import Run
from ferengine_tools.training.run import train


def train_all(base: TrainConfig, gender_data: Path | None, names: list[str], console: Console) -> None:
    """Train, export and measure runs of ``plan.TABLE``. Finished steps are not repeated, and interrupted runs are resumed. The
    table has the models of all runs that the folder holds, those of earlier calls too.

    Args:
        base: The data, the folder of all runs and the settings of this machine.
        gender_data: UTKFace, for runs of gender.
        names: The runs.
        console: Where progress is reported.

    Raises:
        UsageError: UTKFace is missing, or a run that another one starts from.
    """
    runs, teacher = [run for run in plan.TABLE if run.name in names], prepare(base, gender_data, names, console)
    for run in runs:
        for seed in range(run.seeds):
            _run(run, seed, base, gender_data, teacher, console)
    models = [str(model) for run in plan.TABLE for seed in range(run.seeds) for model in _models(run, seed, base)]
    if models:
        table = base.out / "table.md"
        with written_whole(table) as beside:
            beside.write_text(to_markdown(compare_models(models)) + "\n")
        console.print(f"the table: {table}")


def prepare(base: TrainConfig, gender_data: Path | None, names: list[str], console: Console) -> Path:
    """Train the teachers, where runs are taught by them, and return the file of their probabilities.

    Args and raises: As ``train_all``.
    """
    runs = [run for run in plan.TABLE if run.name in names]
    if any(run.task != "expression" for run in runs) and gender_data is None:
        raise UsageError("gender is trained on UTKFace: name it with --gender-data, or leave gender and both out with --only")
    make_folder(base.out)
    teacher = base.out / "teacher" / "teacher.npz"
    if any(run.taught for run in runs) and not teacher.is_file():
        console.print(f"teachers: {', '.join(plan.TEACHERS)}, {plan.FOLDS} folds of {plan.TEACHER_EPOCHS} epochs")
        write_teacher(replace(base, out=teacher.parent, epochs=plan.TEACHER_EPOCHS, seed=100), plan.TEACHERS, plan.FOLDS)
    return teacher


def _models(run: Run, seed: int, base: TrainConfig) -> list[Path]:
    """The models that a run has been exported to."""
    paths = [base.out / f"{run.name}-{seed}" / f"{run.name}{kind}.onnx" for kind in ("", "-int8")]
    return [path for path in paths if path.is_file()]


def _run(run: Run, seed: int, base: TrainConfig, gender_data: Path | None, teacher: Path, console: Console) -> None:
    """Train a run and export it, unless it has two heads, which the engine does not run."""
    out = base.out / f"{run.name}-{seed}"
    config = replace(base, model=run.network, out=out, seed=seed, resume=(out / "checkpoint.safetensors").exists())
    if run.as_in_paper:
        config = replace(config, **paper_preset(run.network))
    else:
        config = replace(config, epochs=run.epochs, teacher=teacher if run.taught else None, without_copies=run.without_copies)
    if run.task == "gender":
        assert gender_data is not None
        config = replace(config, task="gender", data=gender_data)
    elif run.task == "both":
        config = replace(config, task="both", gender_data=gender_data)
    if run.after is not None:
        changes = plan.LATER_STAGE if _is_later_stage(run) else {}
        config = replace(config, start=_checkpoint(run, run.after, seed, base), **changes)
    if run.distil is not None:
        other = _checkpoint(run, run.distil, seed, base)
        config = replace(config, distil=(str(other),), teacher_weight=plan.DISTIL_WEIGHT)
    console.print(f"{run.name}, seed {seed}: {config.epochs} epochs")
    accuracies = train(config).validation_by_head()
    validation = " and ".join(f"{100 * accuracy:.2f} %" for accuracy in accuracies)
    console.print(f"{run.name}, seed {seed}: validation {validation} (single crop)")
    if run.task == "both":
        return
    checkpoint, model = out / "checkpoint.safetensors", out / f"{run.name}.onnx"
    earlier_stages = {other.after for other in plan.TABLE if _is_later_stage(other)}
    final = run.name not in earlier_stages  # those are not measured on PrivateTest
    _exported(checkpoint, model, config, base, "fp32", final=final)
    if run.network in plan.INT8:
        _exported(model, out / f"{run.name}-int8.onnx", config, base, "int8", final=final)


def _is_later_stage(run: Run) -> bool:
    """Whether it fine-tunes a run of its own task."""
    return any(run.after == other.name and run.task == other.task for other in plan.TABLE)


def _checkpoint(run: Run, name: str, seed: int, base: TrainConfig) -> Path:
    """The checkpoint of the run ``name``, which ``run`` needs. Raises UsageError where there is none."""
    path = base.out / f"{name}-{seed}" / "checkpoint.safetensors"
    if not path.is_file():
        needed = " and ".join(filter(None, (run.after, run.distil)))
        raise UsageError(f"{run.name} needs {needed}: run {name} first, or leave out --only")
    return path


def _exported(source: Path, model: Path, config: TrainConfig, base: TrainConfig, precision: Precision, *, final: bool) -> None:
    """Export and measure once: PrivateTest is not read again for a model that exists."""
    if not (model.is_file() and model.stat().st_mtime >= source.stat().st_mtime):
        export(source, model, precision=precision, data=config.data, private=final, cache=base.cache)
