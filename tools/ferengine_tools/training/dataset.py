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
from ferengine_tools.data.wild_faces import ROOM, is_wild_faces, load_wild_faces
from ferengine_tools.training.config import TrainConfig
from ferengine_tools.training.priors import class_prior
from ferengine_tools.training.teacher import digest, load_teacher

MEAN, STD = 129.5, 65.0
"""Mean and standard deviation of the intensities of FER-2013's training faces. They are used for every task, so that networks
can share a batch."""


@dataclass(frozen=True, eq=False)
class Part:
    """One of the data sets that make a TrainingSet.

    Attributes:
        name: Of the set.
        prior: Its class frequencies in training, smoothed, float32 (C,); 1 over the classes of the head for heads that it has
            no faces of.
        validation: Rows, int64.
    """

    name: str
    prior: Tensor
    validation: Tensor


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a network is trained on. All tensors are on the CPU.

    Attributes:
        name: Of the sets.
        labels: The names of the C classes.
        heads: How many of the labels each head of the network has, in order; a face belongs to the head of its class.
        images: uint8 (N, 48 + 2 ``margin``, 48 + 2 ``margin``), whose middle is the crop.
        classes: int64 (N,).
        targets: float32 (N, C), rows sum to 1, under the class frequencies of the face's own set.
        training: Rows, int64.
        validation: Rows of the first set, int64.
        parts: The data sets.
        part_of: The set of each face, int64 (N,).
        margin: Pixels around the crop.
        crowd: The fractions of the FER+ votes, float32 (N, C), rows of zeros for faces without votes; None where they are not
            wanted.
    """

    name: str
    labels: tuple[str, ...]
    heads: tuple[int, ...]
    images: Tensor
    classes: Tensor
    targets: Tensor
    training: Tensor
    validation: Tensor
    parts: tuple[Part, ...]
    part_of: Tensor
    margin: int = 0
    crowd: Tensor | None = None

    def digest_of_labels(self) -> str:
        """The SHA-256 of what is said of the images: their classes and targets, and which are for training."""
        said = [self.classes, self.targets, self.training, self.validation, self.part_of]
        return digest(*(tensor.numpy() for tensor in said + ([] if self.crowd is None else [self.crowd])))


def load_training_set(config: TrainConfig) -> TrainingSet:
    """Load the faces of ``config.task``.

    Raises:
        UsageError: The data cannot be read or lack a split.
    """
    if config.task == "gender":
        loaded = _genders(config, config.data)
    elif config.task == "expression":
        loaded = _expressions(config)
        for path in config.beside:
            loaded = _mixed(loaded, _others(config, path))
    else:
        assert config.gender_data is not None
        loaded = _joined(_expressions(config), _genders(config, config.gender_data))
    if config.crowd and (loaded.crowd is None or not loaded.crowd.any()):
        raise UsageError("--crowd needs FER+ votes, which the data do not have: put fer2013new.csv beside fer2013.csv")
    _check(config, loaded)
    return loaded


def _check(config: TrainConfig, loaded: TrainingSet) -> None:
    """Refuse two sets of one name, and sets that would add nothing to the training or the validation."""
    names = [part.name for part in loaded.parts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two sets of --data are called {twice}, and the log and --distil tell them by name: rename one")
    sources = {"expression": (config.data, *config.beside), "gender": (config.data,), "both": (config.data, config.gender_data)}
    for number, (part, source) in enumerate(zip(loaded.parts, sources[config.task], strict=True)):
        if not (loaded.part_of[loaded.training] == number).any():
            raise UsageError(f"{source} has no faces of the training split")
        if not len(part.validation) and (number == 0 or config.task == "both"):
            raise UsageError(f"{source} has no faces of the validation split")


def _expressions(config: TrainConfig) -> TrainingSet:
    data = load_fer2013(config.data, config.labels)
    taught = None if config.teacher is None else load_teacher(config.teacher, data.images, data.classes)
    if data.votes is None and config.votes not in (0, TrainConfig.votes):
        raise UsageError(f"--votes {config.votes:g} needs FER+ votes, which {config.data} has not: leave it out")
    name = data.name if data.votes is None or not (config.votes or config.crowd) else f"{data.name} with FER+ votes"
    return _of_fer2013(config, data, "FER-2013", name, taught)


def _of_fer2013(
    config: TrainConfig, data: Fer2013, part: str, name: str, teacher: NDArray[np.float32] | None = None
) -> TrainingSet:
    """Of FER-2013, or of faces in its layout."""
    rows = training_rows(data, config.without_copies)
    if teacher is not None and np.isfinite(teacher[np.setdiff1d(data.indices("training"), rows)]).any():
        raise UsageError(
            f"{config.teacher} was taught by copies of test faces: make it again with ferengine teach --without-copies"
        )
    training = torch.from_numpy(rows)
    validation = torch.from_numpy(data.indices("public"))
    labels = torch.from_numpy(data.labels)
    prior = class_prior(labels[training], len(data.classes))
    return TrainingSet(
        name,
        data.classes,
        (len(data.classes),),
        torch.from_numpy(data.images),
        labels,
        targets(data, config, teacher, prior.numpy() if config.prior == "uniform" else None),
        training,
        validation,
        (Part(part, prior, validation),),
        torch.zeros(len(labels), dtype=torch.int64),
        crowd=_crowd(data) if config.crowd else None,
    )


def _crowd(data: Fer2013) -> Tensor:
    """The fraction of the votes for each class, float32 (N, classes)."""
    if data.votes is None:
        return torch.zeros(len(data.labels), len(data.classes))
    return torch.from_numpy((data.votes / np.maximum(data.votes.sum(axis=1, keepdims=True), 1)).astype(np.float32))


def _others(config: TrainConfig, path: Path) -> TrainingSet:
    """A data set to train on beside FER-2013: wild_faces, or faces in FER-2013's layout, such as ``data prepare`` gives."""
    if not is_wild_faces(path):
        data = load_fer2013(path, config.labels)
        return _of_fer2013(config, data, path.resolve().name, data.name)
    faces = load_wild_faces(path)
    count = 8 if config.labels == "ferplus8" else len(faces.classes)
    training, validation = (torch.from_numpy(faces.indices(split)) for split in ("training", "validation"))
    classes = torch.from_numpy(faces.labels)
    prior = class_prior(classes[training], count)
    hard = np.eye(count, dtype=np.float32)[faces.labels]
    return TrainingSet(
        "wild_faces",
        faces.classes,
        (count,),
        torch.from_numpy(faces.images),
        classes,
        torch.from_numpy(smoothed(hard, config.label_smoothing, prior.numpy())),
        training,
        validation,
        (Part("wild_faces", prior, validation),),
        torch.zeros(len(classes), dtype=torch.int64),
        ROOM,
        torch.zeros(len(classes), count) if config.crowd else None,
    )


def smoothed(hard: NDArray[np.float32], fraction: float, prior: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Label smoothing after C. Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7.

    Under an adjusted loss it must be towards the set's own frequencies. Were fear given 1/70 of every neutral face where it is
    1/300 of the faces, the best answer to a neutral face under a uniform prior would be fear.

    Args:
        hard: labels, float32 (N, C), one 1 a row.
        fraction: of each label, 0 to 1, that is drawn at random.
        prior: float32 (C,), the frequencies that it is drawn by; ``None`` for uniform ones.

    Returns:
        float32 (N, C), rows that sum to 1.
    """
    drawn = np.full(hard.shape[1], 1 / hard.shape[1], np.float32) if prior is None else prior
    return ((1 - fraction) * hard + fraction * drawn).astype(np.float32)


def targets(
    data: Fer2013,
    config: TrainConfig,
    teacher: NDArray[np.float32] | None = None,
    prior: NDArray[np.float32] | None = None,
) -> Tensor:
    """Soft targets, float32 (N, classes): the smoothed label, mixed with what the FER+ votes say of it, mixed with the
    teacher's probabilities where there are any.

    All are meant under the data's own class frequencies: votes are counted against its labels, ``ferengine teach`` writes
    probabilities under that prior, and smoothing is towards ``prior``, float32 (classes,), where it is given.
    """
    hard = np.eye(len(data.classes), dtype=np.float32)[data.labels]
    mixed = smoothed(hard, config.label_smoothing, prior)
    if data.votes is not None and config.votes:
        mixed = (1 - config.votes) * mixed + config.votes * labels_by_votes(data)
    if teacher is not None:
        taught = np.isfinite(teacher).all(axis=1, keepdims=True)
        mixed = np.where(taught, (1 - config.teacher_weight) * mixed + config.teacher_weight * np.nan_to_num(teacher), mixed)
    return torch.from_numpy(mixed.astype(np.float32))


def labels_by_votes(data: Fer2013) -> NDArray[np.float32]:
    """How FER-2013 labels faces with such FER+ votes, float32 (N, classes): votes @ P(label | vote), counted on the training
    faces. The votes themselves would mislead: a third of them say neutral, and 4 % fear, where the labels say 17 and 14 %,
    so a network that learns their mixture answers neutral too often. A face without votes keeps its label."""
    assert data.votes is not None
    hard = np.eye(len(data.classes))[data.labels]
    total = data.votes.sum(axis=1, keepdims=True)
    fractions = data.votes / np.maximum(total, 1)
    known = data.indices("training")
    counts = fractions[known].T @ hard[known]
    given = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    return np.where(total > 0, fractions @ given, hard).astype(np.float32)


_INKLING = 0.1
"""The part of its label that an undecided face keeps: the larger score still says what is likelier (0.55, which is far from
the 0.6 that a label needs), where a label of nothing would make it a throw of a coin."""


def _genders(config: TrainConfig, path: Path) -> TrainingSet:
    from ferengine_tools.data.utkface import GENDERS, load_utkface, user_cache

    data = load_utkface(path, config.cache or user_cache())
    classes = torch.from_numpy(data.gender.astype(np.int64))
    training, validation = (torch.from_numpy(data.indices(split)) for split in ("training", "validation"))
    prior = class_prior(classes[training], len(GENDERS))
    hard = np.eye(len(GENDERS), dtype=np.float32)[data.gender]
    own = prior.numpy() if config.prior == "uniform" else np.full(len(GENDERS), 1 / len(GENDERS), np.float32)
    smooth = smoothed(hard, config.label_smoothing, own)
    undecided = data.age < config.undecided_under
    smooth[undecided] = smoothed(hard, 1 - _INKLING, own)[undecided]  # under a uniform prior this is 1/2 and a little
    return TrainingSet(
        "UTKFace",
        GENDERS,
        (len(GENDERS),),
        torch.from_numpy(data.images),
        classes,
        torch.from_numpy(smooth),
        training,
        validation,
        (Part("UTKFace", prior, validation),),
        torch.zeros(len(classes), dtype=torch.int64),
    )


def _joined(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Both, one head each."""
    faces = len(first.images)
    targets = torch.zeros(faces + len(second.images), len(first.labels) + len(second.labels))
    targets[:faces, : len(first.labels)] = first.targets
    targets[faces:, len(first.labels) :] = second.targets
    uniform = [torch.full((len(each.labels),), 1 / len(each.labels)) for each in (first, second)]
    return TrainingSet(
        f"{first.name} and {second.name}",
        first.labels + second.labels,
        first.heads + second.heads,
        torch.cat([first.images, second.images]),
        torch.cat([first.classes, second.classes + len(first.labels)]),
        targets,
        torch.cat([first.training, second.training + faces]),
        torch.cat([first.validation, second.validation + faces]),
        (
            *(Part(each.name, torch.cat([each.prior, uniform[1]]), each.validation) for each in first.parts),
            *(Part(each.name, torch.cat([uniform[0], each.prior]), each.validation + faces) for each in second.parts),
        ),
        torch.cat([first.part_of, second.part_of + len(first.parts)]),
    )


def _mixed(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Faces of both for one head, each with its own class frequencies. An epoch takes every training face of every set once.
    Images without room around the crop get their border repeated."""
    faces, margin = len(first.images), max(first.margin, second.margin)
    crowds = [each.crowd for each in (first, second) if each.crowd is not None]
    return TrainingSet(
        f"{first.name} and {second.name}",
        first.labels,
        first.heads,
        torch.cat([_widened(each, margin) for each in (first, second)]),
        torch.cat([first.classes, second.classes]),
        torch.cat([first.targets, second.targets]),
        torch.cat([first.training, second.training + faces]),
        first.validation,
        (*first.parts, *(Part(each.name, each.prior, each.validation + faces) for each in second.parts)),
        torch.cat([first.part_of, second.part_of + len(first.parts)]),
        margin,
        torch.cat(crowds) if crowds else None,
    )


def _widened(faces: TrainingSet, margin: int) -> Tensor:
    """The images with ``margin`` pixels around the crop."""
    more = margin - faces.margin
    return torch.from_numpy(np.pad(faces.images.numpy(), ((0, 0), (more, more), (more, more)), mode="edge"))


def normalise(images: Tensor, margin: int = 0) -> Tensor:
    """The middle of uint8 (N, 48 + 2 ``margin``, the same), float32 (N, 1, 48, 48)."""
    middle = images[:, margin : images.shape[1] - margin, margin : images.shape[2] - margin]
    return (middle.float().unsqueeze(1) - MEAN) / STD
