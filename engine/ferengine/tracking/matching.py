"""Intersection over union of boxes, which are near, and the best one-to-one assignment."""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferengine.errors import UsageError


def iou_matrix(boxes_a: ArrayLike, boxes_b: ArrayLike) -> NDArray[np.float64]:
    """Return the intersection over union of each box of one list with each of another.

    Args:
        boxes_a: (N, 4), x, y, w, h. A box without area overlaps nothing.
        boxes_b: (M, 4).

    Returns:
        float64 (N, M).

    Raises:
        UsageError: For another shape, or values that are not finite.

    Example:
        >>> iou_matrix([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 2, 2]]).round(3).tolist()
        [[1.0, 0.333]]
    """
    a, b = _boxes(boxes_a), _boxes(boxes_b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - shared
    overlap = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap


def near_matrix(boxes_a: ArrayLike, boxes_b: ArrayLike) -> NDArray[np.bool_]:
    """Return of which boxes the sizes are similar (within a factor of 2) and the centres less than one box apart.

    Args:
        boxes_a: (N, 4), x, y, w, h.
        boxes_b: (M, 4).

    Returns:
        bool (N, M).
    """
    a, b = _boxes(boxes_a), _boxes(boxes_b)
    sizes = a[:, None, 2:].max(axis=2), b[None, :, 2:].max(axis=2)
    larger, smaller = np.maximum(*sizes), np.minimum(*sizes)
    apart = (a[:, :2] + a[:, 2:] / 2)[:, None] - (b[:, :2] + b[:, 2:] / 2)[None]
    near: NDArray[np.bool_] = (np.hypot(apart[..., 0], apart[..., 1]) < larger) & (larger <= 2 * smaller)
    return near


def assign(affinity: NDArray[np.float64]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Find the one-to-one assignment with the largest sum of affinities, of positive entries only.

    Solved exactly: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
    problems", Computing 38, 1987.

    Args:
        affinity: (N, M).

    Returns:
        The pairs (row, column) in ascending rows, then the rows and the columns left over.
    """
    pairs: list[tuple[int, int]] = []
    if affinity.size:
        gain = np.clip(affinity, 0, None)
        _, partners, _ = lap.lapjv(gain.max() - gain, extend_cost=True)  # minimises; -1: no partner
        pairs = [(r, int(c)) for r, c in enumerate(partners) if c >= 0 and affinity[r, c] > 0]
    taken_rows, taken_columns = {r for r, _ in pairs}, {c for _, c in pairs}
    return (
        pairs,
        [r for r in range(affinity.shape[0]) if r not in taken_rows],
        [c for c in range(affinity.shape[1]) if c not in taken_columns],
    )


def match(boxes_a: ArrayLike, boxes_b: ArrayLike, min_iou: float) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Match boxes one to one with the largest sum of IoU.

    Args:
        boxes_a: (N, 4), x, y, w, h.
        boxes_b: (M, 4).
        min_iou: Minimum IoU of a pair, which must also be above 0.

    Returns:
        The pairs (index a, index b) in ascending a, then the indices of a and of b without a partner.
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
