"""IDF1 and HOTA, as the package TrackEval computes them.

IDF1: E. Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCV Workshops 2016.
HOTA: J. Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. TrackEval itself is not
used: it installs ``opencv-python``, which overwrites the files of ``opencv-contrib-python``. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.tracking.matching import assign

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""The overlaps from which HOTA counts a face as found; it is the mean over them."""

MATCH_IOU = 0.5
"""The overlap from which everything else does."""

_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """One frame.

    Attributes:
        people: int (n,): the number of each true face's person, from 0.
        tracks: int (m,): the number of each shown face's track, from 0.
        iou: float64 (n, m).
    """

    people: NDArray[np.intp]
    tracks: NDArray[np.intp]
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """All in [0, 1]; 1 where there is neither a true face nor a shown one.

    Attributes:
        idf1: How much of the true and the shown faces is one person under one id, with one id for each person.
        hota: The geometric mean of the next two, averaged over overlaps.
        detection: HOTA's DetA: found of all true and shown faces.
        association: HOTA's AssA: how consistently the ids of found faces follow the people.
    """

    idf1: float
    hota: float
    detection: float
    association: float


def identity_scores(frames: Sequence[Overlaps]) -> IdentityScores:
    """The scores of one or more cameras, whose people and tracks have numbers of their own."""
    shape = tuple(1 + max((int(x.max()) for x in numbers if x.size), default=-1) for numbers in (
        [frame.people for frame in frames], [frame.tracks for frame in frames]
    ))  # fmt: skip
    true, shown = np.zeros((shape[0], 1)), np.zeros((1, shape[1]))
    together, shared = np.zeros(shape), np.zeros(shape)
    for frame in frames:
        np.add.at(true[:, 0], frame.people, 1)
        np.add.at(shown[0], frame.tracks, 1)
        pairs = np.ix_(frame.people, frame.tracks)
        together[pairs] += frame.iou >= MATCH_IOU
        rivals = frame.iou.sum(axis=0, keepdims=True) + frame.iou.sum(axis=1, keepdims=True) - frame.iou
        shared[pairs] += np.divide(frame.iou, rivals, out=np.zeros_like(frame.iou), where=rivals > _ROUNDING)
    if not true.sum() + shown.sum():
        return IdentityScores(1.0, 1.0, 1.0, 1.0)
    one_to_one, _, _ = assign(together)
    idf1 = 2 * sum(together[pair] for pair in one_to_one) / (true.sum() + shown.sum())

    alignment = shared / np.maximum(1e-9, true + shown - shared)
    found = [np.zeros(shape) for _ in ALPHAS]
    for frame in frames:
        matched, _, _ = assign(alignment[np.ix_(frame.people, frame.tracks)] * frame.iou)
        for row, column in matched:
            for count in found[: int((frame.iou[row, column] >= ALPHAS - _ROUNDING).sum())]:
                count[frame.people[row], frame.tracks[column]] += 1
    hits = np.array([count.sum() for count in found])
    detection = hits / (true.sum() + shown.sum() - hits)
    association = np.array([(count * count / np.maximum(1, true + shown - count)).sum() for count in found]) / np.maximum(
        1, hits
    )
    return IdentityScores(
        float(idf1), float(np.sqrt(detection * association).mean()), float(detection.mean()), float(association.mean())
    )
