"""Networks side by side on one batch of crops: expression, and gender where it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError
from ferengine.inference.select import BackendSettings


class ParallelClassifier:
    """The document's parallel integration (section III): every network reads the same normalised crops.

    A batch is given to ``scores_normalised``, or gathered into ``input``, handed over with ``submit`` and taken with
    ``collect``, oldest first; ``depth`` of them may be on their way. Keywords are Classifier's. Raises ModelError for models
    that take another input than the first's. Not thread-safe.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        threads: int = 1,
        backend: BackendSettings | None = None,
        max_batch: int = 256,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        settings = backend or BackendSettings()
        self.classifiers = tuple(
            Classifier(model, threads=threads, backend=settings, max_batch=max_batch, on_failure=on_failure) for model in models
        )
        self._backends = tuple(classifier.backend for classifier in self.classifiers)
        self._rows: NDArray[np.float32] | None = None
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

    @property
    def backend_names(self) -> str:
        """What runs the networks now, each named once, with the precision of the files where that is not fp32."""
        names = [
            backend.name if classifier.manifest.precision == "fp32" else f"{backend.name} ({classifier.manifest.precision})"
            for backend, classifier in zip(self._backends, self.classifiers, strict=True)
        ]
        return ", ".join(dict.fromkeys(names))

    @property
    def depth(self) -> int:
        return min(backend.depth for backend in self._backends)

    @property
    def in_flight(self) -> int:
        return max(backend.in_flight for backend in self._backends)

    def input(self, count: int) -> NDArray[np.float32]:
        """Where the next batch is gathered into, float32 (count, 1, S, S)."""
        self._rows = self._backends[0].input(count)
        return self._rows

    def submit(self, count: int) -> None:
        """Begin with the first ``count`` rows of ``input``."""
        assert self._rows is not None, "submit before input"
        for backend in self._backends[1:]:
            backend.input(count)[:] = self._rows[:count]
            backend.submit(count)
        self._backends[0].submit(count)

    def is_done(self) -> bool:
        """Whether ``collect`` does not wait."""
        return all(backend.is_done() for backend in self._backends)

    def collect(self) -> NDArray[np.float32]:
        """The oldest batch's probabilities, as ``scores_normalised`` gives them."""
        return np.hstack([classifier.probabilities(classifier.backend.collect()) for classifier in self.classifiers])

    def close(self) -> None:
        """Release the device."""
        for classifier in self.classifiers:
            classifier.close()
