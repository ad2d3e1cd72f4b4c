"""How fast ``ferengine train`` is on this GPU: a run alone, and several side by side, which share one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from ferengine.errors import FerengineError
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.dataset import Part, TrainingSet
from ferengine_tools.training.trainer import Trainer

_FER2013 = 28709
"""Training faces of FER-2013, for the time of an epoch."""
_VALIDATION = 32
_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def random_faces(count: int) -> TrainingSet:
    """``count`` training faces of noise, and a few to validate on: steps take as long as on real ones."""
    total = count + _VALIDATION
    random = torch.Generator().manual_seed(0)
    classes = torch.randint(0, len(_CLASSES), (total,), generator=random)
    images = torch.randint(0, 256, (total, 48, 48), dtype=torch.uint8, generator=random)
    rows = torch.arange(total)
    part = Part("random", torch.full((len(_CLASSES),), 1 / len(_CLASSES)), rows[count:])
    return TrainingSet(
        "random", _CLASSES, (len(_CLASSES),), images, classes, torch.eye(len(_CLASSES))[classes], rows[:count], rows[count:],
        (part,), torch.zeros(total, dtype=torch.int64),
    )  # fmt: skip


def measure(config: TrainConfig, steps: int) -> str:
    """One line: milliseconds a step, faces a second, seconds an epoch of FER-2013.

    Args:
        config: What is trained, in the default recipe.
        steps: How many are measured, after as many that capture the step and let clocks rise.
    """
    trainer = Trainer(config, random_faces(steps * config.batch))
    trainer.train_epoch()
    begun = time.perf_counter()
    trainer.train_epoch()  # reads the loss at its end, so the device is done
    seconds = (time.perf_counter() - begun) / steps
    return (
        f"{config.model}, batch {config.batch}: {1e3 * seconds:.2f} ms a step, {config.batch / seconds:,.0f} faces/s, "
        f"{_FER2013 / config.batch * seconds:.2f} s an epoch of FER-2013"
    )


def side_by_side(jobs: int, arguments: list[str]) -> list[str]:
    """The lines of ``jobs`` processes that measure at once."""
    command = [sys.executable, "-m", "ferengine_tools.gpu_check.train_speed", *arguments]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(jobs)]
    return [(run.communicate()[0].strip().splitlines() or [f"exit code {run.returncode}"])[-1] for run in runs]


def main(
    models: Annotated[list[str] | None, typer.Argument(metavar="NETWORK...", help="Default: fast, standard.")] = None,
    batch: Annotated[int, typer.Option(help="Faces in a batch.")] = 256,
    steps: Annotated[int, typer.Option(help="Steps that are measured, after as many before.")] = 100,
    jobs: Annotated[int, typer.Option(help="Also measure the first network in so many processes at once.")] = 0,
    cpu: Annotated[bool, typer.Option("--cpu", help="Run on the CPU instead: tries the script, not the GPU.")] = False,
) -> None:
    """Measure training steps."""
    names = models or ["fast", "standard"]
    device, precision = ("cpu", "fp32") if cpu else ("cuda", "bf16")
    for name in names:
        config = TrainConfig(
            name, Path("none"), Path("none"), batch=batch, device=device, precision=precision, threads=1  # type: ignore[arg-type]
        )  # fmt: skip
        typer.echo(measure(config, steps))
    if jobs:
        arguments = [names[0], "--batch", str(batch), "--steps", str(steps), *(["--cpu"] if cpu else [])]
        for line in side_by_side(jobs, arguments):
            typer.echo(f"one of {jobs} side by side: {line}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerengineError as error:
        raise SystemExit(f"error: {error}") from None
