"""MTCNN with its networks in runners, on a GPU: the cascade of ``ferengine.detection.mtcnn``, batched over frames.

K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal Processing
Letters 23(10), 2016. P-Net sees the pyramid levels of all frames, levels of one size in one batch; R-Net and O-Net see the
candidates of all frames. The steps between the networks run in C++ on the CPU, as in the detector without a GPU.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ferengine._native import mtcnn_crops, mtcnn_parts_near, mtcnn_pyramid, mtcnn_suppress
from ferengine.detection.base import Detections, Detector, Frame, Near, paired
from ferengine.detection.mtcnn import corners
from ferengine.errors import ModelError
from ferengine.frames import readable_frame
from ferengine.inference.base import Array, Runner, Shape
from ferengine.models.settings import MIN_FACE, MTCNN_FACTOR, MTCNN_THRESHOLDS

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import NetworkName

_LEVEL_OVERLAP, _WINDOW_OVERLAP, _OVERLAP = 0.5, 0.6, 0.7
_LEVEL_CANDIDATES = 2000
_STEP = 16
"""Sides of levels are padded to multiples of this, so that frames of nearly equal sizes share a batch."""

_STRIDE, _WINDOW = 2, 12
"""P-Net's: from cell to cell, and the side of what a cell sees; pixels of the level."""

_PREFERRED_BATCH = 16
"""Frames that fill the GPU; more only wait longer."""


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of a frame's pyramid, or a part of one.

    Attributes:
        frame: The number of the frame.
        scale: The level is so many times the frame.
        corner: Where it begins in the frame, x, y in pixels.
        image: float32 (h, w, 3), as P-Net takes it but for the order of its axes.
    """

    frame: int
    scale: float
    corner: tuple[int, int]
    image: Array


class MtcnnDeviceDetector(Detector):
    """Faces with five landmarks, by networks that any ``Runner`` computes. It raises what they raise.

    Args:
        runners: Of "pnet", "rnet" and "onet"; they are closed with the detector.
        min_face: As of ``MtcnnDetector``.
        thresholds: As of ``MtcnnDetector``.
        factor: As of ``MtcnnDetector``.
        max_candidates: As of ``MtcnnDetector``.
    """

    def __init__(
        self,
        runners: Mapping[NetworkName, Runner],
        min_face: float = MIN_FACE,
        thresholds: Sequence[float] = MTCNN_THRESHOLDS,
        factor: float = MTCNN_FACTOR,
        max_candidates: int = 400,
    ) -> None:
        self._runners = runners
        self._min_face, self._factor = min_face, factor
        self._thresholds = tuple(thresholds)
        self._max_candidates = max_candidates

    @property
    def preferred_batch(self) -> int:
        return _PREFERRED_BATCH

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        """As ``MtcnnDetector.detect``, with ``near`` too."""
        return self.detect_many([frame], [near])[0]

    def detect_many(self, frames: Sequence[Frame], near: Sequence[Near | None] | None = None) -> list[Detections]:
        """As ``Detector.detect_many``; each network sees all frames in common batches."""
        known = [None if boxes is None else corners(boxes) for _, boxes in zip(frames, paired(frames, near), strict=False)]
        if not frames:
            return []
        frames = [readable_frame(frame) for frame in frames]
        boxes = self._propose(frames, known)
        boxes = self._refine(frames, boxes)
        return self._decide(frames, boxes)

    def close(self) -> None:
        for runner in self._runners.values():
            runner.close()

    def _propose(self, frames: Sequence[Frame], near: Sequence[Near | None]) -> list[Array]:
        levels = [
            level
            for number, (frame, known) in enumerate(zip(frames, near, strict=True))
            if frame.size
            for level in self._levels(number, frame, known)
        ]
        candidates: defaultdict[tuple[int, float], list[tuple[Array, Array, Array]]] = defaultdict(list)
        for level, (probabilities, offsets) in zip(levels, self._run_pnet([each.image for each in levels]), strict=True):
            windows, boxes, scores = decode(probabilities, offsets, self._thresholds[0], level.scale)
            moved = np.array(2 * level.corner, np.float32)
            candidates[level.frame, level.scale].append((windows + moved, boxes + moved, scores))
        found: list[list[tuple[Array, Array, Array]]] = [[] for _ in frames]
        for (number, _), parts in candidates.items():
            windows, boxes, scores = _joined(parts)
            best = np.argsort(-scores, kind="stable")[:_LEVEL_CANDIDATES]
            kept = best[mtcnn_suppress(windows[best], scores[best], _LEVEL_OVERLAP, "union")]
            found[number].append((windows[kept], boxes[kept], scores[kept]))
        return [self._squares(*_joined(parts), _WINDOW_OVERLAP) for parts in found]

    def _levels(self, number: int, frame: Frame, near: Near | None) -> Iterator[_Level]:
        """What P-Net looks at in a frame: whole levels, or the parts of them around known faces, x1, y1, x2, y2."""
        if near is None:
            for scale, image in mtcnn_pyramid(frame, self._min_face, self._factor):
                yield _Level(number, scale, (0, 0), image)
        else:
            for scale, x, y, image in mtcnn_parts_near(frame, near, self._min_face, self._factor):
                yield _Level(number, scale, (x, y), image)

    def _run_pnet(self, levels: Sequence[Array]) -> list[tuple[Array, Array]]:
        """P-Net's probabilities (rows, columns) and offsets (4, rows, columns) for each level (h, w, 3)."""
        sizes = [(3, padded(level.shape[0]), padded(level.shape[1])) for level in levels]
        large = [index for index, size in enumerate(sizes) if not self._runners["pnet"].capacity(size)]
        if not large:
            return self._run_pnet_batched(levels)
        parts = self._run_pnet([half for index in large for half in halves(levels[index])])
        joined = {index: _side_by_side(parts[2 * n], parts[2 * n + 1], levels[index]) for n, index in enumerate(large)}
        rest = iter(self._run_pnet_batched([level for index, level in enumerate(levels) if index not in joined]))
        return [joined[index] if index in joined else next(rest) for index in range(len(levels))]

    def _run_pnet_batched(self, levels: Sequence[Array]) -> list[tuple[Array, Array]]:
        """Levels of one size in a batch; as many batches in flight as the runner takes, before the first is waited for."""
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, level in enumerate(levels):
            groups[padded(level.shape[0]), padded(level.shape[1])].append(index)
        parts = [
            (part, size) for size, members in groups.items() for part in self._parts("pnet", members, (3, *size))
        ]  # all of them first: where one is refused none is in flight
        maps: dict[int, tuple[Array, Array]] = {}
        runner, waiting = self._runners["pnet"], deque[Sequence[int]]()

        def collect() -> None:
            outputs = runner.collect()
            for number, index in enumerate(waiting.popleft()):
                rows, columns = cells(levels[index].shape[0]), cells(levels[index].shape[1])
                offsets = outputs["boxes"][number, :, :rows, :columns].copy()  # the runner's memory
                maps[index] = outputs["probabilities"][number, 0, :rows, :columns].copy(), offsets

        for part, size in parts:
            if runner.in_flight >= runner.depth:
                collect()
            batch = runner.input((len(part), 3, *size))
            batch[:] = 0
            for row, index in zip(batch, part, strict=True):
                h, w, _ = levels[index].shape
                row[:, :h, :w] = levels[index].transpose(2, 0, 1)
            runner.submit(len(part))
            waiting.append(part)
        while waiting:
            collect()
        return [maps[index] for index in range(len(levels))]

    def _refine(self, frames: Sequence[Frame], boxes: Sequence[Array]) -> list[Array]:
        outputs = self._run_candidates("rnet", frames, boxes, 24)
        refined = []
        for squares, (probabilities, offsets, _) in zip(boxes, outputs, strict=True):
            face = probabilities > self._thresholds[1]
            moved = regress(squares[face], offsets[face])
            refined.append(self._squares(moved, moved, probabilities[face], _OVERLAP))
        return refined

    def _decide(self, frames: Sequence[Frame], boxes: Sequence[Array]) -> list[Detections]:
        outputs = self._run_candidates("onet", frames, boxes, 48)
        found = []
        for squares, (probabilities, offsets, points) in zip(boxes, outputs, strict=True):
            face = probabilities > self._thresholds[2]
            landmarks = place_landmarks(squares[face], points[face])
            moved, scores = regress(squares[face], offsets[face]), probabilities[face]
            kept = mtcnn_suppress(moved, scores, _OVERLAP, "min")
            xywh = np.hstack([moved[:, :2], moved[:, 2:] - moved[:, :2]])
            found.append(Detections(xywh[kept], scores[kept], landmarks[kept]))
        return found

    def _run_candidates(
        self, name: NetworkName, frames: Sequence[Frame], boxes: Sequence[Array], size: int
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

    def _parts(self, name: NetworkName, members: Sequence[int], row: Shape) -> list[Sequence[int]]:
        """``members`` in batches that the network takes. Raises ModelError where it takes none."""
        size = self._runners[name].capacity(row)
        if size < 1:
            raise ModelError(
                f"the TensorRT engine of {name} cannot take an image of {row[2]}x{row[1]} pixels: "
                "build it again (ferengine build-trt)"
            )
        return [members[i : i + size] for i in range(0, len(members), size)]

    def _squares(self, windows: Array, boxes: Array, scores: Array, overlap: float) -> Array:
        """What the next network looks at: the best boxes whose windows overlap little, best first, with the longer side both
        ways."""
        boxes = boxes[mtcnn_suppress(windows, scores, overlap, "union")[: self._max_candidates]]
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
        return np.hstack([centre - half, centre + half]).astype(np.float32)


def padded(side: int) -> int:
    """The side, in pixels, that a level's is padded to.

    An odd one stays: its last cell looks beyond the edge, where the padding would be seen; with an even one no cell does.
    """
    return side if side % 2 else -(-side // _STEP) * _STEP


def cells(side: int) -> int:
    """How many cells P-Net has along ``side`` pixels."""
    return -(-(side - _WINDOW) // _STRIDE) + 1


def halves(level: Array) -> tuple[Array, Array]:
    """A level (h, w, 3) cut in two across its longer side.

    The halves overlap as windows of neighbouring cells do, so that the cells of both, one after the other, are those of the
    whole.

    Raises:
        ModelError: The level is too small to be cut.
    """
    longer = 0 if level.shape[0] >= level.shape[1] else 1
    if level.shape[longer] < 4 * _WINDOW:
        raise ModelError("the TensorRT engine of pnet cannot take any image: build it again (ferengine build-trt --model pnet)")
    middle = level.shape[longer] // 2 // _STRIDE * _STRIDE
    first, second = np.split(level, [middle], axis=longer)
    overlap = level.take(range(middle, middle + _WINDOW - _STRIDE), axis=longer)
    return np.concatenate([first, overlap], axis=longer), second


def _side_by_side(first: tuple[Array, Array], second: tuple[Array, Array], level: Array) -> tuple[Array, Array]:
    """P-Net's maps of ``level``, from those of its halves."""
    axis = -2 if level.shape[0] >= level.shape[1] else -1
    probabilities, offsets = (np.concatenate(pair, axis) for pair in zip(first, second, strict=True))
    return probabilities, offsets


def decode(probabilities: Array, offsets: Array, threshold: float, scale: float) -> tuple[Array, Array, Array]:
    """The candidates in P-Net's maps of one level.

    The cell (i, j) sees the pixels 2i + 1 to 2i + 12 and 2j + 1 to 2j + 12 of the level.

    Args:
        probabilities: float32 (rows, columns).
        offsets: float32 (4, rows, columns), in units of what a cell sees.
        threshold: Of the probability.
        scale: Of the level, as a fraction of the frame.

    Returns:
        What the cells see and the boxes that they move it to, x1, y1, x2, y2 in pixels of the frame, float32 (n, 4) each, and
        their scores (n,).
    """
    rows, columns = np.nonzero(probabilities > threshold)
    first = 2.0 * np.stack([columns, rows], axis=1) + 1
    windows = np.hstack([first, first + 11])
    boxes = windows + 11 * offsets[:, rows, columns].T
    return (windows / scale).astype(np.float32), (boxes / scale).astype(np.float32), probabilities[rows, columns]


def regress(boxes: Array, offsets: Array) -> Array:
    """Each corner moved by its offset, in units of the box's sides in inclusive pixels (x2 - x1 + 1)."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return (boxes + offsets * np.tile(size, 2)).astype(np.float32)


def place_landmarks(boxes: Array, points: Array) -> Array:
    """Points (n, 10), five x then five y in units of the box -> float32 (n, 5, 2), x, y in pixels."""
    size = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    return (boxes[:, None, :2] + points.reshape(-1, 2, 5).transpose(0, 2, 1) * size - 1).astype(np.float32)


def _joined(parts: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    if not parts:
        return np.empty((0, 4), np.float32), np.empty((0, 4), np.float32), np.empty(0, np.float32)
    windows, boxes, scores = zip(*parts, strict=True)
    return np.concatenate(windows), np.concatenate(boxes), np.concatenate(scores)
