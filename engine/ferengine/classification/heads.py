"""From what a network gives to numbers with names: one head at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.smoothing import Smoother
from ferengine.errors import ModelError
from ferengine.inference.base import Array, Outputs
from ferengine.models.manifest import Head
from ferengine.models.settings import Prior
from ferengine.results import HeadReading


class Decoder:
    """Turns one head's output into probabilities or values.

    Args:
        head: The head.
        prior: The class prior in force, for a head of classes.
    """

    def __init__(self, head: Head, prior: Prior | None) -> None:
        self.head = head
        self.prior = prior
        self._temperature = np.float32(head.temperature_under(None if prior is None else prior.fitted))
        self._log_prior = np.zeros(1, np.float32) if prior is None else prior.logarithm().astype(np.float32)
        ranges = np.array([head.ranges.get(label, (-np.inf, np.inf)) for label in head.labels], np.float32)
        self._lowest, self._highest = ranges.T

    def output_of(self, outputs: Outputs, count: int, *, alone: bool) -> Array:
        """The head's own one among the outputs of a network.

        Args:
            outputs: What ``Runner.run`` or ``Runner.collect`` returned.
            count: How many faces were run.
            alone: Whether the model has no other head: then the only output is its, unless ``output`` names another.

        Returns:
            float32 (count, labels).

        Raises:
            ModelError: There is no such output, or it has another shape.
        """
        head = self.head
        only = alone and len(outputs) == 1 and not head.output
        name = next(iter(outputs)) if only else head.output or head.name
        if name not in outputs:
            raise ModelError(f"its network has no output {name!r} for the head {head.name}, only {', '.join(outputs)}")
        rows = outputs[name]
        if rows.shape[:1] != (count,):
            raise ModelError(f"its network gives {rows.shape} for {count} faces{'' if alone else f' as {name}'}")
        rows = rows.reshape(count, -1)
        if rows.shape[1] != len(head.labels):
            raise ModelError(
                f"its network gives {rows.shape[1]} scores{'' if alone else f' as {name}'}, its manifest names "
                f"{len(head.labels)} labels{'' if alone else f' of the head {head.name}'}"
            )
        return rows

    def decode(self, raw: Array) -> Array:
        """Probabilities or values.

        - classes: softmax(output / temperature + log prior), with the temperature that was fitted under the prior in force. The
          prior: A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 4. The temperature: C. Guo et
          al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
        - labels: sigmoid(output / temperature).
        - values: the output, limited to the range of each.

        Args:
            raw: float32 (N, labels).

        Returns:
            float32 (N, labels); NaN where the output is not finite.
        """
        if self.head.kind == "classes":
            logits = np.where(np.isfinite(raw), raw, np.nan) / self._temperature + self._log_prior
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
            probabilities: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
            return probabilities
        if self.head.kind == "labels":
            found = 0.5 + 0.5 * np.tanh(raw / (2 * self._temperature))  # the sigmoid, without overflow
        else:
            found = np.clip(raw, self._lowest, self._highest)
        decoded: Array = np.where(np.isfinite(raw), found, np.float32(np.nan)).astype(np.float32)
        return decoded


class HeadReader:
    """Names and smooths the numbers of a model's further heads along the tracks of one camera.

    Each head is smoothed exponentially with the time constant of its manifest or, without one, that of the setting
    ``smoothing``. Probabilities stay probabilities. Labels are not held, and do not become uncertain.

    Args:
        heads: The heads.
        smoothing: Seconds, for heads without a time constant of their own.
    """

    def __init__(self, heads: Sequence[Head], smoothing: float) -> None:
        self._heads = tuple(heads)
        self._smoothers = [
            Smoother(smoothing if head.smoothing is None else head.smoothing, len(head.labels)) for head in heads
        ]

    def read(self, numbers: NDArray[np.float32], track: int | None = None, timestamp: float = 0.0) -> dict[str, HeadReading]:
        """What the heads say of one face.

        Args:
            numbers: Of all heads side by side, float32.
            track: The track's id; without one nothing is smoothed.
            timestamp: Media time, seconds.
        """
        readings = {}
        for head, smoother, values in zip(self._heads, self._smoothers, self._split(numbers), strict=True):
            smoothed = values if track is None else smoother.update(track, timestamp, values)
            readings[head.name] = HeadReading(head.kind, _named(head, values), _named(head, smoothed))
        return readings

    def _split(self, numbers: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        start = 0
        for head in self._heads:
            yield numbers[start : start + len(head.labels)]
            start += len(head.labels)


def _named(head: Head, values: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(head.labels, values.tolist(), strict=True))
