"""Face crops to class probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError, UsageError
from ferengine.inference.base import Array, Batch, Runner, as_input, only_output
from ferengine.inference.select import choose_variant, open_model
from ferengine.models.manifest import Manifest
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, load_model
from ferengine.models.self_test import self_test_crops
from ferengine.models.settings import BackendName, BackendSettings, Prior

log = logging.getLogger(__name__)


class Classifier:
    """One model and what runs it. Not thread-safe.

    Args:
        model: A shipped model's name, or the path of a ``.onnx`` file with its manifest beside it.
        prior: The class prior to read faces under: the name of one of the model's, a file, or a ``Prior``; by default the one
            that the model chooses.
        threads: Of ONNX Runtime on the CPU.
        backend: What runs it, by name or with all settings.
        max_batch: The largest number of faces that go through the network at a time.
        on_failure: Called with the reason where a GPU that was to run it does not, or no longer does: ONNX Runtime takes over
            on the CPU. By default it is logged.

    Attributes:
        runner: What runs the network.
        labels: The classes, in the order of the scores.
        prior: The prior in force; ``None`` for a model that names no priors and answers as it was trained.
        input_size: The side of the crops, pixels.
        normalisation: What the network expects of their intensities.

    Raises:
        UsageError: There is no such model, prior or backend.
        ModelError: The model is damaged or of another shape than its manifest says, or the backend cannot work here.

    Example:
        >>> classifier = Classifier("dscnn")
        >>> classifier.scores(np.zeros((2, 48, 48), np.uint8)).shape
        (2, 7)
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        prior: str | Prior | None = None,
        threads: int = 1,
        backend: BackendName | BackendSettings = "auto",
        max_batch: int = 256,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        settings = backend if isinstance(backend, BackendSettings) else BackendSettings(backend)
        self.runner: Runner
        named = load_model(model)
        self.prior = prior if isinstance(prior, Prior) else choose_prior(named.manifest, prior)
        chosen = choose_variant(named, settings, log.warning)
        loaded, self.runner = open_model(chosen, settings, threads=threads, max_batch=max_batch, on_failure=on_failure)
        self._manifest = loaded.manifest
        self._temperature = np.float32(loaded.manifest.temperature)
        self._log_prior = np.zeros(1, np.float32) if self.prior is None else self.prior.logarithm().astype(np.float32)
        self._max_batch = max_batch
        self.labels: tuple[str, ...] = tuple(loaded.manifest.labels)
        self.input_size: int = loaded.manifest.input.size
        self.normalisation = loaded.manifest.input.normalisation
        self.warm_up()

    @property
    def manifest(self) -> Manifest:
        """What is known of the model, or of its int8 variant where that runs."""
        return self._manifest

    def scores(self, crops: NDArray[np.uint8]) -> Array:
        """The probabilities of each face's classes.

        Args:
            crops: Gray crops, uint8 (N, S, S) with S = ``input_size``, cropped as ``ferengine run`` does (see
                ``ferengine.tracking.crop_geometry``).

        Returns:
            float32 (N, classes); rows sum to 1.

        Raises:
            UsageError: Another array was given.
        """
        return self.probabilities(self.logits(crops))

    def logits(self, crops: NDArray[np.uint8]) -> Array:
        """The network's outputs before temperature, prior and softmax.

        Args:
            crops: As of ``scores``.

        Returns:
            float32 (N, classes).

        Raises:
            UsageError: Another array was given.
        """
        size = self.input_size
        if not isinstance(crops, np.ndarray) or crops.dtype != np.uint8 or crops.shape[1:] != (size, size):
            given = f"{crops.dtype} {crops.shape}" if isinstance(crops, np.ndarray) else type(crops).__name__
            raise UsageError(f"crops are a uint8 array of shape (N, {size}, {size}), not {given}")
        return self._run(as_input(crops, self.runner, self.normalisation))

    def collect(self) -> Array:
        """The probabilities of the oldest batch that was submitted to ``runner``, as ``scores`` gives them."""
        return self.probabilities(only_output(self.runner.collect()))

    def probabilities(self, logits: Array) -> Array:
        """softmax(logits / temperature + log prior), with the manifest's temperature and the prior in force.

        The prior: A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 4. The temperature:
        C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

        Args:
            logits: The network's outputs, float32 (N, classes).

        Returns:
            float32 (N, classes); rows sum to 1.
        """
        logits = logits / self._temperature + self._log_prior
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def warm_up(self) -> None:
        """Run once, so that the first scores are not late and a network that does not fit its manifest is found out.

        It runs two faces where more than one may come, so that a network with a fixed batch of one is found out too. They are
        of the self-test: weights that are not finite make scores so.

        Raises:
            ModelError: The network does not fit.
        """
        self.runner.warm_up((1, self.input_size, self.input_size), self._max_batch)
        count = min(2, self._max_batch)
        try:
            logits = self.logits(self_test_crops(self.input_size)[:count])
        except ModelError as error:
            raise ModelError(f"model {self._manifest.name}: {error}") from None
        if logits.ndim != 2 or len(logits) != count:
            raise ModelError(f"model {self._manifest.name}: its network gives {logits.shape} for {count} faces")
        if logits.shape[1] != len(self.labels):
            raise ModelError(
                f"model {self._manifest.name}: its network gives {logits.shape[1]} scores, its manifest names "
                f"{len(self.labels)} labels"
            )
        if not np.isfinite(logits).all():
            raise ModelError(f"model {self._manifest.name}: its network gives scores that are not finite: check its weights")

    def close(self) -> None:
        """Release the device; the classifier cannot be used afterwards."""
        self.runner.close()

    def _run(self, batch: Batch) -> Array:
        if not len(batch):
            return np.empty((0, len(self.labels)), np.float32)
        size = self._max_batch
        return np.concatenate(
            [only_output(self.runner.run(batch[start : start + size])) for start in range(0, len(batch), size)]
        )
