"""Networks that are measured together: their probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.evaluation.faces import resize
from ferengine_tools.evaluation.metrics import softmax
from ferengine_tools.evaluation.network import Network, of_classifier


@dataclass(frozen=True)
class Ensemble:
    """One network or more, of one task and the same classes.

    Attributes:
        networks: The networks. The classes are in the order of the first.

    Raises:
        UsageError: The networks have different tasks or classes.
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
        """What the networks read."""
        return self.networks[0].task

    @property
    def labels(self) -> tuple[str, ...]:
        """Their classes."""
        return self.networks[0].labels

    @property
    def input_size(self) -> int:
        """Side of the crops, pixels: the largest of the networks; crops are resized for the others."""
        return max(network.input_size for network in self.networks)

    @property
    def temperature(self) -> float | None:
        """The temperature of a single network; None for several, each of which has its own."""
        return self.networks[0].temperature if len(self.networks) == 1 else None

    def logits(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the logits of each network, float32 (N, labels).

        Args:
            crops: Grayscale, uint8 (N, S, S) with S = ``input_size``.
        """
        return [
            network.logits(resize(crops, network.input_size))[:, [network.labels.index(label) for label in self.labels]]
            for network in self.networks
        ]

    def probabilities(self, logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the mean over the networks of softmax(logits / temperature), float64 (N, labels)."""
        scores = [softmax(each, network.temperature) for each, network in zip(logits, self.networks, strict=True)]
        mean: NDArray[np.float64] = np.mean(scores, axis=0)
        return mean


def open_ensemble(models: Sequence[str]) -> Ensemble:
    """Load models to be measured together.

    Args:
        models: Names of shipped models, ``.onnx`` files with their manifests, and checkpoints of ferengine train
            (``.safetensors``).

    Raises:
        UsageError: A model is named twice, is the same network as another, or does not fit the others.
        ModelError: A model cannot be loaded.
        ModuleNotFoundError: There is a checkpoint, but no torch.
    """
    for number, model in enumerate(models):
        if model in models[:number]:
            raise UsageError(f"{model} is named twice")
    networks = tuple(_open(model) for model in models)
    first: dict[str | Path, str] = {}
    for model, network in zip(models, networks, strict=True):
        same = first.setdefault(_content(model, network), model)
        if same != model:
            raise UsageError(f"{model} is the same network as {same}: an average takes different ones")
    return Ensemble(networks)


def _content(model: str, network: Network) -> str | Path:
    """The hash of a model's file, whatever the file is called; the path of a checkpoint, without links."""
    return Path(model).resolve() if network.classifier is None else network.classifier.manifest.sha256


def _open(model: str) -> Network:
    if not model.endswith(".safetensors"):
        return of_classifier(Classifier(model, backend=FILE_ON_CPU))
    from ferengine_tools.evaluation.checkpoint import open_checkpoint  # needs torch, the others do not

    return open_checkpoint(Path(model))
