"""What goes wrong with identities, counted against a truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.tracking.matching import assign, iou_matrix
from ferengine_tools.tracking.identity_scores import MATCH_IOU, IdentityScores, Overlaps, identity_scores
from ferengine_tools.tracking.lines import Sighting, Sightings

_AWAY = 1.0
"""Seconds without a true face of a person after which its next one is a new appearance."""


@dataclass(slots=True)
class Measures:
    """The measures of one camera, or of several together.

    Attributes:
        frames: Frames of the truth.
        missing_frames: Those of them without a result: none of their faces is found.
        unlabelled_frames: Frames of the result without a truth; they are not measured.
        true_faces: Faces in the truth, without ignored ones.
        shown_faces: Faces in the result, without those on ignored ones.
        found_faces: Pairs of both at an IoU of at least ``MATCH_IOU``, one to one.
        people: In the truth.
        tracks: In the result.
        wrong_continuations: How often a track that was on one person was next on another.
        shared_tracks: Tracks that were ever on more than one person.
        false_tracks: Tracks that are on no person in at least half of their frames.
        extra_tracks: Tracks on people beyond the first of each person.
        appearances: How often a person came into view, for the first time or after more than a second.
        unseen: Appearances that no track ever was on.
        latencies: Seconds from each other appearance to the first frame with a track on it.
        label_changes: Changes of the smoothed label along the tracks.
        labelled_seconds: The time that the tracks had a label for.
        scores: IDF1 and HOTA.
    """

    frames: int = 0
    missing_frames: int = 0
    unlabelled_frames: int = 0
    true_faces: int = 0
    shown_faces: int = 0
    found_faces: int = 0
    people: int = 0
    tracks: int = 0
    wrong_continuations: int = 0
    shared_tracks: int = 0
    false_tracks: int = 0
    extra_tracks: int = 0
    appearances: int = 0
    unseen: int = 0
    latencies: list[float] = field(default_factory=list)
    label_changes: int = 0
    labelled_seconds: float = 0.0
    scores: IdentityScores = field(default_factory=lambda: identity_scores([]))

    @property
    def recall(self) -> float:
        """The fraction of the true faces that is found; 1 where there is none."""
        return self.found_faces / self.true_faces if self.true_faces else 1.0

    @property
    def precision(self) -> float:
        """The fraction of the shown faces that is true; 1 where there is none."""
        return self.found_faces / self.shown_faces if self.shown_faces else 1.0

    @property
    def label_changes_per_second(self) -> float | None:
        """Per second of a face; None where nothing had a label."""
        return self.label_changes / self.labelled_seconds if self.labelled_seconds else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        scores, changes = self.scores, self.label_changes_per_second
        counts = {name: getattr(self, name) for name in self.__slots__ if name not in ("latencies", "scores")}
        return counts | {
            "labelled_seconds": round(self.labelled_seconds, 3),
            "recall": round(self.recall, 4),
            "precision": round(self.precision, 4),
            "idf1": round(scores.idf1, 4),
            "hota": round(scores.hota, 4),
            "hota_detection": round(scores.detection, 4),
            "hota_association": round(scores.association, 4),
            "latency_median_s": round(median(self.latencies), 3) if self.latencies else None,
            "latency_maximum_s": round(max(self.latencies), 3) if self.latencies else None,
            "label_changes_per_second": None if changes is None else round(changes, 3),
        }


def pair_cameras(truth: Mapping[str, Sightings], result: Mapping[str, Sightings]) -> Iterator[tuple[str, Sightings, Sightings]]:
    """Each camera of the truth with its result, by name; one camera in each file belong together whatever their names.

    Raises:
        UsageError: The files do not name the same cameras.
    """
    if len(truth) == len(result) == 1:
        ((name, shown),), ((_, true),) = result.items(), truth.items()
        return iter([(name, true, shown)])
    if truth.keys() != result.keys():
        raise UsageError(f"the truth is of the cameras {', '.join(sorted(truth))}, the result of {', '.join(sorted(result))}")
    return iter([(name, frames, result[name]) for name, frames in truth.items()])


def measure(cameras: Sequence[tuple[Sightings, Sightings]]) -> Measures:
    """The measures of cameras together: of each what is true, and what a run shows.

    Raises:
        UsageError: No frame of a truth is in its result.
    """
    total = Measures()
    overlaps: list[Overlaps] = []
    people: dict[tuple[int, int], int] = {}
    tracks: dict[tuple[int, int], int] = {}
    for camera, (truth, result) in enumerate(cameras):
        if not truth.keys() & result.keys():
            raise UsageError("no frame of the truth is in the result: the frames are counted from 0 in both")
        total.frames += len(truth)
        total.missing_frames += len(truth.keys() - result.keys())
        total.unlabelled_frames += len(result.keys() - truth.keys())
        seen = [(frame, *_compare(frame, result.get(number))) for number, frame in truth.items()]
        for frame, shown, _, iou in seen:
            overlaps.append(Overlaps(
                np.array([people.setdefault((camera, person), len(people)) for person in frame.tracks], np.intp),
                np.array([tracks.setdefault((camera, track), len(tracks)) for track in shown], np.intp),
                iou,
            ))  # fmt: skip
        _count_identities(total, [(shown, pairs) for _, shown, pairs, _ in seen])
        _count_appearances(total, [(frame, pairs) for frame, _, pairs, _ in seen])
        _count_label_changes(total, result)
    total.people, total.tracks = len(people), len(tracks)
    total.scores = identity_scores(overlaps)
    return total


def _compare(frame: Sighting, result: Sighting | None) -> tuple[tuple[int, ...], list[tuple[int, int]], NDArray[np.float64]]:
    """The tracks shown, without those on ignored faces; the pairs (person, track) found; the IoU of all."""
    boxes = np.empty((0, 4)) if result is None else result.boxes
    tracks = () if result is None else result.tracks
    iou = iou_matrix(frame.boxes, boxes)
    pairs, _, rest = assign(np.where(iou >= MATCH_IOU, iou, 0.0))
    hidden = iou_matrix(frame.ignored, boxes).max(axis=0, initial=0) >= MATCH_IOU
    kept = [column for column in range(len(tracks)) if not (column in rest and hidden[column])]
    found = [(frame.tracks[row], tracks[column]) for row, column in pairs]
    return tuple(tracks[column] for column in kept), found, iou[:, kept]


def _count_identities(total: Measures, seen: Sequence[tuple[tuple[int, ...], list[tuple[int, int]]]]) -> None:
    shown: defaultdict[int, int] = defaultdict(int)
    people_of: defaultdict[int, list[int]] = defaultdict(list)
    tracks_of: defaultdict[int, set[int]] = defaultdict(set)
    for tracks, pairs in seen:
        total.shown_faces += len(tracks)
        total.found_faces += len(pairs)
        for track in tracks:
            shown[track] += 1
        for person, track in pairs:
            people_of[track].append(person)
            tracks_of[person].add(track)
    for track, count in shown.items():
        total.false_tracks += 2 * len(people_of[track]) <= count
    for people in people_of.values():
        total.wrong_continuations += sum(a != b for a, b in pairwise(people))
        total.shared_tracks += len(set(people)) > 1
    total.extra_tracks += sum(len(tracks) - 1 for tracks in tracks_of.values())


def _count_appearances(total: Measures, seen: Sequence[tuple[Sighting, list[tuple[int, int]]]]) -> None:
    last: dict[int, float] = {}
    waiting: dict[int, float] = {}
    for frame, pairs in seen:
        total.true_faces += len(frame.tracks)
        for person in frame.tracks:
            if person not in last or frame.timestamp - last[person] > _AWAY:
                total.appearances += 1
                total.unseen += person in waiting
                waiting[person] = frame.timestamp
            last[person] = frame.timestamp
        for person, _ in pairs:
            if person in waiting:
                total.latencies.append(frame.timestamp - waiting.pop(person))
    total.unseen += len(waiting)


def _count_label_changes(total: Measures, result: Sightings) -> None:
    last: dict[int, tuple[float, str]] = {}
    for frame in result.values():
        for track, label in zip(frame.tracks, frame.labels, strict=True):
            if label is None:
                continue
            if track in last:
                then, before = last[track]
                total.label_changes += label != before
                total.labelled_seconds += min(max(0.0, frame.timestamp - then), _AWAY)
            last[track] = frame.timestamp, label
