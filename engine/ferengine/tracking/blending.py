"""Whether what is at the place of a face blends into something else, as an image in the frame does that dissolves.

Each frame of a dissolve is a weighted sum of the one before and the one after, and so is each crop at one place. What is left
of the crops when the first one is taken off points in one direction and grows; a change of brightness or contrast leaves
nothing. Where a head turns, edges move, and the direction changes with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box
from ferengine.tracking.crop_geometry import CropRegion
from ferengine.tracking.cropper import FaceCropper
from ferengine.tracking.matching import iou_matrix

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
Of photographs that dissolve it is 0.04 at most; of 381 crops of ten real clips in which a face has become as unlike within two
seconds it is at least 0.23."""

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

_cropper = FaceCropper(SIDE)

_Indices: TypeAlias = NDArray[np.intp] | int


class Place:
    """The place of a face, which does not move with it, and the last crops there. Not thread-safe.

    Args:
        box: x, y, w, h in pixels.
        settled_at: Until when something may go on blending there, seconds, unless it stands still before.
    """

    __slots__ = ("_alike", "_box", "_crops", "_replaced", "_settled_at", "_step", "_still", "_still_steps", "_times", "square")

    def __init__(self, box: Box, settled_at: float) -> None:
        self._settled_at = settled_at
        self._still: NDArray[np.float32] | None = None
        self._still_steps = 0
        self._replaced = False
        self._crops = np.empty((_CAPACITY, SIDE * SIDE), np.float32)
        self._alike = np.empty((_CAPACITY, _CAPACITY), np.float32)  # the crops to each other
        self._begin(box)

    def _begin(self, box: Box) -> None:
        x, y, w, h = box
        self._box = box
        self.square: CropRegion = (x + w / 2, y + h / 2, float(np.sqrt(w * h)), 0.0)
        self._step = _STEP
        self._times: list[float] = []

    @property
    def was_replaced(self) -> bool:
        """Whether a still image was there, and something unlike it has taken its place since the last detection of the face."""
        return self._replaced

    def is_due(self, timestamp: float) -> bool:
        """Whether a crop of a frame is wanted."""
        if self._times and not 0 <= timestamp - self._times[-1] <= _WINDOW:
            self._times.clear()
        return not self._times or timestamp - self._times[-1] >= self._step

    def confirm(self, box: Box) -> None:
        """Follow a detection of the face: what was seen at a place that it has left says nothing."""
        self._replaced = False
        if not self._still_steps:
            self._still = None
        if iou_matrix([self._box], [box])[0, 0] < _STAY_IOU:
            self._begin(box)

    def add(self, crop: NDArray[np.float32], timestamp: float) -> bool:
        """Look at the place in a frame.

        Args:
            crop: What it shows, one of ``crops``.
            timestamp: The time of the frame, seconds.

        Returns:
            Whether what was there has blended into something unlike it.
        """
        if not crop.any():
            self._times.clear()
            return False
        times = self._times
        if times and (len(times) == _CAPACITY or timestamp - times[0] > _WINDOW):
            self._drop(max(1, sum(timestamp - time > _WINDOW for time in times)))
        times.append(timestamp)
        count = len(times)
        self._crops[count - 1] = crop
        alike = self._crops[:count] @ crop
        self._alike[count - 1, :count] = self._alike[:count, count - 1] = alike
        if count > 1:
            self._step = 2 * _STEP if alike[-2] >= _CALM else _STEP
            self._note_still(crop, alike[-2] >= _STILL)
        if 0 <= self._settled_at - timestamp <= _WINDOW:
            self._settle(timestamp)
            return False
        if count < _MIN_BETWEEN + 2 or alike[: -1 - _MIN_BETWEEN].min() >= _UNLIKE:
            return False
        return _blends(self._alike[:count, :count])

    def _drop(self, gone: int) -> None:
        """Forget the oldest crops."""
        del self._times[:gone]
        kept = len(self._times)
        self._crops[:kept] = self._crops[gone : gone + kept]
        self._alike[:kept, :kept] = self._alike[gone : gone + kept, gone : gone + kept]

    def _note_still(self, crop: NDArray[np.float32], is_still: bool) -> None:
        if is_still:
            self._still_steps += 1
            if self._still_steps >= _STILL_STEPS and not self._replaced:
                self._still = crop
            return
        self._still_steps = 0
        if self._still is not None:
            self._replaced = bool(self._still @ crop < _UNLIKE)

    def _settle(self, timestamp: float) -> None:
        """Forget the crops but for the last while they change."""
        if self._still_steps:
            self._settled_at = timestamp
        else:
            self._drop(len(self._times) - 1)


def crops(frame: NDArray[np.uint8], places: Sequence[Place]) -> NDArray[np.float32]:
    """Return what a frame shows at some places.

    Args:
        frame: BGR uint8 (H, W, 3).
        places: The places.

    Returns:
        float32 (n, SIDE * SIDE), grey, each with mean 0 and norm 1, so that a dot product is a correlation; zeros where a place
        is flat.
    """
    cut = _cropper.crop(frame, [place.square for place in places]).reshape(len(places), -1).astype(np.float32)
    cut -= cut.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("ij,ij->i", cut, cut))
    cut *= np.where(norms < _FLAT, 0.0, 1 / np.maximum(norms, 1.0)).astype(np.float32)[:, None]
    return cut


def _blends(alike: NDArray[np.float32]) -> bool:
    """Whether one of some crops has blended into the last, by their correlations with each other (n, n)."""
    starts = (alike[: -1 - _MIN_BETWEEN, -1] < _UNLIKE).nonzero()[0]
    _, residual = _explain(alike, starts, len(alike) - 2)
    for start in starts[residual < _RESIDUAL * _RESIDUAL].tolist():  # of faces that move hardly any is left
        weights, residual = _explain(alike, start, np.arange(start + 1, len(alike) - 1))
        if residual.max() < _RESIDUAL * _RESIDUAL and ((weights > _MIXED[0]) & (weights < _MIXED[1])).any():
            return True
    return False


def _explain(alike: NDArray[np.float32], first: _Indices, between: _Indices) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weights of the last crop in some between it and some first ones, and the squares of what no weighted sum explains."""
    of_last, shared = alike[first, -1], alike[first, between]
    apart = 1 - of_last * of_last  # of the last crop without the first one
    weights = (alike[between, -1] - shared * of_last) / apart
    return weights, (1 - shared * shared) / apart - weights * weights
