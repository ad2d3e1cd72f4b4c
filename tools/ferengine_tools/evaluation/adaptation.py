"""What ``--prior adapt`` gains before cameras that see other frequencies than ``everyday``.

``python -m ferengine_tools.evaluation.adaptation --model standard --data WILD_FACES`` draws faces of its validation split by
made frequencies, one a second for six hours, and measures the last three under the model's own prior and under the one that
follows the camera.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.classification.adaptive_prior import MEMORY, AdaptivePrior
from ferengine.classification.classifier import Classifier
from ferengine.cli.command import exit_code, make_command
from ferengine.errors import UsageError
from ferengine.models.registry import DEFAULT
from ferengine.models.settings import FILE_ON_CPU, Prior
from ferengine_tools.evaluation.metrics import confusion_matrix, of_five
from ferengine_tools.evaluation.network import grey_logits
from ferengine_tools.evaluation.sets import wild_faces

SCENES: dict[str, dict[str, float]] = {
    "as the faces are": {"angry": 63, "disgust": 51, "fear": 3, "happy": 1167, "sad": 77, "surprise": 71, "neutral": 1318},
    "work: 90 % neutral": {"angry": 0.5, "disgust": 0.5, "fear": 0.1, "happy": 6, "sad": 2, "surprise": 0.9, "neutral": 90},
    "party: 80 % happy": {"angry": 0.5, "disgust": 0.5, "fear": 0.1, "happy": 80, "sad": 1, "surprise": 2.9, "neutral": 15},
    "quarrel: 35 % angry": {"angry": 35, "disgust": 5, "fear": 0.1, "happy": 8, "sad": 15, "surprise": 6.9, "neutral": 30},
    "mourning: 50 % sad": {"angry": 2, "disgust": 3, "fear": 0.1, "happy": 5, "sad": 50, "surprise": 0.9, "neutral": 39},
    "five alike": {"angry": 19.6, "disgust": 1, "fear": 1, "happy": 19.6, "sad": 19.6, "surprise": 19.6, "neutral": 19.6},
}
"""Frequencies of the classes, of any sum."""


@dataclass(frozen=True)
class Adaptation:
    """How well one scene is read, as fractions.

    Attributes:
        accuracy: Under the fixed prior, and under the one that follows the camera.
        macro_f1: Over FIVE, likewise.
        found: The estimate at the end, by label.
    """

    accuracy: tuple[float, float]
    macro_f1: tuple[float, float]
    found: dict[str, float]


def adaptation(
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    start: Prior,
    frequencies: Sequence[float],
    seconds: int = int(6 * MEMORY),
    seed: int = 0,
) -> Adaptation:
    """Measure one scene.

    Args:
        scores: Probabilities of faces under ``start``, float32 (N, C).
        labels: Their classes, int64 (N,).
        start: The fixed prior.
        frequencies: Of the C classes in the scene, of any sum.
        seconds: How long it lasts; the second half is measured.
        seed: Of the draw.

    Raises:
        UsageError: A class that the scene shows has no faces.
    """
    counts = np.bincount(labels, minlength=len(start.labels))
    shown = np.asarray(frequencies, np.float64)
    if (counts[shown > 0] == 0).any():
        raise UsageError("the scene shows a class that has no faces")
    weights = (shown / np.maximum(counts, 1))[labels]
    rows = np.random.default_rng(seed).choice(len(labels), seconds, p=weights / weights.sum())
    prior = AdaptivePrior(start)
    read = np.empty(seconds, np.intp)
    for second, row in enumerate(rows):
        read[second] = prior.read(scores[row]).argmax()
        prior.note_time(float(second))
    late = slice(seconds // 2, None)
    actual, measured = labels[rows][late], (scores.argmax(axis=1)[rows][late], read[late])
    five = [of_five(confusion_matrix(actual, each, len(start.labels)).tolist(), start.labels) for each in measured]
    fixed, adapted = (float("nan") if each is None else each[0] for each in five)
    before, after = (float(np.mean(each == actual)) for each in measured)
    found = dict(zip(start.labels, prior.probabilities.tolist(), strict=True))
    return Adaptation((before, after), (fixed, adapted), found)


def measure(
    data: Annotated[Path, typer.Option(help="The folder of wild_faces.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="A shipped model's name, or a .onnx file.")] = DEFAULT,
) -> None:
    """Measure what --prior adapt gains before cameras that see other frequencies, as a table in Markdown."""
    classifier = Classifier(model, backend=FILE_ON_CPU)
    if classifier.prior is None:
        raise UsageError(f"the model {model} names no priors")
    faces = wild_faces(data, "validation").sized(classifier.input_size).ordered(classifier.labels)
    scores = classifier.probabilities(grey_logits(classifier, faces.images))
    print("| scene | accuracy %, and with adapt | macro F1 of the five %, and with adapt | estimate at the end, % |")
    print("|---|---:|---:|---|")
    for scene, frequencies in SCENES.items():
        found = adaptation(scores, faces.labels, classifier.prior, [frequencies[label] for label in classifier.labels])
        estimate = ", ".join(f"{label} {100 * value:.0f}" for label, value in found.found.items())
        accuracy, macro_f1 = (", ".join(f"{100 * value:.1f}" for value in pair) for pair in (found.accuracy, found.macro_f1))
        print(f"| {scene} | {accuracy} | {macro_f1} | {estimate} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(measure), "python -m ferengine_tools.evaluation.adaptation", arguments)


if __name__ == "__main__":
    sys.exit(main())
