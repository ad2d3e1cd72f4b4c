"""Box algebra of the cascade: corners (n, 4) x1, y1, x2, y2 in pixels, float32."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def non_maximum_suppression(
    boxes: Boxes, scores: NDArray[np.float32], threshold: float, method: Literal["union", "min"] = "union"
) -> NDArray[np.int64]:
    """Indices of the boxes kept, best score first: greedily, each drops the later ones that it overlaps by more than
    ``threshold``, measured as intersection over union, or over the smaller of both areas ("min")."""
    x1, y1, x2, y2 = boxes.T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)  # a network may turn a box inside out
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order])
        height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = order[shared <= threshold * _whole(method, areas[best], areas[order], shared)]
    return np.array(kept, np.int64)


def _whole(
    method: Literal["union", "min"], area: np.float32, areas: NDArray[np.float32], shared: NDArray[np.float32]
) -> NDArray[np.float32]:
    return area + areas - shared if method == "union" else np.minimum(area, areas)


def regress(boxes: Boxes, offsets: NDArray[np.float32]) -> Boxes:
    """Move each corner by its offset, in units of the box's width and height in inclusive pixels (x2 - x1 + 1), as
    the networks were trained."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return (boxes + offsets * np.tile(size, 2)).astype(np.float32)


def place_landmarks(boxes: Boxes, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """O-Net's points (n, 10), five x then five y in units of the box -> float32 (n, 5, 2) x, y in pixels."""
    size = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    relative = points.reshape(-1, 2, 5).transpose(0, 2, 1)
    return (boxes[:, None, :2] + relative * size - 1).astype(np.float32)


def square(boxes: Boxes) -> Boxes:
    """The squares of the same centres with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half]).astype(np.float32)


def corners_to_xywh(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 -> x, y, w, h."""
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float32)


def decode_proposals(
    probabilities: NDArray[np.float32], offsets: NDArray[np.float32], threshold: float, scale: float
) -> tuple[Boxes, Boxes, NDArray[np.float32]]:
    """P-Net's map of one pyramid level -> its windows and the boxes that they move to, in frame pixels (n, 4) each, and their
    scores (n,).

    ``probabilities`` (rows, columns), ``offsets`` (4, rows, columns) in units of the window; only cells above
    ``threshold`` count. The cell (i, j) stands for the pixels 2i + 1 to 2i + 12 and 2j + 1 to 2j + 12 of the level,
    which is ``scale`` times the frame.
    """
    rows, columns = np.nonzero(probabilities > threshold)
    first = 2.0 * np.stack([columns, rows], axis=1) + 1
    windows = np.hstack([first, first + 11])
    moved = windows + 11 * offsets[:, rows, columns].T
    return (windows / scale).astype(np.float32), (moved / scale).astype(np.float32), probabilities[rows, columns]
