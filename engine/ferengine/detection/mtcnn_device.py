"""MTCNN with its networks on a GPU: the cascade of ``ferengine.detection.mtcnn``, batched over frames.

K. Zhang et al., IEEE Signal Processing Letters 23(10), 2016. P-Net sees the pyramid levels of all frames, levels of one
size in one batch; R-Net and O-Net see the candidates of all frames. The steps between the networks run in C++ on the
CPU, as in the detector without a GPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine._native import mtcnn_crops, mtcnn_pyramid, mtcnn_suppress
from ferengine.detection.base import Detections
from ferengine.errors import ModelError
from ferengine.frames import readable_frame
from ferengine.inference.onnxruntime import NetworkRunner

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import Network

Array = NDArray[np.float32]

_LEVEL_OVERLAP, _OVERLAP = 0.5, 0.7
_LEVEL_CANDIDATES = 2000
_STEP = 16
"""Sides of levels are filled up to multiples of this, so that frames of nearly equal sizes share a batch."""

_STRIDE, _WINDOW = 2, 12
"""P-Net's: from cell to cell, and of what a cell judges; pixels of the level."""


class MtcnnDeviceDetector:
    """Faces with five landmarks; arguments are MtcnnDetector's.

    ``runners``: of "pnet", "rnet" and "onet", closed with the detector. Not thread-safe. Raises DeviceError when the GPU
    fails.
    """

    def __init__(
        self,
        runners: Mapping[Network, NetworkRunner],
        min_face: float,
        thresholds: Sequence[float],
        factor: float,
        max_candidates: int = 400,
    ) -> None:
        self._runners = runners
        self._min_face, self._factor = min_face, factor
        self._thresholds = tuple(thresholds)
        self._max_candidates = max_candidates

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3); rows may be padded. Raises UsageError for another array."""
        return self.detect_many([frame])[0]

    def detect_many(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """``detect`` for each of ``frames``, of whatever sizes."""
        if not frames:
            return []
        frames = [readable_frame(frame) for frame in frames]
        boxes = self._propose(frames)
        boxes = self._refine(frames, boxes)
        return self._decide(frames, boxes)

    def close(self) -> None:
        for runner in self._runners.values():
            runner.close()

    def _propose(self, frames: Sequence[NDArray[np.uint8]]) -> list[Array]:
        levels = [
            (number, scale, level)
            for number, frame in enumerate(frames)
            if frame.size
            for scale, level in mtcnn_pyramid(frame, self._min_face, self._factor)
        ]
        found: list[list[tuple[Array, Array]]] = [[] for _ in frames]
        for (number, scale, _), (probabilities, offsets) in zip(levels, self._judge([x[2] for x in levels]), strict=True):
            boxes, scores = decode(probabilities, offsets, self._thresholds[0], scale)
            best = np.argsort(-scores, kind="stable")[:_LEVEL_CANDIDATES]
            kept = best[mtcnn_suppress(boxes[best], scores[best], _LEVEL_OVERLAP, "union")]
            found[number].append((boxes[kept], scores[kept]))
        return [self._squares(*_joined(parts)) for parts in found]

    def _judge(self, levels: Sequence[Array]) -> list[tuple[Array, Array]]:
        """P-Net's probabilities (rows, columns) and offsets (4, rows, columns) for each level (h, w, 3)."""
        sizes = [(3, filled_up(level.shape[0]), filled_up(level.shape[1])) for level in levels]
        large = [index for index, size in enumerate(sizes) if not self._runners["pnet"].capacity(size)]
        if not large:
            return self._judge_fitting(levels)
        parts = self._judge([half for index in large for half in halves(levels[index])])
        joined = {index: _side_by_side(parts[2 * n], parts[2 * n + 1], levels[index]) for n, index in enumerate(large)}
        rest = iter(self._judge_fitting([level for index, level in enumerate(levels) if index not in joined]))
        return [joined[index] if index in joined else next(rest) for index in range(len(levels))]

    def _judge_fitting(self, levels: Sequence[Array]) -> list[tuple[Array, Array]]:
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, level in enumerate(levels):
            groups[filled_up(level.shape[0]), filled_up(level.shape[1])].append(index)
        verdicts: dict[int, tuple[Array, Array]] = {}
        for (height, width), members in groups.items():
            for part in self._parts("pnet", members, (3, height, width)):
                batch = np.zeros((len(part), 3, height, width), np.float32)
                for row, index in zip(batch, part, strict=True):
                    h, w, _ = levels[index].shape
                    row[:, :h, :w] = levels[index].transpose(2, 0, 1)
                outputs = self._runners["pnet"].run(batch)
                for number, index in enumerate(part):
                    rows, columns = cells(levels[index].shape[0]), cells(levels[index].shape[1])
                    offsets = outputs["boxes"][number, :, :rows, :columns]
                    verdicts[index] = outputs["probabilities"][number, 0, :rows, :columns], offsets
        return [verdicts[index] for index in range(len(levels))]

    def _refine(self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[Array]) -> list[Array]:
        outputs = self._look("rnet", frames, boxes, 24)
        refined = []
        for squares, (probabilities, offsets, _) in zip(boxes, outputs, strict=True):
            face = probabilities > self._thresholds[1]
            refined.append(self._squares(regress(squares[face], offsets[face]), probabilities[face]))
        return refined

    def _decide(self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[Array]) -> list[Detections]:
        outputs = self._look("onet", frames, boxes, 48)
        found = []
        for squares, (probabilities, offsets, points) in zip(boxes, outputs, strict=True):
            face = probabilities > self._thresholds[2]
            landmarks = place_landmarks(squares[face], points[face])
            moved, scores = regress(squares[face], offsets[face]), probabilities[face]
            kept = mtcnn_suppress(moved, scores, _OVERLAP, "min")
            xywh = np.hstack([moved[:, :2], moved[:, 2:] - moved[:, :2]])
            found.append(Detections(xywh[kept], scores[kept], landmarks[kept]))
        return found

    def _look(
        self, name: Network, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[Array], size: int
    ) -> list[tuple[Array, Array, Array]]:
        """Probabilities (n,), offsets (n, 4) and points (n, 10) for the boxes of each frame, all frames in one batch."""
        images = [mtcnn_crops(frame, squares, size) for frame, squares in zip(frames, boxes, strict=True) if len(squares)]
        counts = [len(squares) for squares in boxes]
        outputs = {"probabilities": np.empty(0, np.float32), "boxes": np.empty((0, 4), np.float32)}
        if images:
            batch = np.ascontiguousarray(np.concatenate(images).transpose(0, 3, 1, 2))
            parts = self._parts(name, range(len(batch)), (3, size, size))
            runs = [self._runners[name].run(batch[part[0] : part[-1] + 1]) for part in parts]
            outputs = {key: np.concatenate([run[key] for run in runs]) for key in runs[0]}
        points = outputs.get("landmarks", np.empty((sum(counts), 10), np.float32))
        ends = np.cumsum(counts)[:-1]
        split = [np.split(values, ends) for values in (outputs["probabilities"], outputs["boxes"], points)]
        return list(zip(*split, strict=True))

    def _parts(self, name: Network, members: Sequence[int], row: tuple[int, ...]) -> list[Sequence[int]]:
        """``members`` in batches that the network takes. Raises ModelError when it takes none."""
        most = self._runners[name].capacity(row)
        if most < 1:
            raise ModelError(
                f"the engine of {name} takes no image of {row[2]}x{row[1]} pixels: build it again (ferengine build-trt)"
            )
        return [members[i : i + most] for i in range(0, len(members), most)]

    def _squares(self, boxes: Array, scores: Array) -> Array:
        """What the next network looks at: the best boxes that overlap little, best first, with the longer side both ways."""
        boxes = boxes[mtcnn_suppress(boxes, scores, _OVERLAP, "union")[: self._max_candidates]]
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
        return np.hstack([centre - half, centre + half]).astype(np.float32)


def filled_up(side: int) -> int:
    """The side that a level's is filled up to. An odd one stays: its last cell looks beyond the edge, where filling
    would be seen; with an even one no cell does."""
    return side if side % 2 else -(-side // _STEP) * _STEP


def cells(side: int) -> int:
    """How many cells P-Net has along ``side`` pixels."""
    return -(-(side - _WINDOW) // _STRIDE) + 1


def halves(level: Array) -> tuple[Array, Array]:
    """A level (h, w, 3) cut in two across its longer side. They overlap as windows of neighbouring cells do, so that the cells
    of both, one after the other, are those of the whole."""
    longer = 0 if level.shape[0] >= level.shape[1] else 1
    if level.shape[longer] < 4 * _WINDOW:
        raise ModelError("the engine of pnet takes no image at all: build it again (ferengine build-trt --model pnet)")
    middle = level.shape[longer] // 2 // _STRIDE * _STRIDE
    first, second = np.split(level, [middle], axis=longer)
    overlap = level.take(range(middle, middle + _WINDOW - _STRIDE), axis=longer)
    return np.concatenate([first, overlap], axis=longer), second


def _side_by_side(first: tuple[Array, Array], second: tuple[Array, Array], level: Array) -> tuple[Array, Array]:
    """What P-Net says of ``level``, of what it says of its halves."""
    axis = -2 if level.shape[0] >= level.shape[1] else -1
    probabilities, offsets = (np.concatenate(pair, axis) for pair in zip(first, second, strict=True))
    return probabilities, offsets


def decode(probabilities: Array, offsets: Array, threshold: float, scale: float) -> tuple[Array, Array]:
    """P-Net's map of one level, ``scale`` times the frame -> boxes x1, y1, x2, y2 in frame pixels (n, 4), scores (n,).

    The cell (i, j) stands for the pixels 2i + 1 to 2i + 12 and 2j + 1 to 2j + 12 of the level.
    """
    rows, columns = np.nonzero(probabilities > threshold)
    first = 2.0 * np.stack([columns, rows], axis=1) + 1
    windows = np.hstack([first, first + 11]) + 11 * offsets[:, rows, columns].T
    return (windows / scale).astype(np.float32), probabilities[rows, columns]


def regress(boxes: Array, offsets: Array) -> Array:
    """Each corner moved by its offset, in units of the box's sides in inclusive pixels (x2 - x1 + 1)."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return (boxes + offsets * np.tile(size, 2)).astype(np.float32)


def place_landmarks(boxes: Array, points: Array) -> Array:
    """Points (n, 10), five x then five y in units of the box -> float32 (n, 5, 2), x, y in pixels."""
    size = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    return (boxes[:, None, :2] + points.reshape(-1, 2, 5).transpose(0, 2, 1) * size - 1).astype(np.float32)


def _joined(parts: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    if not parts:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32)
    return np.concatenate([boxes for boxes, _ in parts]), np.concatenate([scores for _, scores in parts])
