"""Whether an id ever goes on with another person, and how often one person gets a second one, in made scenes.

``python -m ferengine_tools.tracking.scenes FOLDER`` puts people of clips and photographs (``clips``, ``wild_faces`` and
``faces_detection`` in FOLDER) where others were: at cuts, in dissolves, slideshows, insets, behind a bar. Each scene is tracked
as a run over a file tracks it, at several frame rates. The same folder and options give the same scenes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from ferengine.cli.command import exit_code, make_command
from ferengine.config import TRACKED_THRESHOLDS
from ferengine.detection import create_detector
from ferengine.detection.base import Detector
from ferengine.detection.birth import BIRTH_SCORES
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.settings import DetectorName
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.vision import cv2
from ferengine_tools.tracking.actors import Actor, Image, backgrounds, clip_actors, photo_actors
from ferengine_tools.tracking.lines import Sighting, Sightings, as_boxes
from ferengine_tools.tracking.measures import Measures, measure
from ferengine_tools.tracking.scripts import CONTROLS, SCRIPTS, Cast
from ferengine_tools.tracking.staging import SIZE, Scene, draw

_PHOTOS = 120
_PHOTOS_EACH = 24
_BACKGROUNDS = 6
_MIN_FACE = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What scenes are made of."""

    people: list[Actor]
    photos: list[Actor]
    backgrounds: list[Image]

    def cast(self, seed: int) -> Cast:
        """Who is in a scene, by its number."""
        random = Random(seed)
        return Cast(
            random.sample(self.people, 3), random.sample(self.photos, _PHOTOS_EACH), random.choice(self.backgrounds), random
        )


@dataclass(slots=True)
class Outcome:
    """What came of the scenes of a kind.

    Attributes:
        measures: Of all of them together.
        scenes: How many.
        wrong_scenes: Those in which a track was on two people.
        tracking_ms: CPU time of tracking a frame, without detection.
    """

    measures: Measures
    scenes: int
    wrong_scenes: int
    tracking_ms: float


def track(scene: Scene, fps: float, every: int, detector: Detector, births: DetectorName) -> tuple[Sightings, Sightings, float]:
    """Track a scene as the track stage does a file: the truth, what is shown, and the CPU seconds of tracking."""
    names = sorted({layer.actor.name for layer in scene.layers})
    tracker = FaceTracker(births=BIRTH_SCORES[births])
    truth: Sightings = {}
    shown: Sightings = {}
    spent = 0.0
    for number in range(round(scene.seconds * fps)):
        image, truth[number] = draw(scene, number / fps, names)
        start = time.thread_time()
        tracker.look(image, number / fps)
        if number % every:
            tracker.advance(image, number / fps)
        spent += time.thread_time() - start
        if number % every == 0 or tracker.wants_detection:
            found = detector.detect(image)
            start = time.thread_time()
            tracker.correct(image, found, number / fps)
            spent += time.thread_time() - start
        faces = tracker.faces
        boxes = as_boxes(face.box for face in faces)
        ids = tuple(face.id for face in faces)
        shown[number] = Sighting(number / fps, ids, boxes, (None,) * len(faces), as_boxes([]))
    return truth, shown, spent


def play(
    material: Material, kind: str, fps: Sequence[float], each: int, every: int, detector: Detector, births: DetectorName
) -> Outcome:
    """Track some scenes of a kind at each rate."""
    runs = []
    spent = 0.0
    for rate in fps:
        for seed in range(each):
            scene = SCRIPTS[kind](material.cast(seed), kind)
            truth, shown, seconds = track(scene, rate, every, detector, births)
            runs.append((truth, shown))
            spent += seconds
    measures = measure(runs)
    wrong = sum(measure([run]).shared_tracks > 0 for run in runs)
    return Outcome(measures, len(runs), wrong, 1000 * spent / measures.frames)


def scenes(
    folder: Annotated[Path, typer.Argument(help="The folder with clips, wild_faces and faces_detection.")],
    kind: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(SCRIPTS)}.")] = None,
    fps: Annotated[list[float] | None, typer.Option(min=1, help="The frame rates; 5, 15, 25 and 60.")] = None,
    each: Annotated[int, typer.Option(min=1, help="Scenes of each kind at each rate.")] = 6,
    every: Annotated[int, typer.Option(min=1, help="Search one frame in N.")] = 6,
    detector: Annotated[DetectorName, typer.Option(help="What searches.")] = "mtcnn",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Count wrong continuations and second ids in made scenes, as a table in Markdown."""
    unknown = sorted(set(kind or []) - SCRIPTS.keys())
    if unknown:
        raise UsageError(f"there is no kind of scene {unknown[0]!r}; there are {', '.join(SCRIPTS)}")
    cv2.setNumThreads(1)
    searches = create_detector(detector, min_face=_MIN_FACE, thresholds=TRACKED_THRESHOLDS)
    material = Material(
        clip_actors(folder / "clips", searches),
        photo_actors(folder / "wild_faces", searches, _PHOTOS),
        backgrounds(folder / "faces_detection", searches, SIZE, _BACKGROUNDS),
    )
    names = kind or list(SCRIPTS)
    rates = fps or [5, 15, 25, 60]
    if as_json:
        found = {name: play(material, name, rates, each, every, searches, detector) for name in names}
        print(json_text({name: _to_dict(outcome) for name, outcome in found.items()}, indent=2))
        return
    print("| scene | wrong continuations | scenes with one | second ids | recall, % | tracking, ms a frame |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in names:
        print(_row(name, play(material, name, rates, each, every, searches, detector)), flush=True)


def _row(name: str, outcome: Outcome) -> str:
    measures = outcome.measures
    cells = (
        name + (" (control)" if name in CONTROLS else ""), measures.wrong_continuations,
        f"{outcome.wrong_scenes} of {outcome.scenes}", measures.extra_tracks, f"{100 * measures.recall:.1f}",
        f"{outcome.tracking_ms:.2f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _to_dict(outcome: Outcome) -> dict[str, object]:
    return outcome.measures.to_dict() | {
        "scenes": outcome.scenes, "wrong_scenes": outcome.wrong_scenes, "tracking_ms": round(outcome.tracking_ms, 3)
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(scenes), "python -m ferengine_tools.tracking.scenes", arguments)


if __name__ == "__main__":
    sys.exit(main())
