"""Whether an exported network still says what its source says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.base import only_output
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.backends import Precision

_LARGEST_DIFFERENCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.1, "int8": 4.0}
_LEAST_AGREEMENT: dict[Precision, float] = {"fp32": 0.999, "fp16": 0.995, "int8": 0.9}
"""Of logits (their standard deviation is about 2) and of labels."""


@dataclass(frozen=True)
class Agreement:
    """How well a file agrees with its source.

    Attributes:
        faces: How many were compared.
        difference: The largest of two logits.
        agreement: Fraction of faces with the same label.
    """

    faces: int
    difference: float
    agreement: float


def compare(expected: NDArray[np.float32], onnx: bytes, batch: NDArray[np.float32], precision: Precision) -> Agreement:
    """Compare a file, through ONNX Runtime, with the logits of its source.

    Args:
        expected: The logits of the source, float32 (N, C).
        onnx: The file.
        batch: Normalised crops, float32 (N, 1, S, S).
        precision: Of the file.

    Raises:
        ModelError: They are further apart than the precision explains.
    """
    logits = only_output(OrtRunner(onnx, max_batch=256).run(batch))
    difference = float(np.abs(logits - expected).max())
    agreement = float((logits.argmax(1) == expected.argmax(1)).mean())
    # not >= and not <=, so that NaN fails
    if not (difference <= _LARGEST_DIFFERENCE[precision] and agreement >= _LEAST_AGREEMENT[precision]):
        raise ModelError(
            f"the {precision} network differs from its source by {difference:.2g} in its logits and agrees on "
            f"{100 * agreement:.2f} % of {len(batch)} labels: nothing written"
        )
    return Agreement(len(batch), difference, agreement)
