"""Recall and false boxes of a detector on a folder of annotated photographs.

    python -m ferengine_tools.detection_accuracy FOLDER [--detector haar | --compare] [--min-face 20] [--at 1280x720] [--json]

The folder holds ``annotations.jsonl``, one photograph a line: {"image": path, "source": name, "faces": [{"box": [x, y,
w, h], "ignore": bool, "mask": "with_mask" | "without_mask" | ...}]}, ``ignore`` and ``mask`` optional. Photographs of
the source "negative_scene" show no face.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.detection import Detector, create_detector
from ferengine.errors import MissingDependencyError, UsageError
from ferengine.json_text import json_text
from ferengine.models.settings import MIN_FACE, DetectorName
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2
from ferengine_tools.files import read_image

SMALLEST = 40.0
"""Faces count from this shorter side on, pixels."""

SIZES = ((20.0, 40.0), (40.0, 80.0), (80.0, float("inf")))
"""From and below which shorter side faces are counted together, masked ones too, pixels."""

MATCH_IOU = 0.4
"""A box finds a face when they overlap by at least this much."""

DETECTORS: tuple[DetectorName, ...] = ("haar", "mtcnn", "retinaface")
FACELESS = "negative_scene"
MASKED = "masked"


@dataclass(frozen=True, slots=True)
class Recall:
    """How many faces were found.

    Attributes:
        found: Faces found.
        faces: Faces that there are.
    """

    found: int
    faces: int

    @property
    def fraction(self) -> float:
        """0 where there are no faces."""
        return self.found / self.faces if self.faces else 0.0


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """What a detector finds.

    Attributes:
        sources: Unmasked faces by source.
        masked: The faces with masks of all sources.
        faceless_scenes: Photographs without faces.
        false_boxes: Boxes found in these.
        crowds: Photographs with faces.
        stray_boxes: Boxes in these whose middle lies in no face.
        milliseconds: Processor time per photograph.
        sizes: Masked and unmasked faces by size, those below ``SMALLEST`` too.
    """

    sources: Mapping[str, Recall]
    masked: Recall
    faceless_scenes: int
    false_boxes: int
    crowds: int
    stray_boxes: int
    milliseconds: float
    sizes: Mapping[str, Recall] = field(default_factory=dict)

    @property
    def recall(self) -> float:
        """Fraction of the unmasked faces found, all sources together."""
        counts = self.sources.values()
        return Recall(sum(each.found for each in counts), sum(each.faces for each in counts)).fraction

    @property
    def false_per_scene(self) -> float:
        """False boxes a faceless scene; 0 where there are none."""
        return self.false_boxes / self.faceless_scenes if self.faceless_scenes else 0.0

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        groups = {**self.sources, MASKED: self.masked}
        return {
            "recall": self.recall,
            "false_per_scene": self.false_per_scene,
            "faceless_scenes": self.faceless_scenes,
            "false_boxes": self.false_boxes,
            "crowds": self.crowds,
            "stray_boxes": self.stray_boxes,
            "milliseconds": round(self.milliseconds, 2),
            "groups": {name: {"found": each.found, "faces": each.faces} for name, each in groups.items()},
            "sizes": {name: {"found": each.found, "faces": each.faces} for name, each in self.sizes.items()},
        }

    def to_text(self) -> str:
        """What a person reads."""
        false = f"{self.false_per_scene:.3f} false boxes a faceless scene"
        stray = f"{self.stray_boxes} boxes beside the faces of {self.crowds} photographs"
        rows = [f"recall {self.recall:.2%}, {false}, {stray}"]
        for name, each in {**self.sources, MASKED: self.masked, **self.sizes}.items():
            rows.append(f"  {name:<16} {each.found:5} of {each.faces:5}  {each.fraction:7.2%}")
        return "\n".join(rows)


def evaluate(detector: Detector, folder: Path, frame_size: tuple[int, int] | None = None) -> DetectionAccuracy:
    """Run a detector on each photograph of a folder and count the faces found, greedily by score, one box a face.

    Small and ignored faces do not count, but a box on one of them is not offered to its neighbour.

    Args:
        detector: The detector.
        folder: Annotated photographs.
        frame_size: Width and height of the frames in which the detector sees the photographs, pixels; None for photographs as
            they are. Faces count under their sizes in the photographs.

    Raises:
        UsageError: The folder holds something else.
    """
    faces: Counter[str] = Counter()
    found: Counter[str] = Counter()
    faces_of: Counter[str] = Counter()
    found_of: Counter[str] = Counter()
    scenes = false_boxes = crowds = stray_boxes = 0
    seconds = 0.0
    for source, image, annotated in _photographs(folder):
        frame, scale = (image, 1.0) if frame_size is None else fitted(image, frame_size)
        started = time.process_time()
        boxes = detector.detect(frame).boxes
        seconds += time.process_time() - started
        boxes = np.asarray(boxes / scale, np.float32)
        if source == FACELESS:
            scenes += 1
            false_boxes += len(boxes)
            continue
        crowds += 1
        stray_boxes += count_stray(boxes, [face["box"] for face in annotated])
        hits = match_greedily(boxes, [face["box"] for face in annotated])
        for index, face in enumerate(annotated):
            if face.get("ignore"):
                continue
            if size := size_of(face["box"]):
                faces_of[size] += 1
                found_of[size] += index in hits
            if min(face["box"][2:]) < SMALLEST:
                continue
            group = source if face.get("mask", "without_mask") == "without_mask" else MASKED
            faces[group] += 1
            found[group] += index in hits
    recalls = {name: Recall(found[name], faces[name]) for name in sorted(faces)}
    return DetectionAccuracy(
        sources={name: recall for name, recall in recalls.items() if name != MASKED},
        masked=recalls.get(MASKED, Recall(0, 0)),
        faceless_scenes=scenes,
        false_boxes=false_boxes,
        crowds=crowds,
        stray_boxes=stray_boxes,
        milliseconds=1000 * seconds / max(1, scenes + crowds),
        sizes={name: Recall(found_of[name], faces_of[name]) for name in map(_size_name, SIZES) if faces_of[name]},
    )


def fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """Scale an image into the upper left of a grey frame.

    Args:
        image: BGR, uint8 (H, W, 3).
        size: Width and height of the frame, pixels, which the image fills in one direction.

    Returns:
        The frame and how many of its pixels are one of the image's.
    """
    width, height = size
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    frame = np.full((height, width, 3), 127, np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    frame[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=interpolation)
    return frame, scale


def _frame_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 65536 and 0 < int(height) <= 65536):
        raise UsageError(f"--at takes a width and a height such as 1280x720, not {text!r}")
    return int(width), int(height)


def size_of(box: Sequence[float]) -> str | None:
    """The size that a face of this box, x, y, w, h in pixels, counts under; None for smaller ones."""
    return next((_size_name(size) for size in SIZES if size[0] <= min(box[2:]) < size[1]), None)


def _size_name(size: tuple[float, float]) -> str:
    low, high = size
    return f"{low:g} to {high:g} px" if high < float("inf") else f"{low:g} px and more"


def count_stray(boxes: NDArray[np.float32], faces: Sequence[Sequence[float]]) -> int:
    """How many of ``boxes`` (n, 4) have their middle in none of the ``faces``, which are x, y, w, h in pixels, too."""
    middles = boxes[:, None, :2] + boxes[:, None, 2:] / 2
    known = np.asarray(faces, np.float64).reshape(1, -1, 4)
    near, far = known[..., :2], known[..., :2] + known[..., 2:]
    inside = np.all((near <= middles) & (middles <= far), axis=2)  # (boxes, faces)
    return int(np.sum(~np.any(inside, axis=1)))


def comparison(accuracies: Mapping[str, DetectionAccuracy]) -> str:
    """A Markdown table, one column a detector."""
    first = next(iter(accuracies.values()))
    columns = list(accuracies.values())
    rows: list[tuple[str, list[str]]] = [("unmasked faces found", [f"{100 * each.recall:.1f} %" for each in columns])]
    for source, recall in first.sources.items():
        rows.append((f"- {source} ({recall.faces})", [f"{100 * each.sources[source].fraction:.1f} %" for each in columns]))
    for size, recall in first.sizes.items():
        found = [f"{100 * each.sizes[size].fraction:.1f} %" for each in columns]
        rows.append((f"faces of {size} found ({recall.faces})", found))
    rows += [
        (f"masked faces found ({first.masked.faces})", [f"{100 * each.masked.fraction:.1f} %" for each in columns]),
        (f"false boxes in {first.faceless_scenes} scenes without a face", [str(each.false_boxes) for each in columns]),
        (f"boxes beside the faces of {first.crowds} photographs", [str(each.stray_boxes) for each in columns]),
        ("processor milliseconds a photograph", [f"{each.milliseconds:.1f}" for each in columns]),
    ]
    lines = [("", list(accuracies)), *rows]
    wide = max(len(name) for name, _ in lines)
    width = max(len(cell) for _, cells in lines for cell in cells)
    text = [f"| {name:<{wide}} | " + " | ".join(f"{cell:>{width}}" for cell in cells) + " |" for name, cells in lines]
    rule = f"|{'-' * (wide + 2)}|" + f"{'-' * (width + 1)}:|" * len(accuracies)
    return "\n".join([text[0], rule, *text[1:]])


def match_greedily(boxes: NDArray[np.float32], faces: Sequence[Sequence[float]]) -> set[int]:
    """Indices of the ``faces`` found: each box (best score first) takes the free face that it overlaps most."""
    overlap = iou_matrix(boxes, faces)
    taken: set[int] = set()
    for row in overlap if len(faces) else ():
        row[list(taken)] = 0
        best = int(row.argmax())
        if row[best] >= MATCH_IOU:
            taken.add(best)
    return taken


def _photographs(folder: Path) -> Iterator[tuple[str, NDArray[np.uint8], list[dict[str, Any]]]]:
    listing = folder / "annotations.jsonl"
    if not listing.is_file():
        raise UsageError(f"{listing} does not exist: name the folder that holds annotations.jsonl")
    for number, line in enumerate(listing.read_text(encoding="utf-8-sig").splitlines(), 1):
        try:
            item = json.loads(line)
            source, path, faces = item["source"], folder / item["image"], item["faces"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{listing}, line {number}, is not an object with image, source and faces: {error!r}") from None
        image = read_image(path, cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{path}, which {listing} names in line {number}, cannot be read as an image")
        yield source, image, faces


def detection_accuracy(
    folder: Annotated[
        Path,
        typer.Argument(
            help='A folder with annotations.jsonl, one photograph per line: {"image": path, "source": name, "faces": '
            '[{"box": [x, y, w, h], "ignore": false, "mask": "without_mask"}, ...]}; the last two of a face are optional.'
        ),
    ],
    detector: Annotated[DetectorName, typer.Option(help="The detector to measure.")] = "mtcnn",
    compare: Annotated[bool, typer.Option("--compare", help="Measure all detectors, side by side.")] = False,
    min_face: Annotated[float, typer.Option(help="Minimum size of a face, pixels.")] = MIN_FACE,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WxH",
            help="Scale each photograph to a frame of this size, such as 1280x720, and pad it. Repeat it to compare sizes.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Measure recall and false boxes of a detector on annotated photographs."""
    detectors: dict[DetectorName, Detector] = {}
    for name in DETECTORS if compare else (detector,):
        try:
            detectors[name] = create_detector(name, min_face=min_face)
        except MissingDependencyError as error:
            if not compare:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
    sizes: dict[str, tuple[int, int] | None] = {f" {text}": _frame_size(text) for text in at or ()} or {"": None}
    accuracies: dict[str, DetectionAccuracy] = {
        f"{name}{suffix}": evaluate(each, folder, size) for suffix, size in sizes.items() for name, each in detectors.items()
    }
    metrics: dict[str, Any] = {name: accuracy.to_dict() for name, accuracy in accuracies.items()}
    if len(accuracies) > 1 or compare:
        print(json_text(metrics, indent=2) if as_json else comparison(accuracies))
    else:
        (accuracy,) = accuracies.values()
        print(json_text(accuracy.to_dict(), indent=2) if as_json else accuracy.to_text())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(detection_accuracy), "python -m ferengine_tools.detection_accuracy", arguments)


if __name__ == "__main__":
    sys.exit(main())
