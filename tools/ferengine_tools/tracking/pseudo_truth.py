"""A truth for a clip without one: every frame is searched, and what lies on one place from frame to frame is one person.

The people are told apart without the tracker that is to be measured. A chain of detections is a person if it reaches a score
that false boxes hardly ever have; it does not go on across a cut. A clip that is known to show one person needs no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections, Detector
from ferengine.sources.base import CapturedFrame
from ferengine.tracking.matching import assign, iou_matrix
from ferengine.tracking.scene import SceneCuts
from ferengine_tools.tracking.lines import Sighting, Sightings, as_boxes

_MIN_IOU = 0.3
_MAX_GAP = 0.5
"""Seconds for which a chain waits for its next detection."""

_SURE_FRAMES = 3
"""How many detections of a person reach the sure score at least."""


@dataclass(slots=True, eq=False)
class _Chain:
    """Detections of one face: the number of the frame, and the box."""

    boxes: dict[int, tuple[float, ...]] = field(default_factory=dict)
    sure: int = 0
    last: float = 0.0

    def add(self, number: int, timestamp: float, box: Sequence[float], sure: bool) -> None:
        self.boxes[number], self.last = tuple(box), timestamp
        self.sure += sure


def pseudo_truth(frames: Iterable[CapturedFrame], detector: Detector, sure_score: float, one_person: bool) -> Sightings:
    """Search every frame of a clip.

    Args:
        frames: The frames, in order.
        detector: What searches.
        sure_score: The score that false boxes hardly ever have.
        one_person: Whether the clip shows one person alone, however often it comes back.
    """
    stamps: list[float] = []
    chains: list[_Chain] = []
    open_chains: list[_Chain] = []
    cuts = SceneCuts()
    for number, frame in enumerate(frames):
        stamps.append(frame.timestamp)
        found = detector.detect(frame.image)
        if cuts.is_cut(frame.image, frame.timestamp):
            open_chains = []
        open_chains = [chain for chain in open_chains if frame.timestamp - chain.last <= _MAX_GAP]
        fresh = _link(open_chains, found, number, frame.timestamp, sure_score)
        chains += fresh
        open_chains += fresh
    people = [chain for chain in chains if chain.sure >= _SURE_FRAMES]
    truth: Sightings = {}
    for number, timestamp in enumerate(stamps):
        seen = [
            (0 if one_person else person, chain.boxes[number]) for person, chain in enumerate(people) if number in chain.boxes
        ]
        if one_person and len(seen) > 1:
            seen = [max(seen, key=lambda face: face[1][2] * face[1][3])]
        truth[number] = Sighting(
            timestamp,
            tuple(person for person, _ in seen),
            as_boxes(box for _, box in seen),
            (None,) * len(seen),
            as_boxes([]),
        )
    return truth


def _link(chains: Sequence[_Chain], found: Detections, number: int, timestamp: float, sure_score: float) -> list[_Chain]:
    """Continue the chains with the detections of a frame; the chains that begin there."""
    last: NDArray[np.float64] = as_boxes(chain.boxes[max(chain.boxes)] for chain in chains)
    iou = iou_matrix(last, found.boxes)
    pairs, _, rest = assign(np.where(iou >= _MIN_IOU, iou, 0.0))
    fresh = [_Chain() for _ in rest]
    ends = [(chains[row], column) for row, column in pairs] + list(zip(fresh, rest, strict=True))
    for chain, column in ends:
        chain.add(number, timestamp, found.boxes[column].tolist(), bool(found.scores[column] >= sure_score))
    return fresh
