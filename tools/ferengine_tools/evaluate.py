"""``ferengine evaluate``: an ONNX model on a split of FER-2013, single crop."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.classify.classifier import Classifier
from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import LABELS, Split, load_fer2013


@dataclass(frozen=True)
class Evaluation:
    """``confusion[actual][predicted]`` counts; ``microseconds`` a face, one thread, by batch size."""

    split: str
    faces: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float]
    confusion: list[list[int]]
    microseconds: dict[str, float]


def evaluate(classifier: Classifier, data: Path, split: Split) -> Evaluation:
    """Measure it. Raises UsageError when the model's labels are not FER-2013's."""
    if set(classifier.labels) != set(LABELS):
        raise UsageError(f"the model knows {', '.join(classifier.labels)}, FER-2013 {', '.join(LABELS)}")
    fer = load_fer2013(data)
    rows = fer.indices(split)
    order = [LABELS.index(label) for label in classifier.labels]
    predicted = np.array(order)[classifier.scores(fer.images[rows]).argmax(axis=1)]
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (fer.labels[rows], predicted), 1)
    right = confusion.diagonal()
    recall = right / np.maximum(1, confusion.sum(axis=1))
    f1 = 2 * right / np.maximum(1, confusion.sum(axis=0) + confusion.sum(axis=1))
    return Evaluation(
        split=split,
        faces=len(rows),
        accuracy=float(right.sum() / max(1, len(rows))),
        macro_f1=float(f1.mean()),
        recall={label: round(float(value), 4) for label, value in zip(LABELS, recall, strict=True)},
        confusion=confusion.tolist(),
        microseconds={str(size): round(_microseconds(classifier, fer.images[:size]), 1) for size in (1, 8, 32)},
    )


def _microseconds(classifier: Classifier, crops: NDArray[np.uint8], rounds: int = 30) -> float:
    """Median over ``rounds``, a face."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        classifier.scores(crops)
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) / len(crops) * 1e6


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine evaluate", description=__doc__)
    parser.add_argument("--model", default="dscnn", help="a shipped model's name, or a .onnx file with its manifest")
    parser.add_argument("--data", required=True, type=Path, help="fer2013.csv, the image folders, or the tiles")
    parser.add_argument("--split", choices=("training", "public", "private"), default="public")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = evaluate(Classifier(options.model), options.data, options.split)
    if options.json:
        print(json.dumps(asdict(result), indent=2))
        return
    print(f"{options.model} on {result.split} ({result.faces} faces, single crop): accuracy "
          f"{100 * result.accuracy:.2f} %, macro F1 {100 * result.macro_f1:.2f} %")  # fmt: skip
    for label, value in result.recall.items():
        print(f"  recall {label}: {100 * value:.1f} %")
    print("  microseconds a face: " + ", ".join(f"{t} at batch {size}" for size, t in result.microseconds.items()))


if __name__ == "__main__":
    main()
