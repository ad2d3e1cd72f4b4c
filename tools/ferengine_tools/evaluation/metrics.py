"""Measures of a classifier from its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
FIVE = ("angry", "happy", "sad", "surprise", "neutral")
"""Expressions that ordinary faces show often enough to be counted."""
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Metrics:
    """Measures of a classifier: fractions in [0, 1] and means over the faces.

    Attributes:
        accuracy: Fraction of faces that are read as they are labelled.
        macro_f1: Mean F1 over the classes that have faces.
        recall: By class; None for a class without faces.
        nll: Mean negative log-likelihood, nats.
        ece: Expected calibration error.
        confusion: Counts, ``confusion[actual][predicted]``.
    """

    accuracy: float
    macro_f1: float
    recall: dict[str, float | None]
    nll: float
    ece: float
    confusion: list[list[int]]


def measure(probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> Metrics:
    """Measure probabilities against labels.

    Args:
        probabilities: float64 (N, C), N >= 1.
        labels: Into ``classes``, int64 (N,).
        classes: The C names.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    right, actual, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    there = actual > 0
    f1 = 2 * right[there] / (actual + predicted)[there]
    recall = {
        name: round(int(hits) / int(faces), 4) if faces else None
        for name, hits, faces in zip(classes, right, actual, strict=True)
    }
    return Metrics(
        accuracy=float(right.sum() / len(labels)),
        macro_f1=float(f1.mean()),
        recall=recall,
        nll=negative_log_likelihood(probabilities, labels),
        ece=expected_calibration_error(probabilities, labels),
        confusion=confusion.tolist(),
    )


def of_five(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[float, float] | None:
    """Return macro F1 and mean recall over FIVE, in [0, 1]; None where one of them is no class or has no faces.

    Args:
        confusion: Counts (C, C), rows are actual classes.
        classes: The C names.
    """
    counts = np.asarray(confusion, np.int64)
    if not set(FIVE) <= set(classes):
        return None
    rows = [classes.index(name) for name in FIVE]
    right, actual, predicted = (each[rows] for each in (counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)))
    if not actual.all():
        return None
    return float(np.mean(2 * right / (actual + predicted))), float(np.mean(right / actual))


def confusion_matrix(actual: NDArray[np.int64], predicted: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Counts, int64 (C, C): rows are actual, columns predicted classes."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (actual, predicted), 1)
    return counts


def negative_log_likelihood(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean of -log p(label), nats; probabilities count from 1e-12 on."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, _SMALLEST)).mean())


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over ``bins`` equal bins of confidence, weighted by their faces: C. Guo et
    al., "On Calibration of Modern Neural Networks", ICML 2017, section 2."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)  # (0, 1/15], (1/15, 2/15] ...
    gaps = np.abs(np.bincount(which, right, bins) - np.bincount(which, confidence, bins))
    return float(gaps.sum() / len(labels))


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """softmax(logits / temperature) in float64, (N, C)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
