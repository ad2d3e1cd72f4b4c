"""How well, and at what cost, a tracker follows the faces of annotated sequences.

A folder of sequences holds ``<sequence>/frames/*.jpg`` and ``<sequence>/groundtruth.txt`` (x,y,w,h a frame, pixels).
The measures are those of Y. Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013: one pass from the first
frame's box, its mean IoU, the area under the success curve (the share of frames whose IoU exceeds a threshold, over
thresholds from 0 to 1) and the precision (the share of frames whose centre is within 20 px); and, for a tracker that
a detector corrects, the mean IoU over the five frames after each new start from the ground truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import FerengineError, UsageError
from ferengine.results import Box
from ferengine.track.base import Tracker, TrackerUpdate
from ferengine.track.matching import iou_matrix
from ferengine.track.opencv_kcf import OpenCvKcf
from ferengine.vision import cv2

MakeTracker = Callable[[], Tracker]


class WholeFrameKcf:
    """``cv2.TrackerKCF`` as it comes, on the whole frame: the reference that OpenCvKcf is compared with."""

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        x, y, w, h = map(round, box)
        self._box: Box = (x, y, w, h)
        self._kcf = cv2.TrackerKCF.create()
        self._kcf.init(frame, (x, y, w, h))

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        found, box = self._kcf.update(frame)
        if found:
            self._box = tuple(box)
        return TrackerUpdate(self._box, float(found))


TRACKERS: dict[str, MakeTracker] = {"opencv": OpenCvKcf, "opencv-whole-frame": WholeFrameKcf}


@dataclass(frozen=True, slots=True)
class Sequence:
    """One annotated sequence: ``frames`` BGR uint8 (H, W, 3) each, ``boxes`` float64 (n, 4), x, y, w, h in pixels."""

    name: str
    frames: list[NDArray[np.uint8]]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``frames`` counts them; all else in [0, 1]."""

    sequence: str
    frames: int
    mean_iou: float
    success_auc: float
    precision_20px: float
    restarted_iou: float
    restarted_found: float


def read_sequences(folder: Path) -> list[Sequence]:
    """Every sequence under ``folder``, by name. Raises UsageError when there is none or one is inconsistent."""
    names = sorted(path.parent.name for path in folder.glob("*/groundtruth.txt"))
    if not names:
        raise UsageError(f"{folder} holds no sequence (<name>/frames/*.jpg beside <name>/groundtruth.txt)")
    return [_read_sequence(folder / name) for name in names]


def _read_sequence(folder: Path) -> Sequence:
    boxes = np.loadtxt(folder / "groundtruth.txt", delimiter=",", ndmin=2)
    paths = sorted((folder / "frames").glob("*.jpg"))
    if len(paths) != len(boxes) or boxes.shape[1] != 4:
        raise UsageError(f"{folder}: {len(paths)} frames but ground truth of shape {boxes.shape}")
    frames = [image for path in paths if (image := cv2.imread(str(path))) is not None]
    if len(frames) != len(paths):
        raise UsageError(f"{folder}: {len(paths) - len(frames)} frames cannot be read")
    return Sequence(folder.name, frames, boxes)


def follow(make_tracker: MakeTracker, frames: Iterable[NDArray[np.uint8]], box: Box) -> list[TrackerUpdate]:
    """Start from ``box`` in the first frame and answer for each of the others."""
    tracker = make_tracker()
    answers = []
    for index, frame in enumerate(frames):
        if index == 0:
            tracker.init(frame, box)
        else:
            answers.append(tracker.update(frame))
    return answers


def measure(make_tracker: MakeTracker, sequence: Sequence, *, detect_every: int = 6) -> Accuracy:
    """One pass from the first box, and one that starts anew from the ground truth at every ``detect_every``-th frame."""
    start = _box(sequence.boxes[0])
    once = follow(make_tracker, sequence.frames, start)
    overlaps = overlap([answer.box for answer in once], sequence.boxes[1:])
    centres = np.array([answer.box for answer in once])[:, :2] + np.array([answer.box for answer in once])[:, 2:] / 2
    distances = np.linalg.norm(centres - sequence.boxes[1:, :2] - sequence.boxes[1:, 2:] / 2, axis=1)
    restarted, found = [], []
    for first in range(0, len(sequence.frames) - 1, detect_every):
        part = slice(first, first + detect_every)
        answers = follow(make_tracker, sequence.frames[part], _box(sequence.boxes[first]))
        restarted.extend(overlap([answer.box for answer in answers], sequence.boxes[part][1:]))
        found.extend(answer.confidence > 0 for answer in answers)
    return Accuracy(
        sequence=sequence.name,
        frames=len(sequence.frames),
        mean_iou=float(overlaps.mean()),
        success_auc=float(np.mean([(overlaps > t).mean() for t in np.linspace(0, 1, 101)])),
        precision_20px=float((distances <= 20).mean()),
        restarted_iou=float(np.mean(restarted)),
        restarted_found=float(np.mean(found)),
    )
def overlap(boxes: list[Box], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([iou_matrix(np.array([a]), np.array([b]))[0, 0] for a, b in zip(boxes, truth, strict=True)])
def _box(values) -> Box:
    x, y, w, h = map(float, values)
    return x, y, w, h
