"""``ferengine teach``: what networks say of training faces that they were not trained on, as targets for others.

The training faces are cut into folds; for each a network is trained on the others, and its probabilities on the fold are
kept: G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, out of fold, so that what a teacher learnt by
heart is not passed on. Several ``--model`` are averaged.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferengine.errors import UsageError
from ferengine_tools.networks import NETWORKS
from ferengine_tools.train import train
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.dataset import TrainingSet, load_training_set


def fold_of(faces: TrainingSet, folds: int) -> Tensor:
    """The fold of each training row, int64, by a checksum of the picture: exact copies share one."""
    images = faces.images[faces.training].numpy()
    return torch.tensor([zlib.crc32(image.tobytes()) % folds for image in images])


def teach(config: TrainConfig, models: Sequence[str], folds: int) -> NDArray[np.float32]:
    """Probabilities of the training faces, float32 (N, classes), NaN elsewhere. Each fold's run lies in a folder of its own
    under ``config.out``; finished ones are not run again, unfinished ones resumed."""
    if folds < 2:
        raise UsageError(f"there must be at least 2 folds, not {folds}")
    faces = load_training_set(config)
    fold = fold_of(faces, folds)
    result = np.zeros((len(faces.images), len(faces.labels)), np.float32)
    for model in models:
        for number in range(folds):
            held = faces.training[fold == number]
            others = replace(faces, training=faces.training[fold != number], validation=held)
            out = config.out / f"{model}-{number}"
            run = replace(config, model=model, out=out, seed=config.seed + number,
                          resume=(out / "checkpoint.safetensors").exists())  # fmt: skip
            trainer = train(run, others)
            result[held.numpy()] += torch.softmax(trainer.logits(held), 1).numpy() / len(models)
    outside = np.setdiff1d(np.arange(len(result)), faces.training.numpy())
    result[outside] = np.nan
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine teach", description=__doc__)
    parser.add_argument("--model", required=True, action="append", choices=sorted(NETWORKS), help="repeat for an ensemble")
    parser.add_argument("--data", required=True, type=Path, help="FER-2013")
    parser.add_argument("--out", required=True, type=Path, help="folder of the folds; teacher.npz is written there")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    config = TrainConfig(options.model[0], options.data, options.out, epochs=options.epochs, seed=options.seed,
                         device=options.device, precision=options.precision, threads=options.threads)  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    probabilities = teach(config, options.model, options.folds)
    faces = load_training_set(config)
    np.savez_compressed(options.out / "teacher.npz", probabilities=probabilities, labels=np.array(faces.labels))
    rows = faces.training.numpy()
    right = (probabilities[rows].argmax(1) == faces.classes.numpy()[rows]).mean()
    print(f"{options.out / 'teacher.npz'}: {len(rows)} faces, out-of-fold accuracy {100 * right:.2f} %")


if __name__ == "__main__":
    main()
