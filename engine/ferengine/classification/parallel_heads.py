"""Networks side by side on one batch of crops: expression, and gender where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError
from ferengine.inference.base import Array, Batch
from ferengine.models.manifest import Normalisation
from ferengine.models.settings import BackendSettings, Prior


class ParallelClassifier:
    """Several models that read the same crops.

    This is the parallel integration of Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks", section
    III. Batches go through it as through a ``ferengine.inference.base.Runner``: ``input``, ``submit``, ``collect``, up to
    ``depth`` of them at a time; ``scores`` takes crops at once. Not thread-safe.

    Args:
        models: Names or paths, as of ``Classifier``; so are the other arguments.
        prior: The class prior that the first model reads faces under; the others read them under their own choice.
        threads: Of ONNX Runtime on the CPU.
        backend: What runs them.
        max_batch: The largest batch.
        on_failure: Called with the reason where the CPU takes over from a GPU.

    Attributes:
        classifiers: One for each model.
        input_size: The side of the crops, pixels.

    Raises:
        UsageError: As ``Classifier``.
        ModelError: As ``Classifier``, and for models that take other crops than the first.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        prior: Prior | None = None,
        threads: int = 1,
        backend: BackendSettings | None = None,
        max_batch: int = 256,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        settings = backend or BackendSettings()
        self.classifiers = tuple(
            Classifier(
                model,
                prior=prior if number == 0 else None,
                threads=threads,
                backend=settings,
                max_batch=max_batch,
                on_failure=on_failure,
            )
            for number, model in enumerate(models)
        )
        self._runners = tuple(classifier.runner for classifier in self.classifiers)
        self._rows: Batch | None = None
        first = self.classifiers[0]
        for model, other in zip(models, self.classifiers, strict=True):
            if (other.input_size, other.normalisation) != (first.input_size, first.normalisation):
                raise ModelError(
                    f"the models {models[0]} and {model} take different crops ({_described(first)}; {_described(other)}): they "
                    "cannot share a batch"
                )
        self.input_size = first.input_size
        self._normalisation = first.normalisation
        # the others' rows are made of the gathered ones: what is normalised cannot be turned back into crops
        self._gathering = next((runner for runner in self._runners if runner.input_dtype == np.uint8), self._runners[0])

    def scores(self, crops: NDArray[np.uint8]) -> Array:
        """The probabilities of each network's classes, side by side.

        Args:
            crops: As of ``Classifier.scores``.

        Returns:
            float32 (N, all classes).

        Raises:
            UsageError: As ``Classifier.scores``.
        """
        return np.hstack([classifier.scores(crops) for classifier in self.classifiers])

    @property
    def normalisation(self) -> Normalisation:
        """How crops come into what ``input`` returns: as they are, (0, 1), where networks on a GPU normalise them."""
        return Normalisation(0.0, 1.0) if self._gathering.input_dtype == np.uint8 else self._normalisation

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

    def input(self, count: int) -> Batch:
        """Memory to gather the next batch into, (count, 1, S, S), valid until ``submit``.

        It is uint8 where a network on a GPU takes crops as they are, else float32: normalised crops.
        """
        self._rows = self._gathering.input((count, 1, self.input_size, self.input_size))
        return self._rows

    def submit(self, count: int) -> None:
        """Begin computing the first ``count`` rows of what ``input`` returned last.

        Raises:
            RuntimeError: ``depth`` batches are in flight already, or ``input`` was not called before.
        """
        if self._rows is None:
            raise RuntimeError("submit before input")
        rows = self._rows[:count]
        for runner in self._runners:
            if runner is not self._gathering:
                same = runner.input_dtype == rows.dtype
                runner.input(rows.shape)[:] = rows if same else self._normalisation.of(rows)
                runner.submit(count)
        self._gathering.submit(count)

    def is_done(self) -> bool:
        """Whether ``collect`` does not wait."""
        return all(runner.is_done() for runner in self._runners)

    def collect(self) -> Array:
        """The oldest batch's probabilities, as ``scores`` gives them.

        Raises:
            RuntimeError: No batch is in flight.
        """
        return np.hstack([classifier.collect() for classifier in self.classifiers])

    def close(self) -> None:
        """Release the device."""
        for classifier in self.classifiers:
            classifier.close()


def _described(classifier: Classifier) -> str:
    """The crops that it takes."""
    return f"{classifier.input_size} px, mean {classifier.normalisation.mean}, std {classifier.normalisation.std}"
