"""What a network is trained on: faces, classes, soft targets and rows of the splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import Fer2013, load_fer2013
from ferengine_tools.data.protocol import training_rows
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.teacher import load_teacher

MEAN, STD = 129.5, 65.0
"""Grey levels of FER-2013's training faces; used for every task, so that nets can share a batch."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """``images`` uint8 (N, 48, 48), ``classes`` int64 (N,), ``targets`` float32 (N, C) with rows that sum to 1, all CPU
    tensors; ``training`` and ``validation`` rows, int64. ``heads``: how many of the C ``labels`` each head of the network
    has, in order; a face belongs to the head of its class."""

    name: str
    labels: tuple[str, ...]
    heads: tuple[int, ...]
    images: Tensor
    classes: Tensor
    targets: Tensor
    training: Tensor
    validation: Tensor


def load_training_set(config: TrainConfig) -> TrainingSet:
    """The faces of ``config.task``. Raises UsageError for data that cannot be read or lack a split."""
    if config.task == "gender":
        loaded = _genders(config, config.data)
    elif config.task == "expression":
        loaded = _expressions(config)
    else:
        assert config.gender_data is not None
        loaded = _joined(_expressions(config), _genders(config, config.gender_data))
    for split, rows in (("training", loaded.training), ("validation", loaded.validation)):
        if not len(rows):
            raise UsageError(f"{config.data} has no faces of the {split} split")
    return loaded


def _expressions(config: TrainConfig) -> TrainingSet:
    data = load_fer2013(config.data, config.labels)
    taught = None if config.teacher is None else load_teacher(config.teacher, data.images, data.classes)
    return TrainingSet(
        "FER-2013" if data.votes is None or not config.votes else "FER-2013 with FER+ votes",
        data.classes,
        (len(data.classes),),
        torch.from_numpy(data.images),
        torch.from_numpy(data.labels),
        targets(data, config, taught),
        torch.from_numpy(training_rows(data, config.without_copies)),
        torch.from_numpy(data.indices("public")),
    )


def targets(data: Fer2013, config: TrainConfig, teacher: NDArray[np.float32] | None = None) -> Tensor:
    """Soft targets, float32 (N, classes): the smoothed label, mixed with what the FER+ votes say of it, mixed with the
    teacher's probabilities where there are any."""
    hard = np.eye(len(data.classes), dtype=np.float32)[data.labels]
    mixed = (1 - config.smoothing) * hard + config.smoothing / len(data.classes)
    if data.votes is not None and config.votes:
        mixed = (1 - config.votes) * mixed + config.votes * labels_by_votes(data)
    if teacher is not None:
        taught = np.isfinite(teacher).all(axis=1, keepdims=True)
        mixed = np.where(taught, (1 - config.teacher_weight) * mixed + config.teacher_weight * np.nan_to_num(teacher), mixed)
    return torch.from_numpy(mixed.astype(np.float32))


def labels_by_votes(data: Fer2013) -> NDArray[np.float32]:
    """How FER-2013 labels faces with such FER+ votes, float32 (N, classes): votes @ P(label | vote), counted on the training
    faces. The votes themselves would mislead: a third of them says neutral, and 4 % fear, where the labels say 17 and 14 %,
    so a network that learns their mixture answers neutral too often. A face that nobody voted on keeps its label."""
    assert data.votes is not None
    hard = np.eye(len(data.classes))[data.labels]
    total = data.votes.sum(axis=1, keepdims=True)
    shares = data.votes / np.maximum(total, 1)
    known = data.indices("training")
    counts = shares[known].T @ hard[known]
    given = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    return np.where(total > 0, shares @ given, hard).astype(np.float32)


def _genders(config: TrainConfig, path: Path) -> TrainingSet:
    from ferengine_tools.data.utkface import GENDERS, load_utkface, user_cache

    data = load_utkface(path, config.cache or user_cache())
    hard = np.eye(len(GENDERS), dtype=np.float32)[data.gender]
    smooth = (1 - config.smoothing) * hard + config.smoothing / len(GENDERS)
    return TrainingSet(
        "UTKFace",
        GENDERS,
        (len(GENDERS),),
        torch.from_numpy(data.images),
        torch.from_numpy(data.gender.astype(np.int64)),
        torch.from_numpy(smooth.astype(np.float32)),
        torch.from_numpy(data.indices("training")),
        torch.from_numpy(data.indices("validation")),
    )


def _joined(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Both, one head each."""
    faces = len(first.images)
    targets = torch.zeros(faces + len(second.images), len(first.labels) + len(second.labels))
    targets[:faces, : len(first.labels)] = first.targets
    targets[faces:, len(first.labels) :] = second.targets
    return TrainingSet(
        f"{first.name} and {second.name}",
        first.labels + second.labels,
        first.heads + second.heads,
        torch.cat([first.images, second.images]),
        torch.cat([first.classes, second.classes + len(first.labels)]),
        targets,
        torch.cat([first.training, second.training + faces]),
        torch.cat([first.validation, second.validation + faces]),
    )


def normalise(images: Tensor) -> Tensor:
    """uint8 (N, 48, 48) -> float32 (N, 1, 48, 48)."""
    return (images.float().unsqueeze(1) - MEAN) / STD
