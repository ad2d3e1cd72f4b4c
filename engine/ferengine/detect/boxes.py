"""Box algebra of the cascade: corners (n, 4) x1, y1, x2, y2 in pixels, float32."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def non_maximum_suppression(
    boxes: Boxes, scores: NDArray[np.float32], threshold: float, method: Literal["union", "min"] = "union"
) -> NDArray[np.int64]:
    """Indices of the boxes kept, best score first: greedily, each drops those that overlap it by more than
    ``threshold``, measured as intersection over union or over the smaller area."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order])
        height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = areas[best] + areas[order] - shared if method == "union" else np.minimum(areas[best], areas[order])
        order = order[shared <= threshold * whole]
    return np.array(kept, np.int64)


def regress(boxes: Boxes, offsets: NDArray[np.float32]) -> Boxes:
    """Move each corner by its offset in units of the box's width and height (inclusive, as the nets were trained)."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return (boxes + offsets * np.tile(size, 2)).astype(np.float32)


def square(boxes: Boxes) -> Boxes:
    """The squares of the same centres with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half]).astype(np.float32)


def decode_proposals(
    probabilities: NDArray[np.float32], offsets: NDArray[np.float32], threshold: float, scale: float
) -> tuple[Boxes, NDArray[np.float32]]:
    """P-Net's map -> boxes (n, 4) in frame pixels and scores (n,), for a level that is ``scale`` times the frame.

    ``probabilities`` (h, w), ``offsets`` (4, h, w); each cell is a 12-pixel window, the cells 2 pixels apart.
    """
    rows, columns = np.nonzero(probabilities > threshold)
    corner = 2.0 * np.stack([columns, rows], axis=1)
    windows = np.hstack([corner, corner + 12.0])
    moved = windows + 12.0 * offsets[:, rows, columns].T
    return (moved / scale).astype(np.float32), probabilities[rows, columns]
