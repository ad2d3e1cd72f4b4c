"""What is measured: a network, or several whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.config import FILE_ON_CPU
from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import LABELS
from ferengine_tools.evaluation.faces import resize
from ferengine_tools.evaluation.metrics import softmax


@dataclass(frozen=True)
class Network:
    """``logits``: grey crops, uint8 (N, S, S) with S = ``input_size`` -> float32 (N, labels), before the ``temperature``.
    ``classifier``: what runs a model in the engine, to be timed; ``None`` for a checkpoint. ``prior``: the class frequencies
    that the logits hold under, by their name in ``priors``; ``None`` where they are not known."""

    name: str
    task: str
    labels: tuple[str, ...]
    input_size: int
    temperature: float
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    classifier: Classifier | None = None
    prior: str | None = None


@dataclass(frozen=True)
class Ensemble:
    """One network or more, of one task and the same classes, in any order; the classes have the first one's order.

    Raises UsageError for others.
    """

    networks: tuple[Network, ...]

    def __post_init__(self) -> None:
        first = self.networks[0]
        for other in self.networks[1:]:
            if other.task != first.task:
                raise UsageError(
                    f"{first.name} reads {first.task}, {other.name} {other.task}: only models of one task are averaged"
                )
            if set(other.labels) != set(first.labels):
                raise UsageError(
                    f"{first.name} knows {', '.join(first.labels)}, {other.name} {', '.join(other.labels)}: only models of the "
                    "same classes are averaged"
                )

    @property
    def task(self) -> str:
        return self.networks[0].task

    @property
    def labels(self) -> tuple[str, ...]:
        return self.networks[0].labels

    @property
    def input_size(self) -> int:
        """Pixels a side of the crops; a network that reads smaller ones gets them smaller."""
        return max(network.input_size for network in self.networks)

    @property
    def temperature(self) -> float | None:
        """``None`` where each of several networks has its own."""
        return self.networks[0].temperature if len(self.networks) == 1 else None

    def logits(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Grey crops, uint8 (N, S, S) with S = ``input_size`` -> each network's, float32 (N, labels)."""
        return [
            network.logits(resize(crops, network.input_size))[:, [network.labels.index(label) for label in self.labels]]
            for network in self.networks
        ]

    def probabilities(self, logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """The mean over the networks of softmax(logits / temperature), float64 (N, labels)."""
        scores = [softmax(each, network.temperature) for each, network in zip(logits, self.networks, strict=True)]
        mean: NDArray[np.float64] = np.mean(scores, axis=0)
        return mean


def of_classifier(classifier: Classifier) -> Network:
    """A model as the engine runs it. One that names priors answers under a uniform one; another that reads FER-2013's
    expressions answers under their frequencies there."""
    manifest = classifier.manifest
    trained = "fer2013" if manifest.task == "expression" and set(LABELS) <= set(classifier.labels) else None
    return Network(
        manifest.name,
        manifest.task,
        classifier.labels,
        classifier.input_size,
        manifest.temperature,
        classifier.logits,
        classifier,
        "uniform" if manifest.priors else trained,
    )


def open_ensemble(models: Sequence[str]) -> Ensemble:
    """Of shipped models' names, ``.onnx`` files with their manifests and checkpoints of ferengine train (``.safetensors``).

    Raises UsageError for a model that is named twice or does not go with the others, what ``load_model`` raises, and
    ModuleNotFoundError for a checkpoint without torch.
    """
    for number, model in enumerate(models):
        if model in models[:number]:
            raise UsageError(f"{model} is named twice")
    return Ensemble(tuple(_open(model) for model in models))


def _open(model: str) -> Network:
    if not model.endswith(".safetensors"):
        return of_classifier(Classifier(model, backend=FILE_ON_CPU))
    from ferengine_tools.evaluation.checkpoint import open_checkpoint  # torch is not there for the others

    return open_checkpoint(Path(model))
