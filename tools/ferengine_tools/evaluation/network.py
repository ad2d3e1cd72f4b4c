"""A network that can be measured, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine_tools.data.fer2013 import LABELS


@dataclass(frozen=True)
class Network:
    """A network to be measured.

    Attributes:
        name: What it is called in reports.
        task: What it reads.
        labels: Its classes.
        input_size: Side S of the crops, pixels.
        temperature: What the logits are divided by.
        logits: Grayscale crops, uint8 (N, S, S) -> float32 (N, labels), before the temperature.
        classifier: What runs a model in the engine, to be timed; None for a checkpoint.
        prior: The class frequencies that the logits hold under, by their name in ``priors``; None where they are not known.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    input_size: int
    temperature: float
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    classifier: Classifier | None = None
    prior: str | None = None


def of_classifier(classifier: Classifier) -> Network:
    """Return a model as the engine runs it.

    A model of FER-2013's expressions answers under their frequencies there.
    """
    manifest = classifier.manifest
    return Network(
        manifest.name,
        manifest.task,
        classifier.labels,
        classifier.input_size,
        manifest.temperature,
        classifier.logits,
        classifier,
        "fer2013" if manifest.task == "expression" and set(LABELS) <= set(classifier.labels) else None,
    )
