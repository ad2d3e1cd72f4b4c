"""How well, and at what cost, a tracker follows the faces of annotated sequences.

A folder of sequences holds ``<sequence>/frames/*.jpg`` and ``<sequence>/groundtruth.txt`` (x,y,w,h a frame,
in pixels). The measures are those of Y. Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013, over one
pass from the first frame's box: mean IoU, area under the success curve, precision at 20 px; and, for a
tracker that a detector corrects, the mean IoU over the frames between new starts from the ground truth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import Box
from ferengine.tracking.base import Tracker, TrackerUpdate
from ferengine.tracking.kcf import KcfTracker
from ferengine.tracking.matching import iou_matrix
from ferengine.tracking.opencv_kcf import OpenCvKcf
from ferengine.vision import cv2
from ferengine_tools.files import read_image

MakeTracker = Callable[[], Tracker]
Frame = NDArray[np.uint8]

FACE_SIDES = (40, 80, 160, 320)
"""Pixels: the sizes of face at which an update is timed."""


class WholeFrameKcf:
    """``cv2.TrackerKCF`` as it comes, on the whole frame: the reference for the other two."""

    def init(self, frame: Frame, box: Box) -> None:
        """Start on a box."""
        x, y, w, h = (round(value) for value in box)
        self._box: Box = (x, y, w, h)
        self._kcf = cv2.TrackerKCF.create()
        self._kcf.init(frame, (x, y, w, h))

    def update(self, frame: Frame) -> TrackerUpdate:
        """Follow the face into the next frame."""
        found, (x, y, w, h) = self._kcf.update(frame)
        if found:
            self._box = (x, y, w, h)
        return TrackerUpdate(self._box, float(found))


TrackerName: TypeAlias = Literal["kcf", "opencv", "opencv-whole-frame"]
TRACKERS: dict[TrackerName, MakeTracker] = {"kcf": KcfTracker, "opencv": OpenCvKcf, "opencv-whole-frame": WholeFrameKcf}


@dataclass(frozen=True, slots=True, eq=False)
class FaceSequence:
    """One annotated sequence.

    Attributes:
        name: Of its folder.
        frames: BGR, uint8 (H, W, 3) each.
        boxes: float64 (n, 4): x, y, w, h.
    """

    name: str
    frames: list[Frame]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One tracker on one sequence.

    Attributes:
        sequence: Its name.
        frames: How many there are.
        mean_iou: Mean overlap with the truth.
        success_auc: Area under the success curve.
        precision_20px: Fraction of frames whose centre is within 20 pixels of the truth.
        restarted_iou: Mean overlap over the frames between new starts from the truth; a lost face counts with its last box.
        restarted_found: Fraction of these frames with a confidence above 0.
    """

    sequence: str
    frames: int
    mean_iou: float
    success_auc: float
    precision_20px: float
    restarted_iou: float
    restarted_found: float


def read_sequences(folder: Path) -> list[FaceSequence]:
    """Read the sequences in a folder, by name.

    Raises:
        UsageError: There is none, or one is inconsistent.
    """
    names = sorted(path.parent.name for path in folder.glob("*/groundtruth.txt"))
    if not names:
        raise UsageError(f"{folder} holds no sequence (<name>/frames/*.jpg and <name>/groundtruth.txt)")
    return [_read_sequence(folder / name) for name in names]


def _read_sequence(folder: Path) -> FaceSequence:
    try:
        boxes = np.loadtxt(folder / "groundtruth.txt", delimiter=",", ndmin=2)
    except ValueError as error:
        raise UsageError(f"{folder}/groundtruth.txt: {error}") from error
    paths = sorted((folder / "frames").glob("*.jpg"))
    if len(paths) < 2 or boxes.shape != (len(paths), 4):
        raise UsageError(f"{folder}: {len(paths)} frames, but ground truth of the shape {boxes.shape}")
    frames = []
    for path in paths:
        image = read_image(path, cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{path} is not an image")
        frames.append(image)
    return FaceSequence(folder.name, frames, boxes)


def follow(make_tracker: MakeTracker, frames: Sequence[Frame], box: Box) -> list[TrackerUpdate]:
    """Start from ``box`` in the first frame; the answers for all the others."""
    tracker = make_tracker()
    tracker.init(frames[0], box)
    return [tracker.update(frame) for frame in frames[1:]]


def measure(make_tracker: MakeTracker, sequence: FaceSequence, *, detect_every: int = 6) -> Accuracy:
    """One pass from the first box, and one started again from the truth every ``detect_every`` frames."""
    once = _boxes(follow(make_tracker, sequence.frames, _box(sequence.boxes[0])))
    truth = sequence.boxes[1:]
    overlaps = _overlaps(once, truth)
    apart = np.linalg.norm(once[:, :2] + once[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2, axis=1)
    restarted, found = [], []
    for first in range(0, len(sequence.frames) - 1, detect_every):
        part = slice(first, first + detect_every)
        answers = follow(make_tracker, sequence.frames[part], _box(sequence.boxes[first]))
        restarted.append(_overlaps(_boxes(answers), sequence.boxes[part][1:]))
        found += [answer.confidence > 0 for answer in answers]
    return Accuracy(
        sequence=sequence.name,
        frames=len(sequence.frames),
        mean_iou=float(overlaps.mean()),
        success_auc=float(np.mean([(overlaps > limit).mean() for limit in np.linspace(0, 1, 101)])),
        precision_20px=float((apart <= 20).mean()),
        restarted_iou=float(np.concatenate(restarted).mean()),
        restarted_found=float(np.mean(found)),
    )


def update_ms(make_tracker: MakeTracker, sequence: FaceSequence, face_side: int, *, updates: int = 20) -> float:
    """Median milliseconds of an update on ``sequence``, enlarged until its first face has ``face_side`` pixels.

    The face is followed through the second to sixth frame, over and over, each time from a new start.
    """
    scale = face_side / float(sequence.boxes[0, 2:].max())
    frames = [np.asarray(cv2.resize(f, None, fx=scale, fy=scale), np.uint8) for f in sequence.frames[:6]]
    tracker = make_tracker()
    spent: list[float] = []
    while len(spent) < updates:
        tracker.init(frames[0], _box(sequence.boxes[0] * scale))
        for frame in frames[1:]:
            start = time.perf_counter()
            tracker.update(frame)
            spent.append(time.perf_counter() - start)
    return 1e3 * float(np.median(spent))


def _box(values: NDArray[np.float64]) -> Box:
    x, y, w, h = values.tolist()
    return x, y, w, h


def _boxes(answers: Sequence[TrackerUpdate]) -> NDArray[np.float64]:
    return np.array([answer.box for answer in answers], np.float64)


def _overlaps(boxes: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([iou_matrix(box[None], true[None])[0, 0] for box, true in zip(boxes, truth, strict=True)])


def _table(name: str, results: Sequence[Accuracy], cost: dict[int, float]) -> str:
    lines = [f"{name:<18}  frames  mean IoU  success AUC  P@20px  restarted IoU  found"]
    for r in results:
        once = f"{r.mean_iou:>8.3f}  {r.success_auc:>11.3f}  {r.precision_20px:>6.3f}"
        restarted = f"{r.restarted_iou:>13.3f}  {r.restarted_found:>5.3f}"
        lines.append(f"{r.sequence:<18}  {r.frames:>6}  {once}  {restarted}")
    least = min(cost)
    for side, ms in cost.items():
        lines.append(f"update, {side} px face: {ms:.2f} ms, {ms / cost[least]:.1f} times that of {least} px")
    return "\n".join(lines)


def tracking_accuracy(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Sequences: <name>/frames/*.jpg and <name>/groundtruth.txt, x,y,w,h of the face in pixels, one line per frame."
        ),
    ],
    tracker: Annotated[TrackerName, typer.Option(help="The tracker to measure.")] = "kcf",
    detect_every: Annotated[int, typer.Option(metavar="N", min=2, help="Frames between new starts.")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how well, and at what cost, a tracker follows the faces of annotated sequences."""
    make_tracker = TRACKERS[tracker]
    cv2.setNumThreads(1)
    sequences = read_sequences(folder)
    results = [measure(make_tracker, each, detect_every=detect_every) for each in sequences]
    cost = {side: update_ms(make_tracker, sequences[0], side) for side in FACE_SIDES}
    if as_json:
        report = {"tracker": tracker, "sequences": [asdict(r) for r in results], "update_ms": cost}
        print(json_text(report, indent=2))
    else:
        print(_table(tracker, results, cost))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(tracking_accuracy), "python -m ferengine_tools.tracking_accuracy", arguments)


if __name__ == "__main__":
    sys.exit(main())
