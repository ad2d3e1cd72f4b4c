"""Probabilities of networks on training faces that they were not trained on, as targets for other networks.

The training faces are split into folds. For each fold a network is trained on the other folds, and its probabilities on this
fold are kept: G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, out of fold, so that nothing is passed on
that a teacher has memorised.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferengine.errors import UsageError
from ferengine_tools.data.duplicates import find_duplicates
from ferengine_tools.data.protocol import THRESHOLDS
from ferengine_tools.files import make_folder
from ferengine_tools.networks import NetworkName
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.dataset import TrainingSet, load_training_set
from ferengine_tools.training.run import train
from ferengine_tools.training.teacher import save_teacher


def fold_of(faces: TrainingSet, folds: int) -> Tensor:
    """Return the fold of each training row, int64 (N,).

    It is a checksum of the first image that shows the same photograph: copies and near-copies share a fold, so that no teacher
    was trained on a face that it is asked about.
    """
    images = faces.images[faces.training].numpy()
    firsts = find_duplicates(images, THRESHOLDS).cluster
    return torch.tensor([zlib.crc32(images[first].tobytes()) % folds for first in firsts])


def teach(config: TrainConfig, models: Sequence[NetworkName], folds: int) -> NDArray[np.float32]:
    """Train the networks of all folds and return what they say of the faces.

    Each run has a folder of its own under ``config.out``. Finished runs are not repeated, and interrupted ones are resumed.

    Args:
        config: The settings of each run; network, folder and seed are replaced.
        models: The networks, whose probabilities are averaged.
        folds: How many, at least 2.

    Returns:
        Probabilities under the data's own class frequencies, float32 (N, classes); rows of NaN for faces that are not training
        faces.

    Raises:
        UsageError: There are fewer than 2 folds, or more than there are photographs for.
    """
    if folds < 2:
        raise UsageError(f"there must be at least 2 folds, not {folds}")
    faces = load_training_set(config)
    fold = fold_of(faces, folds)
    if len(fold.unique()) < folds:
        raise UsageError(f"{folds} folds are too many for {len(fold)} faces: some would be empty")
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


def write_teacher(config: TrainConfig, models: Sequence[NetworkName], folds: int) -> tuple[Path, int, float]:
    """Write the probabilities that ``teach`` returns to ``teacher.npz`` in ``config.out``.

    Returns:
        The file, the number of training faces, and the out-of-fold accuracy as a fraction.

    Raises:
        UsageError: As ``teach``, or the folder cannot be used.
        FerengineError: The file cannot be written.
    """
    make_folder(config.out)
    probabilities = teach(config, models, folds)
    faces = load_training_set(config)
    path = config.out / "teacher.npz"
    save_teacher(path, probabilities, faces.images.numpy(), faces.labels)
    rows = faces.training.numpy()
    right = (probabilities[rows].argmax(1) == faces.classes.numpy()[rows]).mean()
    return path, len(rows), float(right)
