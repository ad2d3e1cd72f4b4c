"""A network that can be measured, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import LABELS


@dataclass(frozen=True)
class Network:
    """A network to be measured.

    Attributes:
        name: What it is called in reports.
        task: What it reads.
        labels: Its classes.
        input_size: Side S of the crops, pixels.
        general_temperature: What the logits are divided by under a prior that ``temperatures`` does not name.
        logits: Grayscale crops, uint8 (N, S, S) -> float32 (N, labels), before the temperature.
        classifier: What runs a model in the engine, to be timed; None for a checkpoint.
        prior: The class frequencies that the logits hold under, by their name in ``priors``; None where they are not known.
        temperatures: What the logits are divided by under some priors, by their names.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    input_size: int
    general_temperature: float
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    classifier: Classifier | None = None
    prior: str | None = None
    temperatures: Mapping[str, float] = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """What the logits are divided by, under ``prior``."""
        return self.temperature_under(self.prior)

    def temperature_under(self, prior: str | None) -> float:
        """What the logits are divided by under the prior of that name."""
        return self.general_temperature if prior is None else self.temperatures.get(prior, self.general_temperature)


def of_classifier(classifier: Classifier) -> Network:
    """Return a model as the engine runs it.

    A model that reads colours gets three equal planes, since all data sets are measured in grey. A model that names priors
    answers under a uniform one; another one of FER-2013's expressions answers under their frequencies
    there.

    Raises:
        UsageError: The model has no head of classes to measure.
    """
    manifest = classifier.manifest
    if not classifier.labels:
        raise UsageError(f"the model {manifest.name} has no head {manifest.task}, which labelled faces are of")
    trained = "fer2013" if manifest.task == "expression" and set(LABELS) <= set(classifier.labels) else None
    return Network(
        manifest.name,
        manifest.task,
        classifier.labels,
        classifier.input_size,
        manifest.temperature,
        partial(grey_logits, classifier),
        classifier,
        "uniform" if manifest.priors else trained,
        manifest.temperatures,
    )


def grey_logits(classifier: Classifier, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The main head's logits of grayscale crops, uint8 (N, S, S), which a model that reads colours gets as equal planes."""
    return classifier.logits(crops if classifier.crop.channels == 1 else np.repeat(crops[:, None], 3, axis=1))
