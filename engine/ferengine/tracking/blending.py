"""Whether what is at the place of a face blends into something else, as an image in the frame does that dissolves.

Each frame of a dissolve is a weighted sum of the one before and the one after, and so is each crop at one place. What is left
of the crops when the first one is taken off points in one direction and grows; a change of brightness or contrast leaves
nothing. Where a head turns, edges move, and the direction changes with them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine import _native
from ferengine.results import Box

SIDE = 24
"""Width and height of the crops, pixels: what moves by one is no mixture any more."""

_STEP = 0.075
"""Seconds from one crop to the next, at least; twice as many after two that are ``_CALM``."""

_CALM = 0.99
"""Correlation of two crops in a row between which no more than a dissolve may have begun."""

_WINDOW = 2.0
"""Seconds over which crops are compared."""

_CAPACITY = round(_WINDOW / _STEP) + 1

_UNLIKE = 0.8
"""Correlation of two crops below which one may have blended into the other."""

_RESIDUAL = 0.15
"""What no weighted sum of the first and the last crop explains of one between, as a fraction of what sets the last one apart.
Of photographs that dissolve, 107 of 109 ids end at a limit of 0.02 too, the others at 0.11. In ten real clips and three
sequences, whole and every fifth frame, the first one would end at 0.18."""

_MIXED = (0.2, 0.8)
"""Weight of the last crop from which and up to which one between is a mixture."""

_MIN_BETWEEN = 2
"""Crops between the two that must be weighted sums: one may be by chance, where a frame is a fifth of a second."""

_STAY_IOU = 0.5
"""IoU of a detection and the place above which the place stays: in a dissolve the boxes of the two faces differ."""

_STILL = 0.9995
"""Correlation of two crops in a row between which nothing dissolves: in one of 1.5 s it is 0.999."""

_STILL_STEPS = 2
"""Crops in a row that equal the one before from which a place shows a still image: a living face hardly ever does."""

_FLAT = 2.0 * SIDE
"""Norm of a crop whose intensities have a standard deviation of 2 of 255: below it nothing can be recognised."""

_MAX_ROWS = 2
"""Rows of the frame that are read for each of a crop, of a large face: they are weighted sums as well."""


class Place:
    """The place of a face, which does not move with it, and the last crops there. Not thread-safe.

    Args:
        box: x, y, w, h in pixels.
        settled_at: Until when something may go on blending there, seconds, unless it stands still before.
    """

    __slots__ = ("_box", "_crops", "_replaced", "_settled_at", "_square", "_step", "_still", "_still_steps", "_times")

    def __init__(self, box: Box, settled_at: float) -> None:
        self._settled_at = settled_at
        self._still: NDArray[np.float32] | None = None
        self._still_steps = 0
        self._replaced = False
        self._crops = _native.PlaceCrops(SIDE, _CAPACITY, _FLAT)
        self._times: list[float] = []  # of the crops
        self._begin(box)

    def _begin(self, box: Box) -> None:
        x, y, w, h = self._box = box
        self._square = x + w / 2, y + h / 2, math.sqrt(w * h)
        self._step = _STEP
        self._drop(len(self._times))

    @property
    def square(self) -> tuple[float, float, float]:
        """What is looked at: cx, cy, side in pixels."""
        return self._square

    @property
    def was_replaced(self) -> bool:
        """Whether a still image was there, and something unlike it has taken its place since the last detection of the face."""
        return self._replaced

    def is_due(self, timestamp: float) -> bool:
        """Whether a crop of a frame is wanted."""
        return not self._times or not 0 <= timestamp - self._times[-1] < self._step

    def confirm(self, box: Box) -> None:
        """Follow a detection of the face: what was seen at a place that it has left says nothing."""
        self._replaced = False
        if not self._still_steps:
            self._still = None
        if _iou(self._box, box) < _STAY_IOU:
            self._begin(box)

    def add(self, frame: NDArray[np.uint8], timestamp: float) -> bool:
        """Look at the place in a frame.

        Args:
            frame: BGR uint8 (H, W, 3).
            timestamp: Its time, seconds.

        Returns:
            Whether what was there has blended into something unlike it.
        """
        times = self._times
        if times and not 0 <= timestamp - times[-1] <= _WINDOW:
            self._drop(len(times))
        elif times and (len(times) == _CAPACITY or timestamp - times[0] > _WINDOW):
            self._drop(max(1, sum(timestamp - time > _WINDOW for time in times)))
        alike = self._crops.add(frame, *self._square, _MAX_ROWS)
        if alike is None:  # flat
            self._drop(len(times))
            return False
        times.append(timestamp)
        if len(times) > 1:
            self._step = 2 * _STEP if alike >= _CALM else _STEP
            self._note_still(alike >= _STILL)
        if 0 <= self._settled_at - timestamp <= _WINDOW:
            self._settle(timestamp)
            return False
        return self._crops.blends(_UNLIKE, _RESIDUAL, *_MIXED, _MIN_BETWEEN)

    def _drop(self, gone: int) -> None:
        """Forget the oldest crops."""
        del self._times[:gone]
        self._crops.drop(gone)

    def _note_still(self, is_still: bool) -> None:
        if is_still:
            self._still_steps += 1
            if self._still_steps >= _STILL_STEPS and not self._replaced:
                self._still = self._crops.last()
            return
        self._still_steps = 0
        if self._still is not None:
            self._replaced = bool(self._still @ self._crops.last() < _UNLIKE)

    def _settle(self, timestamp: float) -> None:
        """Forget the crops but for the last while they change."""
        if self._still_steps:
            self._settled_at = timestamp
        else:
            self._drop(len(self._times) - 1)


def _iou(a: Box, b: Box) -> float:
    """The intersection over union of two boxes: of one pair ``iou_matrix`` costs as much as of many."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)
