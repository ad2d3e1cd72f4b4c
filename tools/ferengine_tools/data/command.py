"""``ferengine data``: what is in a data set, and faces cut from one's own pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ferengine.errors import FerengineError, UsageError
from ferengine_tools.data.cutting import FaceCutter
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.data.prepare import LISTING, find_pictures, prepare
from ferengine_tools.data.report import make_report, print_report
from ferengine_tools.data.utkface import is_utkface, load_utkface, user_cache
from ferengine_tools.data.utkface_report import make_utkface_report, print_utkface_report
from ferengine_tools.data.wild_faces import is_wild_faces, load_wild_faces
from ferengine_tools.data.wild_faces_report import make_wild_faces_report, print_wild_faces_report


def _report(options: argparse.Namespace) -> None:
    messages = Console(stderr=True)
    if is_wild_faces(options.data):
        if options.labels != "fer2013" or options.cache is not None:
            raise UsageError(f"--labels is for FER-2013 and --cache for UTKFace; {options.data} is wild_faces")
        with messages.status("comparing faces (a few seconds)"):
            wild = make_wild_faces_report(load_wild_faces(options.data))
        print(json.dumps(wild.to_dict(), indent=2)) if options.json else print_wild_faces_report(wild, Console())
        return
    if is_utkface(options.data):
        if options.labels != "fer2013":
            raise UsageError(f"--labels {options.labels} is for FER-2013; {options.data} is UTKFace")
        with messages.status("cutting faces (three minutes, unless they are kept) and comparing them (half a minute)"):
            report = make_utkface_report(load_utkface(options.data, options.cache or user_cache()))
        print(json.dumps(report.to_dict(), indent=2)) if options.json else print_utkface_report(report, Console())
        return
    if options.cache is not None:
        raise UsageError(f"--cache is for UTKFace; {options.data} needs none")
    with messages.status("comparing faces (half a minute)"):
        found = make_report(load_fer2013(options.data, options.labels))
    print(json.dumps(found.to_dict(), indent=2)) if options.json else print_report(found, Console())


def _prepare(options: argparse.Namespace) -> None:
    pictures = find_pictures(options.folder)
    cutter = FaceCutter(options.min_face, options.align == "eyes")
    messages = Console(stderr=True)
    with Progress(console=messages, disable=not messages.is_terminal) as progress:
        bar = progress.add_task("cutting faces", total=len(pictures))
        done = prepare(options.folder, options.out, cutter, pictures, lambda: progress.advance(bar))
    if options.json:
        print(json.dumps({"pictures": done.pictures, "faces": done.faces, **done.outcomes}, indent=2))
    else:
        print(
            f"{done.faces} faces from {done.pictures} pictures: "
            + ", ".join(f"{n} {what}" for what, n in done.outcomes.items())
        )
        print(f"listed in {options.out / LISTING}")
    if not done.faces:
        raise FerengineError(
            f"no face was found in {options.folder}: are its faces smaller than --min-face {options.min_face:g}?"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferengine data", description="What is in a data set, and faces cut from one's own pictures."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report",
        help="counts, copies, near-copies and blank faces of FER-2013, UTKFace or wild_faces",
        description="Counts by split and class (of UTKFace by gender, ethnicity and age group, of wild_faces by annotator), "
        "faces that are copies or near-copies of others, within and across splits, and blank ones.",
    )
    report.add_argument(
        "--data", required=True, type=Path, help="fer2013.csv, the image folders, the tiles, UTKFace or wild_faces"
    )
    report.add_argument("--labels", choices=("fer2013", "ferplus8"), default="fer2013", help="ferplus8: with FER+'s contempt")
    report.add_argument(
        "--cache", type=Path, metavar="DIR", help="where UTKFace's cut faces are kept (default: the user's cache)"
    )
    report.add_argument("--json", action="store_true", help="print a JSON object instead of tables")
    report.set_defaults(run=_report)
    cut = commands.add_parser(
        "prepare",
        help="cut the faces of your own pictures: detected, aligned, grey, 48 x 48",
        description="Cuts the largest face of each picture to grey 48 x 48 PNG files. Names and sub-folders are kept; "
        f"{LISTING} says what was found in each picture. With a sub-folder a class the faces are ready for ferengine evaluate "
        "--split folder. To train on your pictures, lay them out as FER-2013's image folders before they are cut: "
        "train/CLASS/Training_NAME, test/CLASS/PublicTest_NAME (to choose on) and test/CLASS/PrivateTest_NAME (for the end), "
        f"CLASS one of {', '.join(LABELS)}. The faces are then ready for ferengine train --data.",
    )
    cut.add_argument("folder", type=Path, help="pictures, in sub-folders or not")
    cut.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder")
    cut.add_argument(
        "--align", choices=("eyes", "none"), default="eyes", help="level the eyes; none: as `ferengine run` cuts by default"
    )
    cut.add_argument("--min-face", type=float, default=40.0, help="width of the smallest face sought, pixels (default 40)")
    cut.add_argument("--json", action="store_true", help="print a JSON object instead of text")
    cut.set_defaults(run=_prepare)
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
