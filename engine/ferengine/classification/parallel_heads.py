"""Networks side by side on the faces of one batch: the model, and gender where it is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.inference.base import Array, Batch
from ferengine.models.manifest import CropFormat, Normalisation
from ferengine.models.settings import BackendSettings, Prior


class NetworkInput(NamedTuple):
    """Where one network's crops of a batch are gathered, and how.

    Attributes:
        crop: Which crop of each face it takes.
        rows: (n, channels, S, S), uint8 for crops as they are, else float32; valid until ``submit``.
        mean: What is subtracted from each plane: 0 for uint8.
        std: What the difference is divided by: 1 for uint8.
    """

    crop: CropFormat
    rows: Batch
    mean: tuple[float, ...]
    std: tuple[float, ...]


_PLACES = {
    "ort": "on the CPU with ONNX Runtime",
    "ort-cuda": "on the GPU with ONNX Runtime (CUDA)",
    "ort-trt-rtx": "on the GPU with ONNX Runtime (TensorRT-RTX)",
    "tensorrt": "on the GPU with TensorRT",
}
"""What the names of runners mean."""
_NUMBERS = {"fp32": "32-bit floats", "fp16": "16-bit floats", "int8": "8-bit integers"}


class ParallelClassifier:
    """Several models that read the same faces, each from crops of its own kind.

    This is the parallel integration of Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks", section
    III. Batches go through it as through a ``ferengine.inference.base.Runner``: ``inputs``, ``submit``, ``collect``, up to
    ``depth`` of them at a time. Not thread-safe.

    Args:
        models: Names or paths, as of ``Classifier``; so are the other arguments.
        prior: The class prior that the first model reads faces under; the others read them under their own choice.
        threads: Of ONNX Runtime on the CPU.
        backend: What runs them.
        max_batch: The largest batch.
        on_failure: Called with the reason where the CPU takes over from a GPU.

    Attributes:
        classifiers: One for each model.

    Raises:
        UsageError: As ``Classifier``.
        ModelError: As ``Classifier``.
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
        self._engine_precision = settings.engine_precision
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
        self._ready = False
        self._counts: deque[int] = deque()

    @property
    def backend_names(self) -> str:
        """What runs the networks now, each named once, with the precision of the files where that is not fp32."""
        names = [
            runner.name if classifier.manifest.precision == "fp32" else f"{runner.name} ({classifier.manifest.precision})"
            for runner, classifier in zip(self._runners, self.classifiers, strict=True)
        ]
        return ", ".join(dict.fromkeys(names))

    @property
    def description(self) -> str:
        """What runs now, in plain words: each model, the numbers that it computes with, and where."""
        said = []
        for runner, classifier in zip(self._runners, self.classifiers, strict=True):
            precision = classifier.manifest.precision
            if runner.name == "tensorrt" and precision != "int8":
                precision = self._engine_precision
            said.append(f"the model {classifier.manifest.name} in {_NUMBERS[precision]} {_PLACES[runner.name]}")
        return " and ".join(said)

    @property
    def depth(self) -> int:
        """How many batches may be in flight at a time."""
        return min(runner.depth for runner in self._runners)

    @property
    def in_flight(self) -> int:
        """Batches submitted and not yet collected."""
        return max(runner.in_flight for runner in self._runners)

    def inputs(self, count: int) -> list[NetworkInput]:
        """Where to gather the crops of the next batch, of up to ``count`` faces: one for each network."""
        self._ready = True
        return [_input(classifier, count) for classifier in self.classifiers]

    def submit(self, count: int) -> None:
        """Begin computing the first ``count`` rows of what ``inputs`` returned last.

        Raises:
            RuntimeError: ``depth`` batches are in flight already, or ``inputs`` was not called before.
        """
        if not self._ready:
            raise RuntimeError("submit before inputs")
        self._counts.append(count)
        for runner in self._runners:
            runner.submit(count)

    def is_done(self) -> bool:
        """Whether ``collect`` does not wait."""
        return all(runner.is_done() for runner in self._runners)

    def collect(self) -> Array:
        """What all heads of all networks say of the oldest batch, side by side.

        Raises:
            RuntimeError: No batch is in flight.
        """
        if not self._counts:
            raise RuntimeError("no batch is in flight")
        count = self._counts.popleft()
        return np.hstack([classifier.collect(count) for classifier in self.classifiers])

    def close(self) -> None:
        """Release the device."""
        for classifier in self.classifiers:
            classifier.close()


def _input(classifier: Classifier, count: int) -> NetworkInput:
    runner, crop = classifier.runner, classifier.crop
    normalisation = Normalisation(0.0, 1.0) if runner.input_dtype == np.uint8 else classifier.normalisation
    return NetworkInput(crop, runner.input((count, *crop.shape)), *normalisation.by_plane(crop.channels))
