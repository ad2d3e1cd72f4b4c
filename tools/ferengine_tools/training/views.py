"""Augmented views of the training faces, made once, with what teachers say of each.

A student that is trained on them neither augments nor asks its teachers, so that it trains at its own speed however large they
are, and sees what they saw: L. Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferengine.errors import FerengineError, UsageError
from ferengine.json_text import json_text
from ferengine_tools.files import make_folder, written_whole
from ferengine_tools.training.augment import augment
from ferengine_tools.training.dataset import MEAN, STD, TrainingSet, normalise
from ferengine_tools.training.teacher import digest

_BATCH = 512
_IMAGES, _ANSWERS = "images.npy", "answers.npy"
RECORD = "views.json"
"""What the views are of, who answered, and the SHA-256 of the answers."""

Teach = Callable[[Tensor, Tensor], Tensor]
"""Crops as a network takes them, float32 (n, 1, S, S), and their rows, int64 (n,), to probabilities, float32 (n, C)."""


@dataclass(frozen=True, eq=False)
class Views:
    """V views of each of the N training faces, in the order of ``TrainingSet.training``.

    Attributes:
        images: uint8 (V, N, S, S).
        answers: What the teachers say of each, under the class frequencies of the face's own set, float16 (V, N, C).
    """

    images: Tensor
    answers: Tensor

    def take(self, views: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return views as a network takes them, float32 (n, 1, S, S), and their answers, float32 (n, C).

        Args:
            views: int64 (n,), 0 to V - 1.
            positions: int64 (n,), 0 to N - 1.
        """
        return normalise(self.images[views, positions]), self.answers[views, positions].float()

    def to(self, device: torch.device) -> Views:
        """Return them on ``device``; on a CPU they stay in their file, mapped."""
        return self if device.type == "cpu" else Views(self.images.to(device), self.answers.to(device))


def write_views(folder: Path, faces: TrainingSet, teach: Teach, count: int, seed: int, teachers: tuple[str, ...]) -> None:
    """Write ``count`` views of each training face with their answers.

    View v is drawn with the seed ``seed`` + v. Intensities are rounded to 8 bits, as a camera's are, before the teachers see
    them, and each teacher answers for the view and its mirror image: the mean of both is kept.

    Args:
        folder: Where the files are written. It needs about 2.4 kB for each face and view.
        faces: The faces.
        teach: The teachers.
        count: Views of each face, at least 1.
        seed: Of all random numbers.
        teachers: Names for the record.

    Raises:
        UsageError: ``count`` is below 1, or the folder cannot be used.
        FerengineError: The files cannot be written.
    """
    if count < 1:
        raise UsageError(f"there must be at least 1 view, not {count}")
    make_folder(folder)
    rows, side = faces.training, faces.images.shape[1] - 2 * faces.margin
    shapes = (count, len(rows), side, side), (count, len(rows), len(faces.labels))
    try:
        with written_whole(folder / _IMAGES) as first, written_whole(folder / _ANSWERS) as second:
            images = np.lib.format.open_memmap(first, "w+", np.uint8, shapes[0])
            answers = np.lib.format.open_memmap(second, "w+", np.float16, shapes[1])
            _take_room(first)
            _take_room(second)
            for view in range(count):
                generator = torch.Generator().manual_seed(seed + view)
                for start in range(0, len(rows), _BATCH):
                    chosen = rows[start : start + _BATCH]
                    seen = augment(normalise(faces.images[chosen], 0), generator, 1.0, faces.margin)
                    levels = (seen * STD + MEAN).round().clamp(0, 255).to(torch.uint8).squeeze(1)
                    seen = normalise(levels)
                    both = (teach(seen, chosen) + teach(seen.flip(3), chosen)) / 2
                    images[view, start : start + _BATCH] = levels.numpy()
                    answers[view, start : start + _BATCH] = both.cpu().numpy()
            images.flush()
            answers.flush()
            said = hashlib.sha256(answers.tobytes()).hexdigest()
            (folder / RECORD).unlink(missing_ok=True)  # that of other views, which these take the places of now
    except OSError as error:
        raise FerengineError(f"{folder} cannot be written: {error.strerror or error}: make room, or choose another") from None
    record = {
        "faces": digest(faces.images.numpy()),
        "rows": len(rows),
        "training": digest(rows.numpy()),
        "labels": list(faces.labels),
        "views": count,
        "seed": seed,
        "teachers": list(teachers),
        "answers": said,
    }
    with written_whole(folder / RECORD) as beside:
        beside.write_text(json_text(record, indent=1) + "\n")


def _take_room(path: Path) -> None:
    """Take the room of a mapped file on the disk: were there too little, a write to the map would end the process (SIGBUS)."""
    with path.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def load_views(folder: Path, faces: TrainingSet) -> Views:
    """Map what ``write_views`` wrote for these very faces.

    Raises:
        UsageError: The folder holds something else, or views of other faces or labels.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
        images: NDArray[np.uint8] = np.load(folder / _IMAGES, mmap_mode="c")
        answers: NDArray[np.float16] = np.load(folder / _ANSWERS, mmap_mode="c")
        training = digest(faces.training.numpy())
        known = (record["faces"], record["rows"], record.get("training", training), tuple(record["labels"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UsageError(f"{folder} does not hold the views of ferengine teach --views: {error}") from None
    count, labels = len(faces.training), faces.labels
    fits = len(images) == len(answers) and images.shape[1] == count and answers.shape[1:] == (count, len(labels))
    if known != (digest(faces.images.numpy()), count, training, labels) or not fits:
        raise UsageError(f"{folder} was made for other faces, splits or labels: make it again with ferengine teach --views")
    return Views(torch.from_numpy(images), torch.from_numpy(answers))
