"""A small network of three heads in colour: expression, perceived gender presentation and perceived age.

It shows how a model of one's own is made, from the data to one ONNX file with named heads. Expressions are learnt on
FER-2013, which is grey, the others on UTKFace: no face has all labels, and each head learns on those that have its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.registry import parse_manifest
from ferengine_tools.data.fer2013 import NAME as FER2013
from ferengine_tools.data.fer2013 import Fer2013
from ferengine_tools.data.utkface import GENDERS, SPLITS, ColourFaces
from ferengine_tools.evaluation.faces import resize
from ferengine_tools.exporting.export import written_model
from ferengine_tools.training.augment import move

MAX_AGE = 116
"""Years: the oldest face of UTKFace."""

_MEAN, _STD = 0.5, 0.25
_WIDTHS = (16, 32, 64, 128)
_BATCH, _RATE = 64, 2e-3
_TINT = 0.25


class ThreeHeads(nn.Module):
    """(N, 3, S, S) -> four halvings with 16, 32, 64 and 128 channels -> mean -> expression, gender, age."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.expression = nn.Linear(before, classes)
        self.gender = nn.Linear(before, len(GENDERS))
        self.age = nn.Linear(before, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of expression and gender, and the age in years, (N, 1)."""
        features = self.body(x).mean((2, 3))
        return self.expression(features), self.gender(features), MAX_AGE * torch.sigmoid(self.age(features))


@dataclass(frozen=True)
class Measured:
    """What the network gets right on faces that it was not trained on.

    Attributes:
        expression: Accuracy on PublicTest, a fraction.
        gender: Accuracy on UTKFace's validation split, a fraction.
        age_error: Mean absolute error there, years.
        dataset: What the faces of ``expression`` are called where they are not FER-2013.
    """

    expression: float
    gender: float
    age_error: float
    dataset: str | None = None


def train_heads(
    fer: Fer2013,
    people: ColourFaces,
    *,
    size: int,
    epochs: int,
    seed: int,
    report: Callable[[str], None],
) -> tuple[ThreeHeads, Measured]:
    """Train the network, and measure it on PublicTest and on UTKFace's validation split.

    Args:
        fer: The faces with expressions.
        people: The faces with gender and age, of ``size`` pixels.
        size: The side of the crops.
        epochs: How often the training faces of FER-2013 are seen; of UTKFace as many are seen with each.
        seed: Of weights and batches.
        report: Called with a line after each epoch.

    Raises:
        UsageError: One of the sets has no faces to train on, or none to measure on.
    """
    for name, count in (
        ("training split of FER-2013", len(fer.indices("training"))),
        ("PublicTest of FER-2013", len(fer.indices("public"))),
        *((f"{split} split of UTKFace", int((people.split == SPLITS.index(split)).sum())) for split in SPLITS[:2]),
    ):
        if not count:
            raise UsageError(f"there are no faces of the {name}")
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    network = ThreeHeads(len(fer.classes))
    faces = torch.from_numpy(resize(fer.images, size))
    emotions, portraits = torch.from_numpy(fer.labels), torch.from_numpy(people.images)
    genders, ages = torch.from_numpy(people.gender), torch.from_numpy(people.age).float()
    training = torch.from_numpy(fer.indices("training"))
    others = torch.from_numpy(np.flatnonzero(people.split == SPLITS.index("training")))
    steps = math.ceil(len(training) / _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=max(2, epochs * steps))
    for epoch in range(1, epochs + 1):
        network.train()
        order, total = training[torch.randperm(len(training), generator=generator)], 0.0
        for rows in order.split(_BATCH):
            also = others[torch.randint(len(others), (len(rows),), generator=generator)]
            batch = torch.cat([_tinted(faces[rows], generator), _sometimes_grey(portraits[also], generator)])
            expression, gender, age = network(move(_normalised(batch), generator))
            count = len(rows)
            loss = functional.cross_entropy(expression[:count], emotions[rows], label_smoothing=0.1)
            loss = loss + functional.cross_entropy(gender[count:], genders[also])
            loss = loss + functional.smooth_l1_loss(age[count:, 0] / 10, ages[also] / 10)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        report(f"epoch {epoch} of {epochs}: loss {total / max(1, len(order.split(_BATCH))):.3f}")
    return network, _measure(network, fer, faces, people)


@torch.no_grad()
def _measure(network: ThreeHeads, fer: Fer2013, faces: Tensor, people: ColourFaces) -> Measured:
    network.eval()
    public, validation = fer.indices("public"), np.flatnonzero(people.split == SPLITS.index("validation"))
    grey = faces[torch.from_numpy(public)][:, None].expand(-1, 3, -1, -1)
    expression = _outputs(network, grey)[0].argmax(1)
    _, gender, age = _outputs(network, torch.from_numpy(people.images[validation]))
    return Measured(
        float((expression == fer.labels[public]).mean()),
        float((gender.argmax(1) == people.gender[validation]).mean()),
        float(np.abs(age[:, 0] - people.age[validation]).mean()),
        None if fer.name == FER2013 else fer.name,
    )


def _outputs(network: ThreeHeads, images: Tensor) -> list[NDArray[np.float32]]:
    parts = [network(_normalised(batch.float())) for batch in images.split(256)]
    return [torch.cat(each).numpy() for each in zip(*parts, strict=True)]


def _normalised(images: Tensor) -> Tensor:
    return (images / 255 - _MEAN) / _STD


def _tinted(grey: Tensor, generator: Generator) -> Tensor:
    """Grey faces (N, S, S) in the light of random colours, (N, 3, S, S): what is learnt on them must hold in colour."""
    gains = 1 + _TINT * (2 * torch.rand(len(grey), 3, 1, 1, generator=generator) - 1)
    return (grey[:, None].float() * gains).clamp(max=255)


def _sometimes_grey(images: Tensor, generator: Generator) -> Tensor:
    """Colour faces, half of them grey: otherwise colour alone would tell the two data sets apart."""
    images = images.float()
    luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(chosen, luma, images)


def export_heads(
    network: ThreeHeads, out: Path, *, size: int, labels: tuple[str, ...], training: dict[str, Any], measured: Measured
) -> None:
    """Write ``out``, an ONNX file with the outputs expression, gender_presentation and age, and its manifest beside it.

    Raises:
        UsageError: The folder cannot be made, or a file in the manifest's place is no manifest.
        FerengineError: A file cannot be written.
    """
    heads: list[dict[str, Any]] = [
        {"name": "expression", "kind": "classes", "labels": labels},
        {"name": "gender_presentation", "kind": "classes", "labels": GENDERS, "smoothing": 10},
        {"name": "age", "kind": "values", "labels": ["years"], "ranges": {"years": [0, MAX_AGE]}, "smoothing": 10},
    ]
    names = [head["name"] for head in heads]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is called deprecated, but needs no further package
        torch.onnx.export(
            network.eval(), (torch.zeros(1, 3, size, size),), buffer, opset_version=17, input_names=["crops"],
            output_names=names, dynamic_axes={name: {0: "n"} for name in ("crops", *names)}, dynamo=False,
        )  # fmt: skip
    data = buffer.getvalue()
    manifest = {
        "name": out.stem,
        "file": out.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "network": "three heads",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "heads": heads,
        "input": {"size": size, "channels": 3, "white": 1, "mean": _MEAN, "std": _STD},
        "training": training,
        "accuracy": {
            "public": round(measured.expression, 4),
            "command": str(training["command"]),
            "dataset": measured.dataset,
        },
        "licence": "not stated: FER-2013 and UTKFace, which it was trained on, are for research"
        if measured.dataset is None
        else f"not stated: trained on {measured.dataset}, whose owner decides, and on UTKFace, which is for research",
        "intended_use": "An example of a model with several heads. It reads perceived expression, gender presentation and age.",
    }
    text = json_text(parse_manifest(out.with_suffix(".json"), json.dumps(manifest)).to_json(), indent=2) + "\n"
    with written_model(out) as beside:
        beside.write_bytes(data)
        beside.with_suffix(".json").write_text(text, encoding="utf-8")
