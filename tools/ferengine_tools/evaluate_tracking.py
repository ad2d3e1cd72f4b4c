"""``ferengine evaluate-tracking``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ferengine.config import TRACKED_THRESHOLDS
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.settings import MIN_FACE, DetectorName

if TYPE_CHECKING:
    from ferengine.sources.base import CapturedFrame
    from ferengine_tools.tracking.lines import Sightings
    from ferengine_tools.tracking.measures import Measures


def evaluate_tracking(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The lines that ferengine run --events wrote.", show_default=False)
    ],
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|demo:SCENARIO",
            help="Who is where: lines of the same form, in which track names the person; or what the demo knows of itself.",
        ),
    ] = None,
    pseudo: Annotated[
        str | None,
        typer.Option(metavar="CLIP", help="Instead of a truth the clip itself: every frame of it is searched for faces."),
    ] = None,
    one_person: Annotated[
        bool, typer.Option("--one-person", help="With --pseudo: the clip shows one person alone, however often it comes back.")
    ] = False,
    detector: Annotated[DetectorName, typer.Option(help="With --pseudo: what searches.")] = "mtcnn",
    min_face: Annotated[
        float, typer.Option(metavar="PIXELS", help="With --pseudo: the width of the smallest face.")
    ] = MIN_FACE,
    write_truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --pseudo or the demo: write the truth, for another run or to correct it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Measure how well a run kept people apart: IDF1, HOTA, wrong, false and extra ids, latency and flicker.

    A face counts as found where it overlaps the true one by half (IoU 0.5). Cameras are paired by name, frames by number.
    """
    from ferengine_tools.tracking.lines import read_lines
    from ferengine_tools.tracking.lines import write_truth as write
    from ferengine_tools.tracking.measures import measure, pair_cameras

    if (truth is None) == (pseudo is None):
        raise UsageError("give either --truth FILE or --pseudo CLIP")
    if pseudo is None and one_person:
        raise UsageError("--one-person is for --pseudo")
    demo = truth is not None and truth.partition(":")[0] == "demo" and not Path(truth).exists()
    shown = read_lines(result)
    if pseudo is None and not demo:
        assert truth is not None
        if write_truth is not None:
            raise UsageError("--write-truth is for --pseudo and the demo: the truth is a file already")
        true = read_lines(Path(truth))
    else:
        if len(shown) > 1:
            raise UsageError(f"{result} is of several cameras ({', '.join(sorted(shown))}): {truth or '--pseudo'} is for one")
        ((camera, frames),) = shown.items()
        made = _search(pseudo, detector, min_face, one_person) if pseudo is not None else _demo(truth or "", 1 + max(frames))
        true = {camera: made}
        if write_truth is not None:
            write(write_truth, camera, made)
    pairs = list(pair_cameras(true, shown))
    each = {name: measure([(a, b)]) for name, a, b in pairs}
    if len(pairs) > 1:
        each["all"] = measure([(a, b) for _, a, b in pairs])
    if as_json:
        print(json_text({name: measures.to_dict() for name, measures in each.items()}, indent=2))
    else:
        Console(highlight=False).print(_table(each))


def _demo(source: str, frames: int) -> Sightings:
    from ferengine.sources import parse_source
    from ferengine_tools.tracking.demo_truth import demo_truth

    return demo_truth(parse_source(source).value, frames)


def _search(clip: str, detector: DetectorName, min_face: float, one_person: bool) -> Sightings:
    from ferengine.detection import create_detector
    from ferengine.detection.birth import BIRTH_SCORES
    from ferengine.vision import cv2
    from ferengine_tools.tracking.pseudo_truth import pseudo_truth

    cv2.setNumThreads(1)
    searches = create_detector(detector, min_face=min_face, thresholds=TRACKED_THRESHOLDS)
    try:
        return pseudo_truth(_frames(clip), searches, BIRTH_SCORES[detector].once, one_person)
    finally:
        searches.close()


def _frames(clip: str) -> Iterator[CapturedFrame]:
    from ferengine.sources import open_source, parse_source

    spec = parse_source(clip)
    if spec.blocks:
        raise UsageError(f"--pseudo is for clips that can be read again, not for {spec.where}")
    source = open_source(spec)
    source.open()
    try:
        while (frame := source.read()) is not None:
            yield frame
    finally:
        source.close()


def _table(each: dict[str, Measures]) -> Table:
    table = Table("", *each, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [measures.to_dict() for measures in each.values()]
    for key in rows[0]:
        cells = ["-" if row[key] is None else str(row[key]) for row in rows]
        table.add_row(key.replace("_", " "), *cells)
    return table
