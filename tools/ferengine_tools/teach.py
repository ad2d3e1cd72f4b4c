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
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferengine.errors import UsageError
from ferengine_tools.data.duplicates import find_duplicates
from ferengine_tools.data.fer2013 import LabelSet
from ferengine_tools.data.protocol import THRESHOLDS
from ferengine_tools.files import make_folder
from ferengine_tools.networks import NETWORKS
from ferengine_tools.train import train
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.dataset import TrainingSet, load_training_set
from ferengine_tools.training.teacher import save_teacher


def fold_of(faces: TrainingSet, folds: int) -> Tensor:
    """The fold of each training row, int64, by a checksum of the first picture that shows the same photograph: copies and
    near-copies share one, so that no teacher was trained on what it is asked about."""
    images = faces.images[faces.training].numpy()
    firsts = find_duplicates(images, THRESHOLDS).cluster
    return torch.tensor([zlib.crc32(images[first].tobytes()) % folds for first in firsts])


def teach(config: TrainConfig, models: Sequence[str], folds: int) -> NDArray[np.float32]:
    """Probabilities of the training faces under the data's own class frequencies, float32 (N, classes), NaN elsewhere. Each
    fold's run lies in a folder of its own under ``config.out``; finished ones are not run again, unfinished ones resumed."""
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
            result[held.numpy()] += torch.softmax(trainer.answers(held), 1).numpy() / len(models)
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
    parser.add_argument("--labels", choices=get_args(LabelSet), default="fer2013", help="as of ferengine train")
    parser.add_argument("--without-copies", action="store_true", help="as of ferengine train, whose --without-copies needs it")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    config = TrainConfig(options.model[0], options.data, options.out, labels=options.labels, epochs=options.epochs,
                         without_copies=options.without_copies, seed=options.seed, device=options.device,
                         precision=options.precision, threads=options.threads)  # fmt: skip
    make_folder(options.out)
    probabilities = teach(config, options.model, options.folds)
    faces = load_training_set(config)
    save_teacher(options.out / "teacher.npz", probabilities, faces.images.numpy(), faces.labels)
    rows = faces.training.numpy()
    right = (probabilities[rows].argmax(1) == faces.classes.numpy()[rows]).mean()
    print(f"{options.out / 'teacher.npz'}: {len(rows)} faces, out-of-fold accuracy {100 * right:.2f} %")


if __name__ == "__main__":
    main()
