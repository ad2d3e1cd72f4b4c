"""Which box is which: intersection over union, and the best one-to-one assignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from ferengine.errors import UsageError


def iou_matrix(boxes_a: ArrayLike, boxes_b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each of ``boxes_a`` (N, 4) with each of ``boxes_b`` (M, 4): float64 (N, M).

    Boxes are x, y, w, h; one without area overlaps nothing. Raises UsageError for another shape or for values
    that are not finite.
    """
    a, b = _boxes(boxes_a), _boxes(boxes_b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - shared
    overlap = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap


def assign(affinity: NDArray[np.float64]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """One-to-one pairs (row, column) of ``affinity`` (N, M) with the largest sum, of positive entries only.

    Returns the pairs in ascending rows, the rows and the columns left over. Solved exactly
    (Jonker-Volgenant).
    """
    rows, columns = linear_sum_assignment(np.clip(affinity, 0, None), maximize=True)
    pairs = [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if affinity[r, c] > 0]
    taken_rows, taken_columns = {r for r, _ in pairs}, {c for _, c in pairs}
    return (
        pairs,
        [r for r in range(affinity.shape[0]) if r not in taken_rows],
        [c for c in range(affinity.shape[1]) if c not in taken_columns],
    )


def match(boxes_a: ArrayLike, boxes_b: ArrayLike, min_iou: float) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pairs of ``boxes_a`` (N, 4) and ``boxes_b`` (M, 4), x, y, w, h, with the largest sum of IoU.

    A pair needs an IoU of at least ``min_iou`` and above 0. Returns the pairs (index a, index b) in ascending
    a, the indices of a and of b that found no partner.
    """
    overlap = iou_matrix(boxes_a, boxes_b)
    return assign(np.where(overlap >= min_iou, overlap, 0.0))


def _boxes(values: ArrayLike) -> NDArray[np.float64]:
    boxes = np.asarray(values, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UsageError(f"boxes must have shape (n, 4), x, y, w, h, not {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise UsageError("boxes must be finite")
    return boxes
