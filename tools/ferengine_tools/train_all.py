"""``ferengine train-all``: every model of the published table, one after the other, each exported and measured.

Finished steps are not run again and a killed one is resumed, so the command can be repeated until it has come through.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ferengine.errors import UsageError
from ferengine.models.backends import Precision
from ferengine_tools.compare import compare
from ferengine_tools.evaluation.comparison import to_markdown
from ferengine_tools.export_onnx import export
from ferengine_tools.files import written_whole
from ferengine_tools.teach import teach
from ferengine_tools.train import train
from ferengine_tools.training.config import TrainConfig, document_preset
from ferengine_tools.training.dataset import load_training_set
from ferengine_tools.training.teacher import save_teacher


@dataclass(frozen=True)
class Run:
    """One model of the table; ``taught``: by the out-of-fold teachers; ``seeds`` runs of it. ``after``: the run, of the same
    seed, from whose averaged weights it begins; ``distil``: the run that then sees every batch with it. ``without_copies``:
    of the test faces."""

    name: str
    network: str
    epochs: int
    seeds: int = 1
    task: str = "expression"
    taught: bool = False
    document: bool = False
    after: str | None = None
    distil: str | None = None
    without_copies: bool = False


TABLE = (
    Run("cnn-document", "cnn", 0, document=True),
    Run("vgg-document", "vgg", 0, document=True),
    Run("resnet18-document", "resnet18", 0, document=True),
    Run("dscnn-document", "dscnn", 0, document=True),
    Run("cnn", "cnn", 60, taught=True),
    Run("vgg", "vgg", 90, taught=True),
    Run("resnet18", "resnet18", 90, taught=True),
    Run("dscnn", "dscnn", 120, seeds=2, taught=True),
    Run("fast", "fast", 120, seeds=2, taught=True),
    Run("standard-first", "standard", 120, seeds=2, taught=True),
    Run("accurate-first", "accurate", 120, seeds=2, taught=True),
    Run("standard", "standard", 40, seeds=2, after="standard-first", distil="accurate-first"),
    Run("accurate", "accurate", 40, seeds=2, after="accurate-first", distil="standard-first"),
    Run("standard-without-copies", "standard", 120, without_copies=True),
    Run("gender-standard", "standard", 48, seeds=2, task="gender", after="standard"),
    Run("gender", "fast", 32, seeds=2, task="gender", after="fast", distil="gender-standard"),
    Run("both", "fast", 40, task="both"),
)
INT8 = ("fast", "standard", "accurate")
"""Networks that int8 makes faster on a CPU; depthwise convolutions it slows down."""
LEG: dict[str, Any] = {"rate": 2e-3, "warm_up": 0.5, "decay": 0.1}
"""Of runs that go on from others of their task."""
DISTIL_WEIGHT = 0.4
"""The share of ``distil`` in the target."""
TEACHERS, FOLDS, TEACHER_EPOCHS = ("resnet18", "standard", "accurate"), 5, 60


def train_all(base: TrainConfig, gender_data: Path | None, names: list[str], console: Console) -> None:
    """Train, export to ``base.out`` and measure the runs called ``names`` of the table; ``base`` gives data and machine."""
    runs = [run for run in TABLE if run.name in names]
    if any(run.task != "expression" for run in runs) and gender_data is None:
        raise UsageError("gender is trained on UTKFace: name it with --gender-data, or leave gender and both out with --only")
    teacher = base.out / "teacher" / "teacher.npz"
    if any(run.taught for run in runs) and not teacher.is_file():
        console.print(f"teachers: {', '.join(TEACHERS)}, {FOLDS} folds of {TEACHER_EPOCHS} epochs")
        probabilities = teach(replace(base, out=teacher.parent, epochs=TEACHER_EPOCHS, seed=100), TEACHERS, FOLDS)
        faces = load_training_set(base)
        save_teacher(teacher, probabilities, faces.images.numpy(), faces.labels)
    models = [
        file for run in runs for seed in range(run.seeds) for file in _run(run, seed, base, gender_data, teacher, console)
    ]
    if models:
        table = base.out / "table.md"
        with written_whole(table) as beside:
            beside.write_text(to_markdown(compare([str(model) for model in models])) + "\n")
        console.print(f"the table: {table}")


def _run(run: Run, seed: int, base: TrainConfig, gender_data: Path | None, teacher: Path, console: Console) -> list[Path]:
    """Train it, and the models exported: none of two heads, which the engine does not run."""
    out = base.out / f"{run.name}-{seed}"
    config = replace(base, model=run.network, out=out, seed=seed, resume=(out / "checkpoint.safetensors").exists())
    if run.document:
        config = replace(config, **document_preset(run.network))
    else:
        config = replace(config, epochs=run.epochs, teacher=teacher if run.taught else None, without_copies=run.without_copies)
    if run.task == "gender":
        assert gender_data is not None
        config = replace(config, task="gender", data=gender_data)
    elif run.task == "both":
        config = replace(config, task="both", gender_data=gender_data)
    if run.after is not None:
        config = replace(config, start=_checkpoint(run, run.after, seed, base), **(LEG if _goes_on(run) else {}))
    if run.distil is not None:
        other = _checkpoint(run, run.distil, seed, base)
        config = replace(config, distil=(str(other),), teacher_weight=DISTIL_WEIGHT)
    console.print(f"{run.name}, seed {seed}: {config.epochs} epochs")
    accuracies = train(config).validation_by_head()
    told = " and ".join(f"{100 * accuracy:.2f} %" for accuracy in accuracies)
    console.print(f"{run.name}, seed {seed}: validation {told} (single crop)")
    if run.task == "both":
        return []
    checkpoint, model = out / "checkpoint.safetensors", out / f"{run.name}.onnx"
    on_the_way = {other.after for other in TABLE if _goes_on(other)}
    final = run.name not in on_the_way  # those are not looked at on PrivateTest
    _exported(checkpoint, model, config, base, "fp32", final=final)
    if run.network not in INT8:
        return [model]
    int8 = out / f"{run.name}-int8.onnx"
    _exported(model, int8, config, base, "int8", final=final)
    return [model, int8]


def _goes_on(run: Run) -> bool:
    """Whether it begins from a run of its own task."""
    return any(run.after == other.name and run.task == other.task for other in TABLE)


def _checkpoint(run: Run, name: str, seed: int, base: TrainConfig) -> Path:
    """Of the run ``name``, which ``run`` needs. Raises UsageError where it has not been run."""
    path = base.out / f"{name}-{seed}" / "checkpoint.safetensors"
    if not path.is_file():
        needed = " and ".join(filter(None, (run.after, run.distil)))
        raise UsageError(f"{run.name} begins from {needed}: run {name} first, or leave out --only")
    return path


def _exported(source: Path, model: Path, config: TrainConfig, base: TrainConfig, precision: Precision, *, final: bool) -> None:
    """Export and measure, once: PrivateTest is not read again for a model that is there."""
    if not (model.is_file() and model.stat().st_mtime >= source.stat().st_mtime):
        export(source, model, precision=precision, data=config.data, private=final, cache=base.cache)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine train-all", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="FER-2013")
    parser.add_argument("--gender-data", type=Path, help="UTKFace")
    parser.add_argument("--out", required=True, type=Path, help="folder of all runs")
    parser.add_argument("--only", action="append", choices=[run.name for run in TABLE], help="repeat for several")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    names = options.only or [run.name for run in TABLE]
    base = TrainConfig("standard", options.data, options.out, cache=options.out, device=options.device,
                       precision=options.precision, threads=options.threads)  # fmt: skip
    train_all(base, options.gender_data, names, Console())


if __name__ == "__main__":
    main()
