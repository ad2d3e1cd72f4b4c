"""``ferengine evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.registry import DEFAULT

if TYPE_CHECKING:
    from ferengine_tools.evaluation.ensemble import Ensemble


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            help="FER-2013 (fer2013.csv, its image folders or tiles); for a model of gender UTKFace (folder or zip file); the "
            "folder of wild_faces; or, with --split folder, any folder."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A shipped model's name, a .onnx file with its manifest, or a checkpoint (.safetensors). Repeat to average "
            "the probabilities of several.",
            show_default=DEFAULT,
        ),
    ] = None,
    split: Annotated[
        Literal["train", "training", "public", "private", "validation", "test", "folder"] | None,
        typer.Option(
            metavar="SPLIT",
            help="FER-2013: train, public, private; UTKFace: train, validation, test; wild_faces: train, validation; folder: "
            "a folder with a sub-folder of square crops for each class.",
            show_default="public, test or validation",
        ),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="TOML",
            help="The table [folders] gives each class's label, [outputs] each label's class; false leaves either out.",
        ),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(metavar="CSV", help="For a folder: the column file and one or more groupings.")
    ] = None,
    labels: Annotated[
        Literal["fer2013", "ferplus8"],
        typer.Option(help="ferplus8: FER-2013's labels, and contempt where the crowd of FER+ says so."),
    ] = "fer2013",
    without_copies: Annotated[
        Literal["exact", "near"] | None,
        typer.Option(
            help="Leave out test faces that are training faces as well, pixel for pixel (exact), or that show the same "
            "photograph (near)."
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of UTKFace's crops.", show_default="the user's cache")
    ] = None,
    crops: Annotated[
        Literal["1", "2", "10"],
        typer.Option(help="Report also the mean over a face and its mirror image (2), or over ten crops (10)."),
    ] = "1",
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Class prior to measure under: uniform, fer2013, everyday, or a .json or .toml file with the probability of "
            "each label.",
            show_default="the data's own, or for a folder the model's choice",
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(metavar="SVG", help="Draw how faces are read under powers of the data's class frequencies."),
    ] = None,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability", help="Report also how often a label changes under a shift of one pixel, and in the mirror."
        ),
    ] = False,
    fit_temperature: Annotated[
        bool,
        typer.Option(
            "--fit-temperature",
            help="First fit the temperature under the data's own prior on PublicTest (UTKFace, wild_faces: validation) and "
            "write it into the manifest of the file --model.",
        ),
    ] = False,
    confusion: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the confusion matrix beside Table I of Zhao's paper.")
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the most confident mistakes of each class, as files and as one image."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of tables.")] = False,
) -> None:
    """Measure a model on FER-2013, UTKFace or a labelled folder.

    The time of a face is measured, too. Checkpoints and drawings need the train extra.
    """
    from ferengine_tools.evaluation.confusion_matrix import draw_confusion
    from ferengine_tools.evaluation.crops import Views
    from ferengine_tools.evaluation.ensemble import open_ensemble
    from ferengine_tools.evaluation.evaluation import evaluate_faces
    from ferengine_tools.evaluation.figure import check_figure
    from ferengine_tools.evaluation.mapping import LabelMap, load_map
    from ferengine_tools.evaluation.mistakes import check_empty, check_outside, find_mistakes, write_mistakes
    from ferengine_tools.evaluation.prior_curve import draw_curve
    from ferengine_tools.evaluation.selection import Selection, load_faces, usual_split
    from ferengine_tools.evaluation.speed import machine
    from ferengine_tools.evaluation.table import renderables
    from ferengine_tools.evaluation.temperature import check_writable, fit

    if errors is not None:
        check_empty(errors)
        if split == "folder":
            check_outside(errors, data)
    for drawing in filter(None, (confusion, curve)):
        check_figure(drawing)
    models = model or [DEFAULT]
    if fit_temperature:
        if len(models) > 1:
            raise UsageError("--fit-temperature is for one model at a time: of several each keeps its own")
        if map_file is not None or split == "folder":
            raise UsageError(
                "--fit-temperature is for a model's own classes, on PublicTest: leave --map and --split folder out"
            )
        check_writable(models[0])
    label_map = load_map(map_file) if map_file is not None else LabelMap()
    ensemble = open_ensemble(models)
    split = split or usual_split(data, ensemble.task)
    selection = Selection(data, split, labels, without_copies, groups, cache)
    faces = load_faces(selection, ensemble.task, ensemble.input_size, label_map)
    if fit_temperature:  # now that the options are known to fit: it changes a file
        temperature, fitted_under, manifest = fit(models[0], data, labels=labels, cache=cache)
        under = "" if fitted_under is None else f" under the prior {fitted_under}"
        Console(stderr=True, highlight=False, markup=False).print(
            f"temperature {temperature:.4f}{under}, written to {manifest}"
        )
        ensemble = open_ensemble(models)
    views: dict[str, Views] = {"1": 1, "2": 2, "10": 10}
    result, predictions = evaluate_faces(
        ensemble, faces, split, label_map=label_map, views=views[crops], prior=prior, stability=stability
    )
    microseconds, computer = _time(ensemble), machine()
    title = f"{result.model} on {result.split}"
    if confusion is not None:
        draw_confusion(confusion, result.metrics.confusion, result.classes, title)
    if curve is not None:
        if not result.curve:
            raise UsageError(
                "--curve needs one model that names priors and has the data's own classes, and a prior other than uniform: "
                "that of the data, or --prior"
            )
        draw_curve(curve, result.curve, f"{title}, prior {result.prior}")
    if errors is not None:
        found = find_mistakes(predictions.scores, predictions.faces.labels, predictions.classes)
        write_mistakes(errors, found, predictions.faces, f"{title}: the most confident mistakes of each class")
    if as_json:
        print(json_text({**result.to_dict(), "microseconds": microseconds, "machine": computer}, indent=2))
        return
    console = Console(highlight=False, markup=False)  # names of groups and classes are texts
    for part in renderables(result):
        console.print(part, soft_wrap=isinstance(part, str))  # a line of a table in Markdown stays one
    if microseconds is None:
        console.print("no time: a checkpoint is run by torch, and the engine runs what ferengine export-onnx makes of it")
        return
    times = ", ".join(f"{value} at batch {size}" for size, value in microseconds.items())
    sum_of = "" if len(models) == 1 else f"the sum of {len(models)} models, "
    console.print(f"microseconds per face, {sum_of}one thread: {times}\n  ({computer})", soft_wrap=True)


def _time(ensemble: Ensemble) -> dict[str, float] | None:
    """Microseconds per face by batch size, the sum over the networks; None where the engine does not run one of them."""
    from ferengine_tools.evaluation.speed import speeds

    classifiers = [network.classifier for network in ensemble.networks if network.classifier is not None]
    if len(classifiers) < len(ensemble.networks):
        return None
    times = [speeds(classifier) for classifier in classifiers]
    return {size: round(sum(each[size] for each in times), 1) for size in times[0]}
