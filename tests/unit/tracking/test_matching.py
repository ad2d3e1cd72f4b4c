"""IoU and assignment against the plain definitions."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.tracking.matching import assign, iou_matrix, match, near_matrix

Boxes = list[tuple[float, float, float, float]]
coordinate = st.integers(-20, 20).map(float)
length = st.integers(0, 20).map(float)
boxes = st.lists(st.tuples(coordinate, coordinate, length, length), max_size=5)


def plain_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    union = a[2] * a[3] + b[2] * b[3] - width * height
    return width * height / union if union > 0 else 0.0


def best_sum(affinity: np.ndarray) -> float:
    """The largest sum over all one-to-one pairings, by trying them all."""
    rows, columns = affinity.shape
    if rows > columns:
        return best_sum(affinity.T)
    return max(
        sum(max(0.0, affinity[row, column]) for row, column in enumerate(order)) for order in permutations(range(columns), rows)
    )


@given(boxes, boxes)
def test_iou_equals_its_definition(a: Boxes, b: Boxes) -> None:
    overlap = iou_matrix(a, b)
    assert overlap.shape == (len(a), len(b))
    for i, j in np.ndindex(overlap.shape):
        assert overlap[i, j] == pytest.approx(plain_iou(a[i], b[j]))


@given(boxes, boxes, st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]))
def test_match_is_the_best_of_all_pairings(a: Boxes, b: Boxes, min_iou: float) -> None:
    pairs, left_a, left_b = match(a, b, min_iou)
    overlap = iou_matrix(a, b)
    assert sorted([i for i, _ in pairs] + left_a) == list(range(len(a)))
    assert sorted([j for _, j in pairs] + left_b) == list(range(len(b)))
    assert all(overlap[i, j] >= min_iou and overlap[i, j] > 0 for i, j in pairs)
    best = best_sum(np.where(overlap >= min_iou, overlap, 0.0)) if a and b else 0.0
    assert math.isclose(sum(overlap[i, j] for i, j in pairs), best, abs_tol=1e-9)


@given(boxes, boxes)
def test_near_boxes_are_of_similar_size_and_less_than_one_apart(a: Boxes, b: Boxes) -> None:
    near = near_matrix(a, b)
    assert near.shape == (len(a), len(b))
    for i, j in np.ndindex(near.shape):
        (ax, ay, aw, ah), (bx, by, bw, bh) = a[i], b[j]
        larger, smaller = max(aw, ah, bw, bh), min(max(aw, ah), max(bw, bh))
        apart = math.hypot(ax + aw / 2 - bx - bw / 2, ay + ah / 2 - by - bh / 2)
        assert near[i, j] == (apart < larger <= 2 * smaller) or math.isclose(apart, larger)


def test_the_sum_decides_not_the_single_best_pair() -> None:
    pairs, left_a, left_b = assign(np.array([[0.9, 0.8], [0.8, 0.0]]))
    assert (pairs, left_a, left_b) == ([(0, 1), (1, 0)], [], [])


def test_nothing_to_match() -> None:
    assert match([], [], 0.3) == ([], [], [])
    assert match(np.empty((0, 4)), [(0, 0, 1, 1)], 0.3) == ([], [], [0])
    assert match([(0, 0, 1, 1)], [], 0.3) == ([], [0], [])


@pytest.mark.parametrize("bad", [[(0, 0, 1)], [(0, 0, math.nan, 1)], [(0, 0, math.inf, 1)], [1, 2, 3, 4]])
def test_bad_boxes_are_named(bad: list[object]) -> None:
    with pytest.raises(UsageError, match="boxes must"):
        match(bad, [(0, 0, 1, 1)], 0.3)  # type: ignore[arg-type]
