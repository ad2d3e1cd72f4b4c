"""Networks side by side on one batch of crops: expression, and gender where it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine.classify.classifier import Classifier
from ferengine.errors import ModelError


class ParallelClassifier:
    """The document's parallel integration (section III): every network reads the same normalised crops.

    Raises ModelError for models that take another input than the first's. Not thread-safe.
    """

    def __init__(self, models: Sequence[str], *, threads: int = 1) -> None:
        self.classifiers = tuple(Classifier(model, threads=threads) for model in models)
        first = self.classifiers[0]
        for model, other in zip(models, self.classifiers, strict=True):
            if (other.input_size, other.mean, other.std) != (first.input_size, first.mean, first.std):
                raise ModelError(
                    f"the models {models[0]} and {model} take different crops ({first.input_size} px, mean {first.mean}, std "
                    f"{first.std}; {other.input_size} px, mean {other.mean}, std {other.std}): they cannot share a batch"
                )
        self.input_size, self.mean, self.std = first.input_size, first.mean, first.std

    def scores_normalised(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (N, 1, S, S) -> the probabilities of each network's classes, side by side, float32 (N, all classes)."""
        return np.hstack([classifier.scores_normalised(batch) for classifier in self.classifiers])
