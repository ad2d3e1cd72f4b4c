"""Face crops to class probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.heads import Decoder
from ferengine.classification.light import lightened
from ferengine.errors import ModelError, UsageError, shown
from ferengine.frames import AnyImage
from ferengine.inference.base import Array, Outputs, Runner, as_input
from ferengine.inference.select import choose_variant, open_model
from ferengine.models.manifest import Manifest
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, load_model
from ferengine.models.self_test import probe_crops
from ferengine.models.settings import BackendName, BackendSettings, Prior

log = logging.getLogger(__name__)

_MAX_THREADS = 1024
_MAX_BATCH = 65536


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
        labels: The classes of the main head, in the order of the scores; none for a model without one.
        heads: All heads: the main one, which has the name of the model's task, first.
        prior: The prior in force; ``None`` for a model that names no priors and answers as it was trained.
        crop: The side and the planes of the crops.
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
        prior: str | Path | Prior | None = None,
        threads: int = 1,
        backend: BackendName | BackendSettings = "auto",
        max_batch: int = 256,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        for name, value, most in (("threads", threads, _MAX_THREADS), ("max_batch", max_batch, _MAX_BATCH)):
            if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= most:
                raise UsageError(f"{name} is an integer from 1 to {most}, not {shown(value)}")
        if not (on_failure is None or callable(on_failure)):
            raise UsageError(f"on_failure is a function that takes a text, not {type(on_failure).__name__}")
        settings = backend if isinstance(backend, BackendSettings) else BackendSettings(backend)
        self.runner: Runner
        named = load_model(model)
        self.prior = choose_prior(named.manifest, prior)
        chosen = choose_variant(named, settings, log.warning)
        loaded, self.runner = open_model(chosen, settings, threads=threads, max_batch=max_batch, on_failure=on_failure)
        self._manifest = loaded.manifest
        self._max_batch = max_batch
        self.labels: tuple[str, ...] = tuple(loaded.manifest.labels)
        self.heads = loaded.manifest.outputs
        self._decoders = [
            Decoder(head, self.prior if head.name == loaded.manifest.task else head.chosen_prior) for head in self.heads
        ]
        self.crop = loaded.manifest.input.crop
        self.input_size: int = self.crop.size
        self.normalisation = loaded.manifest.input.normalisation
        self.warm_up()

    @property
    def manifest(self) -> Manifest:
        """What is known of the model, or of its int8 variant where that runs."""
        return self._manifest

    def scores(self, crops: AnyImage) -> Array:
        """The probabilities of each face's classes, by the main head.

        Args:
            crops: Gray crops, uint8 (N, S, S) with S = ``input_size``, cropped as ``ferengine run`` does (see
                ``ferengine.tracking.crop_geometry``); of a model that reads colours uint8 (N, 3, S, S), the planes in the
                order that ``crop`` names.

        Returns:
            float32 (N, classes); rows sum to 1.

        Raises:
            UsageError: Another array was given, or the model has no main head.
        """
        return self.probabilities(self.logits(crops))

    def logits(self, crops: AnyImage) -> Array:
        """The main head's outputs before temperature, prior and softmax.

        Args:
            crops: As of ``scores``.

        Returns:
            float32 (N, classes).

        Raises:
            UsageError: As ``scores``.
        """
        if not self.labels:
            raise UsageError(f"the model {self._manifest.name} has no head {self._manifest.task}: it reads {self._head_names}")
        return self._run(crops)[0]

    def raw(self, crops: AnyImage) -> list[Array]:
        """What the network gives for each of ``heads``, before temperatures, priors and limits.

        Args:
            crops: As of ``scores``.

        Returns:
            float32 (N, labels) for each head.

        Raises:
            UsageError: Another array was given.
        """
        return self._run(crops)

    def read(self, crops: AnyImage) -> Array:
        """What all heads say of each face, side by side in the order of ``heads``.

        Args:
            crops: As of ``scores``.

        Returns:
            float32 (N, labels of all heads): probabilities and values.

        Raises:
            UsageError: Another array was given.
        """
        return self._decoded(self._run(crops))

    def collect(self, count: int) -> Array:
        """What all heads read in the oldest batch submitted to ``runner``.

        Args:
            count: Faces in that batch.

        Returns:
            As ``read``.
        """
        return self._decoded(self._split(self.runner.collect(), count))

    def probabilities(self, logits: Array) -> Array:
        """softmax(logits / temperature + log prior) of the main head; see ``Decoder.decode``.

        Args:
            logits: float32 (N, classes); numbers of another precision are converted.

        Returns:
            float32 (N, classes); rows sum to 1.

        Raises:
            UsageError: Another array was given.
        """
        classes = len(self.heads[0].labels)
        if not isinstance(logits, np.ndarray) or logits.dtype.kind != "f" or logits.shape[1:] != (classes,):
            what = f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
            raise UsageError(f"logits are an array of float32 of shape (N, {classes}), not {what}")
        return self._decoders[0].decode(logits.astype(np.float32, copy=False))

    def warm_up(self) -> None:
        """Run five faces, so that the first scores are not late and a network that does not fit its manifest is found out.

        They are black, white, noise and two of the self-test, in batches as large as may come, so that a network with a fixed
        batch of one is found out too. Weights that are not finite make numbers so.

        Raises:
            ModelError: The network does not fit.
        """
        try:
            found = self._run(probe_crops(self.crop))
            self.runner.warm_up(self.crop.shape, self._max_batch)
        except ModelError as error:
            raise ModelError(f"model {self._manifest.name}: {error}") from None
        for head, decoder, raw in zip(self.heads, self._decoders, found, strict=True):
            if not (np.isfinite(raw).all() and np.isfinite(decoder.decode(raw)).all()):
                where = "" if len(self.heads) == 1 else f" in the head {head.name}"
                raise ModelError(
                    f"model {self._manifest.name}: its network gives scores that are not finite{where}: check its weights"
                )
            if head.kind == "classes" and _are_probabilities(raw):
                raise ModelError(
                    f"model {self._manifest.name}: the head {head.name} gives probabilities, not logits: remove its softmax"
                )

    def close(self) -> None:
        """Release the device; the classifier cannot be used afterwards."""
        self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _head_names(self) -> str:
        return ", ".join(head.name for head in self.heads)

    def _decoded(self, found: Sequence[Array]) -> Array:
        numbers = [decoder.decode(raw) for decoder, raw in zip(self._decoders, found, strict=True)]
        return numbers[0] if len(numbers) == 1 else np.hstack(numbers)

    def _split(self, outputs: Outputs, count: int) -> list[Array]:
        """The raw output of each head."""
        alone = len(self._decoders) == 1
        return [decoder.output_of(outputs, count, alone=alone) for decoder in self._decoders]

    def _run(self, crops: AnyImage) -> list[Array]:
        """The raw output of each head."""
        row = self.crop.image_shape
        if not isinstance(crops, np.ndarray) or crops.dtype != np.uint8 or crops.shape[1:] != row:
            given = f"{crops.dtype} {crops.shape}" if isinstance(crops, np.ndarray) else type(crops).__name__
            raise UsageError(f"crops are a uint8 array of shape (N, {', '.join(map(str, row))}), not {given}")
        if not len(crops):
            return [np.empty((0, len(head.labels)), np.float32) for head in self.heads]
        seen = cast("NDArray[np.uint8]", crops)
        batch = as_input(lightened(seen) if self.crop.planes == "grey" else seen, self.runner, self.normalisation)
        parts = []
        for start in range(0, len(batch), self._max_batch):
            rows = batch[start : start + self._max_batch]
            parts.append(self._split(self.runner.run(rows), len(rows)))
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _are_probabilities(outputs: Array) -> bool:
    """Whether the rows of several faces are all from 0 to 1 and sum to 1, as those of logits are not."""
    within = outputs.min() >= 0 and outputs.max() <= 1
    return bool(within) and np.allclose(outputs.sum(axis=1), 1, atol=1e-4)
