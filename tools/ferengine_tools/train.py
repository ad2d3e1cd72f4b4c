"""``ferengine train``: a network on FER-2013 (chosen on PublicTest) or UTKFace (chosen on its validation split)."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

from rich.console import Console
from rich.progress import Progress

from ferengine.errors import UsageError
from ferengine_tools.files import make_folder
from ferengine_tools.networks import NETWORKS
from ferengine_tools.training.checkpoint import save_checkpoint
from ferengine_tools.training.config import TrainConfig, document_preset
from ferengine_tools.training.dataset import TrainingSet
from ferengine_tools.training.record import RunRecord
from ferengine_tools.training.trainer import Trainer

_HELP = {
    "task": "both: one trunk with a head for each",
    "labels": "ferplus8: FER-2013's labels, and contempt where FER+'s crowd says so",
    "gender_data": "UTKFace, for --task both",
    "cache": "folder in which UTKFace's cut faces are kept",
    "data": "FER-2013 (fer2013.csv, the image folders, or the tiles); for --task gender UTKFace (folder or zip). Repeat it for "
    "sets to train on beside FER-2013: the folder of wild_faces, or faces cut by ferengine data prepare",
    "out": "folder of checkpoint, log and curves",
    "optimiser": "adamw, or sgd with Nesterov momentum 0.9",
    "rate": "peak learning rate",
    "warm_up": "epochs of linear warm-up; half a cosine follows",
    "restart": "epoch after which the schedule of the rate begins anew; 0: none",
    "decay": "weight decay",
    "augment": "full: affine, blur, light, erasing; mirror: mirrored alone",
    "strength": "of the full augmentation: 2 is twice as much, 0 only mirrors and blurs",
    "smoothing": "share of the uniform distribution in the label",
    "votes": "share of the FER+ votes in the target",
    "mixup": "alpha of mixup's Beta distribution; 0: off",
    "sam": "radius of sharpness-aware minimisation, doubles the time; 0: off",
    "average": "what the averaged weights keep at each step",
    "teacher": "probabilities written by ferengine teach",
    "teacher_weight": "share of the teacher, or of --distil, in the target",
    "without_copies": "leave out training faces that are also, exactly or nearly, test faces",
    "init": "gaussian: the document's N(0, 0.04)",
    "distil": "checkpoints or models whose answers to the very batch, on average, are part of the target",
    "start": "checkpoint (its averaged weights) or model to begin from; classes that it does not know begin anew",
    "resume": "go on from the checkpoint in --out",
    "device": "auto: a GPU where there is one",
    "precision": "bf16: convolutions in bfloat16 (CPUs with AVX512-BF16 or AMX, GPUs)",
    "prior": "uniform: the loss knows each set's class frequencies, so that the network need not; data: it learns them",
    "views": "of each face in a batch, each augmented by itself: so many times the time",
    "consistency": "weight of the disagreement between the views in the loss",
    "crowd": "weight of a second head, dropped at export, that learns the FER+ votes",
    "threads": "of torch on the CPU: two burn four times the CPU of one",
}


def train(config: TrainConfig, faces: TrainingSet | None = None) -> Trainer:
    """Run it; the trainer with its averaged network. Checkpoint and log are written after each epoch, curves at the end.

    ``faces``: what to train on, where it is not the config's own. Raises UsageError for an ``out`` that cannot be used, and
    what Trainer and RunRecord raise.
    """
    make_folder(config.out)
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
            begun = time.monotonic()
            figures = trainer.train_epoch(lambda: progress.advance(bar))
            save_checkpoint(trainer.checkpoint, trainer.state())
            record.add(trainer.epoch, figures, time.monotonic() - begun)
            text = f"loss {figures.loss:.3f}, validation {100 * figures.validation_accuracy:.2f} %"
            text += "".join(f", {name} {100 * value:.2f} %" for name, value in figures.others.items())
            progress.console.print(f"epoch {trainer.epoch}: {text}")
    record.draw(config.out / "curves.png", f"{config.model} on {trainer.faces.name}")
    return trainer


def parser() -> argparse.ArgumentParser:
    """One option a field of TrainConfig, with its default."""
    result = argparse.ArgumentParser(prog="ferengine train", description=__doc__)
    result.add_argument("--preset", choices=("recipe", "document"), default="recipe",
                        help="document: its own schedule and settings, but for the options that are given")  # fmt: skip
    types = get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        option, kind = f"--{field.name.replace('_', '-')}", types[field.name]
        text = _HELP.get(field.name)
        if field.name == "model":
            result.add_argument(option, required=True, choices=sorted(NETWORKS))
        elif field.name == "data":
            result.add_argument(option, required=True, type=Path, action="append", help=text)
        elif field.name == "beside":
            continue
        elif field.name == "out":
            result.add_argument(option, required=True, type=Path, help=text)
        elif kind is bool:
            result.add_argument(option, action="store_true", help=text)
        elif isinstance(field.default, tuple):
            result.add_argument(option, nargs="+", action="extend", default=[], metavar="MODEL", help=text)
        elif isinstance(field.default, str):
            result.add_argument(option, choices=get_args(kind), default=field.default, help=text)
        else:
            result.add_argument(option, type=Path if field.default is None else kind, default=field.default, help=text)
    return result


def read_options(arguments: list[str] | None) -> TrainConfig:
    """What a command line asks for; a preset gives the values of the options that it does not name."""
    options = parser()
    given = options.parse_args(arguments)
    if given.preset == "document":
        options.set_defaults(**document_preset(given.model))
        given = options.parse_args(arguments)
    values = {name: value for name, value in vars(given).items() if name != "preset"}
    data, *beside = given.data
    return TrainConfig(**{**values, "data": data, "beside": tuple(beside), "distil": tuple(given.distil)})


def main(arguments: list[str] | None = None) -> None:
    accuracies = train(read_options(arguments)).validation_by_head()
    print(f"validation accuracy {' and '.join(f'{100 * accuracy:.2f} %' for accuracy in accuracies)} (single crop)")


if __name__ == "__main__":
    main()
