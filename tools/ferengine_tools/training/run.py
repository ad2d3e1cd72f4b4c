"""A training run from its settings to its checkpoint, log and curves."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import Progress

from ferengine.errors import FerengineError, UsageError
from ferengine_tools.files import make_folder
from ferengine_tools.training.checkpoint import save_checkpoint
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.dataset import TrainingSet
from ferengine_tools.training.memory import keep_freed_memory
from ferengine_tools.training.record import RunRecord
from ferengine_tools.training.trainer import EpochMetrics, Trainer


def train(config: TrainConfig, faces: TrainingSet | None = None) -> Trainer:
    """Train a network. The checkpoint and the log are written after each epoch, the curves at the end.

    Args:
        config: The settings.
        faces: The faces to train on; those of ``config`` if None.

    Returns:
        The trainer, with the averaged network.

    Raises:
        UsageError: ``config.out`` cannot be used, or data or settings do not fit together.
        ModelError: A network to start from or to learn from does not fit.
        FerengineError: The checkpoint or the log cannot be written, or the weights are no numbers any more.
    """
    make_folder(config.out)
    keep_freed_memory()
    trainer = Trainer(config, faces)
    if config.resume:
        trainer.restore()
    elif trainer.checkpoint.exists():
        raise UsageError(f"{trainer.checkpoint} exists already: pass --resume, or choose another --out")
    record = RunRecord(config.out, trainer.epoch)
    with Progress(console=Console(stderr=True, highlight=False)) as progress:
        bar = progress.add_task("training", total=config.epochs * trainer.steps, completed=trainer.epoch * trainer.steps)
        while trainer.epoch < config.epochs:
            progress.update(bar, description=f"epoch {trainer.epoch + 1} of {config.epochs}")
            started = time.monotonic()
            metrics = trainer.train_epoch(lambda: progress.advance(bar))
            _refuse_diverged(trainer, metrics)
            record.add(trainer.epoch, metrics, time.monotonic() - started)  # first: a row without a checkpoint is dropped again
            save_checkpoint(trainer.checkpoint, trainer.state())
            text = f"loss {metrics.loss:.3f}, validation {100 * metrics.validation_accuracy:.2f} %"
            text += "".join(f", {name} {_shown(name, value)}" for name, value in metrics.others.items())
            progress.console.print(f"epoch {trainer.epoch}: {text}")
    record.draw(config.out / "curves.png", f"{config.model} on {trainer.faces.name}")
    return trainer


def _refuse_diverged(trainer: Trainer, metrics: EpochMetrics) -> None:
    """End a run whose weights have grown beyond all numbers: they do not come back, and it would count as one class."""
    if math.isfinite(metrics.loss) and math.isfinite(metrics.validation_loss):
        return
    kept = f"; the checkpoint of the epoch before is still in {trainer.checkpoint}" if trainer.checkpoint.exists() else ""
    raise FerengineError(
        f"in epoch {trainer.epoch} the weights grew beyond all numbers (loss {metrics.loss:g}, of the validation faces "
        f"{metrics.validation_loss:g}): choose a smaller --rate{kept}"
    )


def _shown(name: str, value: float) -> str:
    """A metric of ``EpochMetrics.others``: all are fractions but the power of the prior."""
    return f"{value:g}" if name.endswith("_power") else f"{100 * value:.2f} %"
