"""Recall and false boxes of a detector on a folder of annotated photographs.

    python -m ferengine_tools.detection_accuracy FOLDER [--detector haar] [--min-face 20] [--json]

The folder holds ``annotations.jsonl``: an object a line with image, source and faces [{box [x, y, w, h], ignore, mask}].
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ferengine.detect import Detector, create_detector
from ferengine.errors import FerengineError, UsageError
from ferengine.track.matching import iou_matrix
from ferengine.vision import cv2

SMALLEST = 40.0
"""Faces count from this shorter side on, pixels."""
MATCH_IOU = 0.4


@dataclass
class DetectionAccuracy:
    """``found`` of ``faces`` by group (a source's unmasked faces, or "masked"); boxes in scenes without a face."""

    faces: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    empty_scenes: int = 0
    false_boxes: int = 0

    @property
    def recall(self) -> float:
        """Of unmasked faces, all sources together."""
        total = sum(count for group, count in self.faces.items() if group != "masked")
        return sum(count for group, count in self.found.items() if group != "masked") / max(1, total)

    @property
    def false_per_scene(self) -> float:
        return self.false_boxes / max(1, self.empty_scenes)


def evaluate(detector: Detector, folder: Path) -> DetectionAccuracy:
    """Match boxes to faces greedily by score at an IoU of 0.4. Raises UsageError when the folder is not such a one."""
    listing = folder / "annotations.jsonl"
    if not listing.is_file():
        raise UsageError(f"{listing} does not exist: name the folder that holds annotations.jsonl")
    result = DetectionAccuracy()
    for line in listing.read_text().splitlines():
        item = json.loads(line)
        image = cv2.imread(str(folder / item["image"]), cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{folder / item['image']} cannot be read as an image")
        detections = detector.detect(np.asarray(image, np.uint8))
        if item["source"] == "negative_scene":
            result.empty_scenes += 1
            result.false_boxes += len(detections)
            continue
        _count(result, item, detections.boxes)
    return result


def _count(result: DetectionAccuracy, item: dict, boxes: np.ndarray) -> None:  # type: ignore[type-arg]
    faces = item["faces"]
    overlap = iou_matrix(boxes, np.array([face["box"] for face in faces], float).reshape(-1, 4))
    found = set()
    for row in overlap:  # boxes come best first
        row = np.where([index in found for index in range(len(faces))], 0.0, row)
        if len(row) and row.max() >= MATCH_IOU:
            found.add(int(row.argmax()))
    for index, face in enumerate(faces):
        if face["ignore"] or min(face["box"][2:]) < SMALLEST:
            continue
        masked = face.get("mask") not in (None, False, "without_mask")
        group = "masked" if masked else item["source"]
        result.faces[group] = result.faces.get(group, 0) + 1
        result.found[group] = result.found.get(group, 0) + (index in found)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="detection_accuracy", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", choices=("mtcnn", "haar"), default="mtcnn")
    parser.add_argument("--min-face", type=float, default=40.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        detector = create_detector(options.detector, min_face=options.min_face)
        result = evaluate(detector, options.folder)
    except FerengineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    figures = {**asdict(result), "recall": result.recall, "false_per_scene": result.false_per_scene}
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"recall {100 * result.recall:.2f} %, {result.false_per_scene:.3f} false boxes a faceless scene")
        for group, count in sorted(result.faces.items()):
            print(f"  {group}: {result.found[group]} of {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
