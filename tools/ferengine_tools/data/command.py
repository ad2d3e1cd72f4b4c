"""``ferengine data report`` and ``ferengine data prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from ferengine.errors import FerengineError, UsageError
from ferengine.json_text import json_text


def report(
    data: Annotated[Path, typer.Option(help="fer2013.csv, its image folders or tiles; UTKFace; or the folder of wild_faces.")],
    labels: Annotated[
        Literal["fer2013", "ferplus8"], typer.Option(help="ferplus8: FER-2013's labels, and FER+'s contempt.")
    ] = "fer2013",
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of UTKFace's crops.", show_default="the user's cache")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of tables.")] = False,
) -> None:
    """Count the faces of a data set, and find copies, near-copies and blank faces.

    Faces are counted by split and class, those of UTKFace by gender, ethnicity and age group, those of wild_faces by annotator.
    Copies and near-copies are counted within and across splits.
    """
    from ferengine_tools.data.fer2013 import load_fer2013
    from ferengine_tools.data.report import make_report, print_report
    from ferengine_tools.data.utkface import is_utkface, load_utkface, user_cache
    from ferengine_tools.data.utkface_report import make_utkface_report, print_utkface_report
    from ferengine_tools.data.wild_faces import is_wild_faces, load_wild_faces
    from ferengine_tools.data.wild_faces_report import make_wild_faces_report, print_wild_faces_report

    messages = Console(stderr=True)
    if is_wild_faces(data):
        if labels != "fer2013" or cache is not None:
            raise UsageError(f"--labels is for FER-2013 and --cache for UTKFace; {data} is wild_faces")
        with messages.status("comparing faces (a few seconds)"):
            wild = make_wild_faces_report(load_wild_faces(data))
        print(json_text(wild.to_dict(), indent=2)) if as_json else print_wild_faces_report(wild, Console(markup=False))
        return
    if is_utkface(data):
        if labels != "fer2013":
            raise UsageError(f"--labels {labels} is for FER-2013; {data} is UTKFace")
        with messages.status("cropping faces (three minutes, unless they are cached) and comparing them (half a minute)"):
            people = make_utkface_report(load_utkface(data, cache or user_cache()))
        print(json_text(people.to_dict(), indent=2)) if as_json else print_utkface_report(people, Console(markup=False))
        return
    if cache is not None:
        raise UsageError(f"--cache is for UTKFace; {data} needs none")
    with messages.status("comparing faces (half a minute)"):
        found = make_report(load_fer2013(data, labels))
    print(json_text(found.to_dict(), indent=2)) if as_json else print_report(found, Console(markup=False))


def prepare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images, in sub-folders or not.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    align: Annotated[
        Literal["eyes", "none"],
        typer.Option(help="eyes: rotate each face until its eyes are level; none: as ferengine run does."),
    ] = "eyes",
    min_face: Annotated[float, typer.Option(help="Minimum size of a face, pixels.")] = 40.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of text.")] = False,
) -> None:
    """Crop the largest face of each of your own images.

    The crops are grayscale PNG files of 48 x 48 pixels. Names and sub-folders are kept, and faces.csv lists what was found in
    each image. With a sub-folder for each class the crops are ready for ferengine evaluate --split folder.

    To train on your images, lay them out as FER-2013's image folders first: train/CLASS/Training_NAME,
    test/CLASS/PublicTest_NAME (to choose on) and test/CLASS/PrivateTest_NAME (for the end), where CLASS is angry, disgust,
    fear, happy, neutral, sad or surprise. The crops are then ready for ferengine train --data.
    """
    from ferengine_tools.data.cropping import PhotoCropper
    from ferengine_tools.data.prepare import LISTING, find_images, write_crops

    images = find_images(folder)
    cropper = PhotoCropper(min_face, align == "eyes")
    messages = Console(stderr=True)
    with Progress(console=messages, disable=not messages.is_terminal) as progress:
        bar = progress.add_task("cropping faces", total=len(images))
        done = write_crops(folder, out, cropper, images, lambda: progress.advance(bar))
    if as_json:
        print(json_text({"images": done.images, "faces": done.faces, **done.outcomes}, indent=2))
    else:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in done.outcomes.items())
        print(f"{done.faces} faces from {done.images} images: {outcomes}")
        print(f"listed in {out / LISTING}")
    if not done.faces:
        raise FerengineError(f"no face was found in {folder}: are its faces smaller than --min-face {min_face:g}?")
