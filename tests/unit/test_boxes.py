"""Box algebra against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.detect.boxes import non_maximum_suppression, regress, square


def boxes_of(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (count, 2))
    sizes = random.uniform(1, 40, (count, 2))
    return np.hstack([corners, corners + sizes]).astype(np.float32), random.permutation(count).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.floats(0.05, 0.95), st.sampled_from(["union", "min"]))
def test_suppression(seed: int, count: int, threshold: float, method: str) -> None:
    boxes, scores = boxes_of(seed, count)
    kept: list[int] = []
    for index in sorted(range(count), key=lambda i: -scores[i]):
        x1, y1, x2, y2 = boxes[index].astype(float)
        for other in kept:
            a1, b1, a2, b2 = boxes[other].astype(float)
            shared = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
            areas = (x2 - x1) * (y2 - y1), (a2 - a1) * (b2 - b1)
            whole = min(areas) if method == "min" else sum(areas) - shared
            if shared > threshold * whole:
                break
        else:
            kept.append(index)
    assert non_maximum_suppression(boxes, scores, threshold, method).tolist() == kept  # type: ignore[arg-type]


def test_regression_and_squares() -> None:
    boxes = np.array([[10, 20, 29, 59]], np.float32)
    moved = regress(boxes, np.array([[0.1, -0.1, 0.2, 0.0]], np.float32))
    assert moved[0] == pytest.approx([12, 16, 33, 59])
    assert square(np.array([[10, 20, 30, 60]], np.float32))[0] == pytest.approx([0, 20, 40, 60])
