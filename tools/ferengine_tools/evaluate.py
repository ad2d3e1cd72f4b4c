"""``ferengine evaluate``: how well a model, or several together, reads labelled faces, and how fast."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console

from ferengine.classification.classifier import Classifier
from ferengine.config import FILE_ON_CPU
from ferengine.errors import UsageError
from ferengine.models.registry import DEFAULT
from ferengine_tools.data import utkface, wild_faces
from ferengine_tools.data.fer2013 import LabelSet, Split
from ferengine_tools.evaluation import sets
from ferengine_tools.evaluation.confusion_picture import draw_confusion
from ferengine_tools.evaluation.crops import VIEWS
from ferengine_tools.evaluation.ensemble import Ensemble, open_ensemble
from ferengine_tools.evaluation.evaluation import Evaluation, evaluate_faces
from ferengine_tools.evaluation.faces import LabelledFaces, folder_faces
from ferengine_tools.evaluation.group_table import read_groups
from ferengine_tools.evaluation.mapping import LabelMap, load_map
from ferengine_tools.evaluation.mistakes import check_empty, find_mistakes, write_mistakes
from ferengine_tools.evaluation.prior_curve import draw_curve
from ferengine_tools.evaluation.sets import Copies, fer2013_faces, utkface_faces
from ferengine_tools.evaluation.speed import machine, speeds
from ferengine_tools.evaluation.table import renderables
from ferengine_tools.evaluation.temperature import check_writable, class_temperature, write_temperature

_FER2013: dict[str, Split] = {"train": "training", "training": "training", "public": "public", "private": "private"}
_WILD: dict[str, wild_faces.Split] = {"train": "training", "training": "training", "validation": "validation"}
_UTKFACE: dict[str, utkface.Split] = {"train": "training", "training": "training", "validation": "validation", "test": "test"}

FOLDER = "folder"


def evaluate(classifier: Classifier, data: Path, split: Split) -> Evaluation:
    """``classifier`` on a split of FER-2013. Raises UsageError when it does not know the data's classes."""
    return evaluate_faces(classifier, fer2013_faces(data, split), split)[0]


def load_faces(options: argparse.Namespace, task: str, side: int, label_map: LabelMap) -> LabelledFaces:
    """The faces that the options name. Raises UsageError for options that do not go together, and what the loaders raise."""
    wild = task == "expression" and wild_faces.is_wild_faces(options.data)
    split, splits = options.split, _UTKFACE if task == "gender" else _WILD if wild else _FER2013
    if split not in (*splits, FOLDER):
        raise UsageError(f"--split {split}: for a model of {task} choose one of {', '.join((*splits, FOLDER))}")
    if options.groups is not None and split != FOLDER:
        raise UsageError("--groups needs --split folder: the public sets have their own groups, or none")
    if (options.without_copies or options.labels != "fer2013") and (split == FOLDER or wild or task != "expression"):
        raise UsageError("--without-copies and --labels need a split of FER-2013, and a model of expression")
    if options.without_copies and splits[split] == "training":
        raise UsageError("--without-copies is for public and private: it leaves out what is in train, which is all of train")
    if split == FOLDER:
        faces = folder_faces(options.data, side, label_map)
        return faces if options.groups is None else faces.with_groups(read_groups(options.groups, faces.names))
    if wild:
        faces = sets.wild_faces(options.data, _WILD[split])
    elif task == "gender":
        faces = utkface_faces(options.data, _UTKFACE[split], options.cache)
    else:
        faces = fer2013_faces(options.data, _FER2013[split], labels=options.labels, without_copies=options.without_copies)
    return faces.renamed(label_map)


def fit(model: str, data: Path, *, labels: LabelSet = "fer2013", cache: Path | None = None) -> tuple[float, Path]:
    """Fit the temperature of the model file ``model`` on FER-2013's PublicTest (gender: UTKFace's validation split) and write
    it into its manifest: the temperature and the manifest's path.

    Raises UsageError for the name of an installed model, and what ``write_temperature`` and the loaders raise.
    """
    check_writable(model)
    classifier = Classifier(model, backend=FILE_ON_CPU)
    gender = classifier.manifest.task == "gender"
    faces = utkface_faces(data, "validation", cache) if gender else fer2013_faces(data, "public", labels=labels)
    temperature = class_temperature(classifier, faces.sized(classifier.input_size))
    return temperature, write_temperature(model, temperature)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.errors is not None:
        check_empty(options.errors)
    notes = Console(stderr=True, highlight=False)
    models = options.model or [DEFAULT]
    if options.fit_temperature:
        if len(models) > 1:
            raise UsageError("--fit-temperature is for one model at a time: of several each keeps its own")
        if options.map is not None or options.split == FOLDER:
            raise UsageError(
                "--fit-temperature is for a model's own classes, on PublicTest: leave --map and --split folder out"
            )
        temperature, manifest = fit(models[0], options.data, labels=options.labels, cache=options.cache)
        notes.print(f"temperature {temperature:.4f}, written to {manifest}")
    label_map = load_map(options.map) if options.map is not None else LabelMap()
    ensemble = open_ensemble(models)
    if options.split is None:
        options.split = _usual_split(options.data, ensemble.task)
    faces = load_faces(options, ensemble.task, ensemble.input_size, label_map)
    result, predictions = evaluate_faces(
        ensemble, faces, options.split, label_map=label_map, views=options.crops, prior=options.prior,
        stability=options.stability,
    )  # fmt: skip
    microseconds, computer = _speeds(ensemble), machine()
    title = f"{result.model} on {result.split}"
    if options.confusion is not None:
        draw_confusion(options.confusion, result.metrics.confusion, result.classes, title)
    if options.curve is not None:
        if not result.curve:
            raise UsageError("--curve needs one model that names priors, and data with its own prior or --prior")
        draw_curve(options.curve, result.curve, f"{title}, prior {result.prior}")
    if options.errors is not None:
        found = find_mistakes(predictions.scores, predictions.faces.labels, predictions.classes)
        write_mistakes(options.errors, found, predictions.faces, f"{title}: the most confident mistakes of each class")
    if options.json:
        print(json.dumps({**result.to_dict(), "microseconds": microseconds, "machine": computer}, indent=2))
        return
    console = Console(highlight=False)
    for part in renderables(result):
        console.print(part)
    if microseconds is None:
        console.print("no time: a checkpoint is run by torch, and the engine runs what ferengine export-onnx makes of it")
        return
    times = ", ".join(f"{value} at batch {size}" for size, value in microseconds.items())
    sum_of = "" if len(models) == 1 else f"the sum of {len(models)} models, "
    console.print(f"microseconds a face, {sum_of}one thread: {times}\n  ({computer})")


def _usual_split(data: Path, task: str) -> str:
    if task == "gender":
        return "test"
    return "validation" if wild_faces.is_wild_faces(data) else "public"


def _speeds(ensemble: Ensemble) -> dict[str, float] | None:
    """Microseconds a face by batch size, the sum over the networks; ``None`` where the engine does not run one of them."""
    classifiers = [network.classifier for network in ensemble.networks if network.classifier is not None]
    if len(classifiers) < len(ensemble.networks):
        return None
    times = [speeds(classifier) for classifier in classifiers]
    return {size: round(sum(each[size] for each in times), 1) for size in times[0]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ferengine evaluate", description=(__doc__ or "").partition(": ")[2])
    add = parser.add_argument
    add("--model", nargs="+", action="extend", metavar="MODEL",
        help="a shipped model's name, a .onnx file with its manifest, or a checkpoint (.safetensors, needs torch); of several "
        f"the probabilities are averaged (default {DEFAULT})")  # fmt: skip
    add("--data", required=True, type=Path, help="FER-2013 (fer2013.csv, its image folders or tiles); for a model of gender "
        "UTKFace (folder or zip); the folder of wild_faces; or any folder")  # fmt: skip
    add("--split", choices=dict.fromkeys((*_FER2013, *_UTKFACE, FOLDER)), metavar="SPLIT",
        help="FER-2013: train, public (the default), private; UTKFace: train, validation, test (the default); wild_faces: "
        "train, validation (the default); folder: any one with a sub-folder of cut, square faces for each class")  # fmt: skip
    add("--map", type=Path, metavar="TOML", help="[folders] gives each class's label, [outputs] each label's class; false "
        "leaves either out")  # fmt: skip
    add("--groups", type=Path, metavar="CSV", help="of a folder: the columns file and one or more groupings")
    add("--labels", choices=get_args(LabelSet), default="fer2013", help="ferplus8: with contempt, where FER+'s crowd says so")
    add("--without-copies", nargs="?", const="exact", choices=get_args(Copies), help="leave out test images that are training "
        "images as well, pixel for pixel, or (near) show the same photograph")  # fmt: skip
    add("--cache", type=Path, metavar="FOLDER", help="where UTKFace's cut faces are kept (default: the user's cache)")
    add("--crops", type=int, choices=VIEWS, default=1,
        help="also average over a face and its mirror image (2), or ten crops (10), told apart")  # fmt: skip
    add("--prior", metavar="NAME|FILE", help="class prior to measure under: uniform, fer2013, everyday, or a .json or .toml "
        "file with the probability of each label (default: the data's own; of a folder the model's own choice)")  # fmt: skip
    add("--curve", type=Path, metavar="SVG", help="draw how faces are read under powers of the data's class frequencies")
    add("--stability", action="store_true", help="also how often a label changes under a shift of one pixel, and in the mirror")
    add("--fit-temperature", action="store_true",
        help="first fit it on PublicTest (UTKFace: validation) and write it into the manifest of the file --model")  # fmt: skip
    add("--confusion", type=Path, metavar="PNG", help="draw the confusion matrix, beside the document's Table I")
    add("--errors", type=Path, metavar="FOLDER", help="write the most confident mistakes of each class, as files and a sheet")
    add("--json", action="store_true", help="print a JSON object instead of tables")
    return parser


if __name__ == "__main__":
    main()
