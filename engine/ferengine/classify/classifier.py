"""Face crops to class probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.classify.backend import InferenceBackend, OrtBackend
from ferengine.errors import ModelError, UsageError
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, load_model

_CHUNK = 256


class Classifier:
    """An expression model, by name or as a path to a ``.onnx`` file with its manifest. Not thread-safe.

    ``threads``: of the inference session. Raises ModelError for a model that is unknown, damaged or of another shape.
    """

    def __init__(self, model: str | Path = DEFAULT, *, threads: int = 1) -> None:
        loaded = load_model(model)
        self._manifest = loaded.manifest
        self._backend: InferenceBackend = OrtBackend(loaded.onnx, threads=threads)
        self.labels: tuple[str, ...] = tuple(loaded.manifest.labels)
        self.input_size: int = loaded.manifest.input.size
        self.mean: float = loaded.manifest.input.mean
        self.std: float = loaded.manifest.input.std
        self.warm_up()

    @property
    def manifest(self) -> Manifest:
        """What is known of the model."""
        return self._manifest

    def scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grey crops, uint8 (N, S, S) with S = ``input_size`` -> probabilities, float32 (N, classes), rows sum to 1.

        Crop faces as ``ferengine run`` does (see ``ferengine.track.geometry``). Raises UsageError for another array.
        """
        return self._softmax(self.logits(crops))

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
        return self._softmax(self._run(batch))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(batch):
            return np.empty((0, len(self.labels)), np.float32)
        return np.concatenate([self._backend.run(batch[i : i + _CHUNK]) for i in range(0, len(batch), _CHUNK)])

    def _softmax(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = logits / np.float32(self._manifest.temperature)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def warm_up(self) -> None:
        """Run once: the first answer is not late, and a network that does not fit its manifest is found out.

        Two faces, so that a network with a fixed batch of one is found out too.
        """
        logits = self._backend.run(np.zeros((2, 1, self.input_size, self.input_size), np.float32))
        if logits.shape != (2, len(self.labels)):
            raise ModelError(
                f"model {self._manifest.name}: its network gives {logits.shape[-1]} scores, its manifest names "
                f"{len(self.labels)} labels"
            )
