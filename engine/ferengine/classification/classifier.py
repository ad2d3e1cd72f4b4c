"""Face crops to class probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError, UsageError
from ferengine.inference.base import InferenceBackend
from ferengine.inference.select import BackendName, BackendSettings, choose_form, create_backend
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, load_model

log = logging.getLogger(__name__)


class Classifier:
    """An expression model, by name or as a path to a ``.onnx`` file with its manifest. Not thread-safe.

    ``threads``: of the inference session. ``backend``: ``auto``, ``ort``, ``tensorrt``, ``ort-cuda``, ``ort-trt-rtx``,
    or BackendSettings, which also name the precision and what TensorRT may use.
    ``max_batch``: the most faces that go through the network at a time. ``on_failure`` is told why a GPU that was meant to
    run it does not, or no longer does (default: logged); the classifier then goes on with ONNX Runtime on the CPU.
    ``labels`` are the classes in the order of the scores, ``input_size`` is the side of the crops in pixels.

    Raises UsageError for an unknown model, ModelError for one that is damaged or of another shape, and for a backend that
    cannot work here.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        threads: int = 1,
        backend: BackendName | BackendSettings = "auto",
        max_batch: int = 256,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        settings = backend if isinstance(backend, BackendSettings) else BackendSettings(backend)
        self.backend: InferenceBackend
        form = choose_form(load_model(model), settings, log.warning)
        loaded, self.backend = create_backend(form, settings, threads=threads, max_batch=max_batch, on_failure=on_failure)
        self._manifest = loaded.manifest
        self._max_batch = max_batch
        self.labels: tuple[str, ...] = tuple(loaded.manifest.labels)
        self.input_size: int = loaded.manifest.input.size
        self.mean: float = loaded.manifest.input.mean
        self.std: float = loaded.manifest.input.std
        self.warm_up()

    @property
    def manifest(self) -> Manifest:
        """What is known of the model, or of its int8 form where that runs."""
        return self._manifest

    def scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grey crops, uint8 (N, S, S) with S = ``input_size`` -> probabilities, float32 (N, classes), rows sum to 1.

        Crop faces as ``ferengine run`` does (see ``ferengine.tracking.crop_geometry``). Raises UsageError for another array.
        """
        return self.probabilities(self.logits(crops))

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grey crops, uint8 (N, S, S) -> the network's outputs before temperature and softmax, float32 (N, classes).

        Raises UsageError for another array.
        """
        size = self.input_size
        if not isinstance(crops, np.ndarray) or crops.dtype != np.uint8 or crops.shape[1:] != (size, size):
            given = f"{crops.dtype} {crops.shape}" if isinstance(crops, np.ndarray) else type(crops).__name__
            raise UsageError(f"crops are a uint8 array of shape (N, {size}, {size}), not {given}")
        return self._run(((crops[:, None].astype(np.float32)) - self.mean) / np.float32(self.std))

    def scores_normalised(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised crops, float32 (N, 1, S, S) -> softmax(logits / temperature), float32 (N, classes)."""
        return self.probabilities(self._run(batch))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(batch):
            return np.empty((0, len(self.labels)), np.float32)
        size = self._max_batch
        return np.concatenate([self.backend.run(batch[i : i + size]) for i in range(0, len(batch), size)])

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's outputs, float32 (N, classes) -> softmax(logits / temperature)."""
        logits = logits / np.float32(self._manifest.temperature)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def warm_up(self) -> None:
        """Run once: the first answer is not late, and a network that does not fit its manifest is found out.

        Two faces where more than one may come, so that a network with a fixed batch of one is found out too.
        """
        count = min(2, self._max_batch)
        logits = self.backend.run(np.zeros((count, 1, self.input_size, self.input_size), np.float32))
        if logits.shape != (count, len(self.labels)):
            raise ModelError(
                f"model {self._manifest.name}: its network gives {logits.shape[-1]} scores, its manifest names "
                f"{len(self.labels)} labels"
            )

    def close(self) -> None:
        """Release the device; the classifier cannot be used afterwards."""
        self.backend.close()
