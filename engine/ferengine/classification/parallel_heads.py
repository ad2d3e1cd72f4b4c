"""Networks side by side on one batch of crops: expression, and gender where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError
from ferengine.inference.base import Array
from ferengine.models.backends import BackendSettings


class ParallelClassifier:
    """Several models that read the same normalised crops.

    This is the parallel integration of Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks", section
    III. Batches go through it as through a ``ferengine.inference.base.Runner``: ``input``, ``submit``, ``collect``, up to
    ``depth`` of them at a time; ``scores_normalised`` takes a whole batch. Not thread-safe.

    Args:
        models: Names or paths, as of ``Classifier``; so are the other arguments.
        threads: Of ONNX Runtime on the CPU.
        backend: What runs them.
        max_batch: The largest batch.
        on_failure: Called with the reason where the CPU takes over from a GPU.

    Attributes:
        classifiers: One for each model.
        input_size: The side of the crops, pixels.
        mean: Of intensities, which is subtracted from crops.
        std: Of intensities, which they are divided by then.

    Raises:
        UsageError: As ``Classifier``.
        ModelError: As ``Classifier``, and for models that take other crops than the first.
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
        self._runners = tuple(classifier.runner for classifier in self.classifiers)
        self._rows: Array | None = None
        first = self.classifiers[0]
        for model, other in zip(models, self.classifiers, strict=True):
            if (other.input_size, other.mean, other.std) != (first.input_size, first.mean, first.std):
                raise ModelError(
                    f"the models {models[0]} and {model} take different crops ({first.input_size} px, mean {first.mean}, std "
                    f"{first.std}; {other.input_size} px, mean {other.mean}, std {other.std}): they cannot share a batch"
                )
        self.input_size, self.mean, self.std = first.input_size, first.mean, first.std

    def scores_normalised(self, batch: Array) -> Array:
        """The probabilities of each network's classes, side by side.

        Args:
            batch: Normalised crops, float32 (N, 1, S, S).

        Returns:
            float32 (N, all classes).
        """
        return np.hstack([classifier.scores_normalised(batch) for classifier in self.classifiers])

    @property
    def backend_names(self) -> str:
        """What runs the networks now, each named once, with the precision of the files where that is not fp32."""
        names = [
            runner.name if classifier.manifest.precision == "fp32" else f"{runner.name} ({classifier.manifest.precision})"
            for runner, classifier in zip(self._runners, self.classifiers, strict=True)
        ]
        return ", ".join(dict.fromkeys(names))

    @property
    def depth(self) -> int:
        """How many batches may be in flight at a time."""
        return min(runner.depth for runner in self._runners)

    @property
    def in_flight(self) -> int:
        """Batches submitted and not yet collected."""
        return max(runner.in_flight for runner in self._runners)

    def input(self, count: int) -> Array:
        """Memory to gather the next batch into, float32 (count, 1, S, S), valid until ``submit``."""
        self._rows = self._runners[0].input((count, 1, self.input_size, self.input_size))
        return self._rows

    def submit(self, count: int) -> None:
        """Begin computing the first ``count`` rows of what ``input`` returned last.

        Raises:
            RuntimeError: ``depth`` batches are in flight already, or ``input`` was not called before.
        """
        if self._rows is None:
            raise RuntimeError("submit before input")
        rows = self._rows[:count]
        for runner in self._runners[1:]:
            runner.input(rows.shape)[:] = rows
            runner.submit(count)
        self._runners[0].submit(count)

    def is_done(self) -> bool:
        """Whether ``collect`` does not wait."""
        return all(runner.is_done() for runner in self._runners)

    def collect(self) -> Array:
        """The oldest batch's probabilities, as ``scores_normalised`` gives them.

        Raises:
            RuntimeError: No batch is in flight.
        """
        return np.hstack([classifier.collect() for classifier in self.classifiers])

    def close(self) -> None:
        """Release the device."""
        for classifier in self.classifiers:
            classifier.close()
