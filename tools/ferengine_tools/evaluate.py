"""``ferengine evaluate``: how well a model reads labelled faces, and how fast."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from ferengine.classify.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.registry import DEFAULT
from ferengine_tools.data.fer2013 import Split
from ferengine_tools.evaluation.confusion_picture import draw_confusion
from ferengine_tools.evaluation.crops import VIEWS
from ferengine_tools.evaluation.evaluation import Evaluation, evaluate_faces
from ferengine_tools.evaluation.faces import LabelledFaces, fer2013_faces, folder_faces
from ferengine_tools.evaluation.group_table import read_groups
from ferengine_tools.evaluation.mapping import LabelMap, load_map
from ferengine_tools.evaluation.mistakes import check_empty, find_mistakes, write_mistakes
from ferengine_tools.evaluation.speed import machine, speeds
from ferengine_tools.evaluation.table import renderables
from ferengine_tools.evaluation.temperature import check_writable, fit_temperature, write_temperature

_FER2013: dict[str, Split] = {"train": "training", "training": "training", "public": "public", "private": "private"}


def evaluate(classifier: Classifier, data: Path, split: Split) -> Evaluation:
    """``classifier`` on a split of FER-2013. Raises UsageError when it does not know the data's classes."""
    return evaluate_faces(classifier, fer2013_faces(data, split), split)[0]


def load_faces(options: argparse.Namespace, side: int, label_map: LabelMap) -> LabelledFaces:
    """The faces that the options name. Raises UsageError for options that do not go together, and what the loaders raise."""
    if options.split in _FER2013:
        if options.groups is not None:
            raise UsageError("--groups needs --split folder: FER-2013's faces have no names")
        faces = fer2013_faces(options.data, _FER2013[options.split], without_copies=options.without_copies)
        return faces.renamed(label_map.folder)
    if options.without_copies:
        raise UsageError("--without-copies needs a split of FER-2013: a folder has no training images")
    faces = folder_faces(options.data, side, label_map.folder)
    if options.groups is None:
        return faces
    return faces.with_groups(read_groups(options.groups, faces.names))


def fit(model: str, data: Path) -> tuple[float, Path]:
    """Fit the temperature of the model file ``model`` on PublicTest of FER-2013 and write it into its manifest.

    The temperature and the manifest's path. Raises what ``write_temperature`` and ``fer2013_faces`` raise.
    """
    check_writable(model)
    classifier = Classifier(model)
    faces = fer2013_faces(data, "public").sized(classifier.input_size)
    LabelMap().matrix(classifier.labels, faces.classes)
    order = np.array([classifier.labels.index(name) for name in faces.classes])
    temperature = fit_temperature(classifier.logits(faces.images), order[faces.labels])
    return temperature, write_temperature(model, temperature)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.errors is not None:
        check_empty(options.errors)
    notes = Console(stderr=True, highlight=False)
    if options.fit_temperature:
        temperature, manifest = fit(options.model, options.data)
        notes.print(f"temperature {temperature:.4f}, fitted on PublicTest, written to {manifest}")
    label_map = load_map(options.map) if options.map is not None else LabelMap()
    classifier = Classifier(options.model)
    faces = load_faces(options, classifier.input_size, label_map)
    result, predictions = evaluate_faces(classifier, faces, options.split, label_map=label_map, views=options.crops)
    microseconds, computer = speeds(classifier), machine()
    title = f"{result.model} on {result.split}"
    if options.confusion is not None:
        draw_confusion(options.confusion, result.metrics.confusion, result.classes, title)
    if options.errors is not None:
        found = find_mistakes(predictions.scores, predictions.faces.labels, predictions.classes)
        write_mistakes(options.errors, found, predictions.faces, f"{title}: the most confident mistakes of each class")
    if options.json:
        print(json.dumps({**result.to_dict(), "microseconds": microseconds, "machine": computer}, indent=2))
        return
    console = Console(highlight=False)
    for part in renderables(result):
        console.print(part)
    times = ", ".join(f"{value} at batch {size}" for size, value in microseconds.items())
    console.print(f"microseconds a face, one thread: {times}\n  ({computer})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ferengine evaluate", description=(__doc__ or "").partition(": ")[2])
    add = parser.add_argument
    add("--model", default=DEFAULT, help=f"a shipped model's name, or a .onnx file with its manifest (default {DEFAULT})")
    add("--data", required=True, type=Path, help="FER-2013 (fer2013.csv, its image folders or tiles), or a folder of classes")
    add("--split", choices=(*_FER2013, "folder"), default="public",
        help="of FER-2013; folder: any folder with a sub-folder of cut, square faces for each class")  # fmt: skip
    add("--map", type=Path, metavar="TOML", help="[folders] gives each class's label, [outputs] each label's class; false "
        "leaves either out")  # fmt: skip
    add("--groups", type=Path, metavar="CSV", help="of a folder: the columns file and one or more groupings")
    add("--without-copies", action="store_true", help="leave out test images that are training images as well")
    add("--crops", type=int, choices=VIEWS, default=1,
        help="also average over a face and its mirror image (2), or ten crops (10), told apart")  # fmt: skip
    add("--fit-temperature", action="store_true",
        help="fit the temperature on PublicTest first; it goes into the manifest of the file --model")  # fmt: skip
    add("--confusion", type=Path, metavar="PNG", help="draw the confusion matrix, beside the document's Table I")
    add("--errors", type=Path, metavar="FOLDER", help="write the most confident mistakes of each class, as files and a sheet")
    add("--json", action="store_true", help="print a JSON object instead of tables")
    return parser


if __name__ == "__main__":
    main()
