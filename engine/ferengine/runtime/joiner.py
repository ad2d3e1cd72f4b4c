"""Joins the track workers' records with the classifier's scores, in order per camera."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.adaptive_prior import AdaptivePrior
from ferengine.classification.heads import HeadReader
from ferengine.classification.labelling import Labeller, gender_confidence, unreadable
from ferengine.classification.pose import PoseMemory
from ferengine.classification.quality import make_quality
from ferengine.classification.smoothing import Smoother
from ferengine.models.manifest import Head
from ferengine.models.settings import Prior
from ferengine.results import (
    UNCERTAIN,
    Face,
    FrameResult,
    HeadReading,
    IgnoredFace,
    Landmarks,
    Timings,
    make_expression,
    make_gender,
)
from ferengine.stages.records import FACE_RING_FULL, Record, ScoreBatch
from ferengine.zones import NO_ZONES, Zones

_GENDER_SMOOTHING = 10.0
"""Time constant in seconds: along a track it does not change."""


@dataclass(slots=True)
class _FaceScores:
    """``scores``: of all networks, side by side."""

    scores: NDArray[np.float32]
    measures: NDArray[np.float32]
    queued_ns: int
    inferred_ns: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A result that may go out, and where its image lies."""

    result: FrameResult
    generation: int
    slot: int


class CameraJoiner:
    """The records of one camera wait here, in order, until the scores of all their faces are in.

    A record or a score that comes twice (a worker was replaced and read again what was not yet freed) is dropped;
    scores of another epoch than their record's belong to a dead track worker and are dropped too.
    """

    def __init__(
        self,
        name: str,
        live: bool,
        labels: tuple[str, ...],
        deadline: float,
        smoothing: float,
        min_confidence: float = 0.0,
        gender_labels: tuple[str, ...] = (),
        label_hold: float = 0.0,
        check_quality: bool = False,
        heads: tuple[Head, ...] = (),
        prior: Prior | None = None,
    ) -> None:
        self.name = name
        self.live = live
        self.labels = labels
        self.next_track_id = 1
        self.emitted = 0
        self.faces = 0
        self.ignored = 0
        self.unclassified: Counter[str] = Counter()
        self.adaptive = None if prior is None or prior.start is None else AdaptivePrior(prior)
        self._deadline = deadline
        self._gender_labels = gender_labels
        self._smoother = Smoother(smoothing, len(labels))
        self._gender_smoother = Smoother(_GENDER_SMOOTHING, len(gender_labels))
        self._labeller = Labeller(label_hold, min_confidence, check_quality=check_quality)
        self._gender_labeller = Labeller(label_hold, gender_confidence(min_confidence))
        self._heads = HeadReader(heads, smoothing)
        self._gender_start = len(labels) + sum(len(head.labels) for head in heads)
        self._poses = PoseMemory()
        self._records: deque[Record] = deque()
        self._scores: dict[tuple[int, int], dict[int, _FaceScores]] = {}
        self.last_sequence = -1
        self.last_emitted = (-1, 0.0)
        self._zones: dict[int, Zones] = {}

    @property
    def waiting(self) -> int:
        """Records that have not gone out."""
        return len(self._records)

    def set_zones(self, zones: Zones) -> None:
        """Name the zones of records that were made with this version of them."""
        self._zones[zones.version] = zones

    def add_record(self, record: Record) -> None:
        if record.sequence <= self.last_sequence:
            return
        self.last_sequence = record.sequence
        self._records.append(record)
        if len(record.faces):
            self.next_track_id = max(self.next_track_id, int(record.faces["id"].max()) + 1)

    def add_scores(self, sequence: int, epoch: int, face: int, scores: _FaceScores) -> None:
        if sequence > self.last_emitted[0]:
            self._scores.setdefault((sequence, epoch), {}).setdefault(face, scores)

    def next_ready(self, now: float) -> Joined | None:
        """The next result in order if it is complete, or live and past its deadline at ``now``; else ``None``."""
        if not self._records:
            return None
        record = self._records[0]
        scores = self._scores.get((record.sequence, record.epoch), {})
        complete = record.status == FACE_RING_FULL or len(scores) >= record.delivered
        expired = self.live and now - record.captured_ns / 1e9 > self._deadline
        if not complete and not expired:
            return None
        self._records.popleft()
        self.last_emitted = record.sequence, record.timestamp
        for key in [key for key in self._scores if key[0] <= record.sequence]:
            del self._scores[key]
        return Joined(self._result(record, scores, now), record.generation, record.slot)

    def seconds_to_deadline(self, now: float) -> float | None:
        """How long the oldest waiting live record may still wait; ``None`` where nothing has a deadline."""
        if not self.live or not self._records:
            return None
        return max(0.0, self._records[0].captured_ns / 1e9 + self._deadline - now)

    def _result(self, record: Record, scores: dict[int, _FaceScores], now: float) -> FrameResult:
        reason = "face_ring_full" if record.status == FACE_RING_FULL else "deadline"
        zones = self._zones_of(record.zones) if record.zones else NO_ZONES
        faces = tuple(
            self._face(row, record.timestamp, scores.get(index), reason, zones)
            for index, row in enumerate(record.faces[: record.delivered])
        )
        if self.adaptive is not None:
            self.adaptive.note_time(record.timestamp)
        hidden = tuple(_ignored(row) for row in record.faces[record.delivered :]) if record.hidden else ()
        self.ignored += record.ignored
        self.unclassified["too_many"] += record.beyond
        self.emitted += 1
        self.faces += len(faces)
        tracked = record.tracked_ns / 1e9
        queued = max((item.queued_ns / 1e9 for item in scores.values()), default=tracked)
        inferred = max((item.inferred_ns / 1e9 for item in scores.values()), default=queued)
        captured = record.captured_ns / 1e9
        timings = Timings(captured, tracked, queued, inferred, now)
        latency = 1e3 * (now - captured)
        return FrameResult(
            self.name, record.sequence, record.timestamp, latency, faces, timings, record.scene_cut, hidden, record.searched
        )

    def _zones_of(self, version: int) -> Zones:
        """Those of a record; older ones are forgotten."""
        for older in [each for each in self._zones if each < version]:
            del self._zones[older]
        return self._zones.get(version, NO_ZONES)

    def _face(self, row: np.void, timestamp: float, scored: _FaceScores | None, reason: str, zones: Zones) -> Face:
        track = int(row["id"])
        if scored is not None and not np.isfinite(scored.scores).all():
            scored, reason = None, "not_finite"
        x, y, w, h = row["box"].tolist()
        landmarks: Landmarks | None = None
        if row["has_landmarks"]:
            a, b, c, d, e = map(tuple, row["landmarks"].tolist())
            landmarks = (a, b, c, d, e)
        pose = self._poses.update(track, timestamp, landmarks)
        expression = gender = quality = changed_from = None
        heads: dict[str, HeadReading] = {}
        if scored is None:
            self.unclassified[reason] += 1
        else:
            quality = make_quality((x, y, w, h), scored.measures)
            expressions = len(self.labels)
            scores, genders = scored.scores[:expressions], scored.scores[self._gender_start :]
            numbers = scored.scores[expressions : self._gender_start]
            if self.labels:
                if self.adaptive is not None:
                    scores = self.adaptive.read(scores, counts=unreadable(pose, quality) is None)
                smoothed = self._smoother.update(track, timestamp, scores)
                answer = self._labeller.update(track, timestamp, scores, smoothed, pose, quality)
                expression = make_expression(self.labels, scores, smoothed, answer.label, answer.reason)
                if answer.changed:
                    changed_from = UNCERTAIN if answer.before is None else self.labels[answer.before]
            heads = self._heads.read(numbers, track, timestamp)
            if self._gender_labels:
                smoothed = self._gender_smoother.update(track, timestamp, genders)
                answer = self._gender_labeller.update(track, timestamp, smoothed, smoothed)
                gender = make_gender(self._gender_labels, genders, smoothed, answer.label, answer.reason)
        return Face(
            track=track,
            box=(x, y, w, h),
            score=float(row["score"]),
            track_confidence=float(row["confidence"]),
            origin="detected" if row["detected"] else "tracked",
            landmarks=landmarks,
            expression=expression,
            reason=None if scored is not None else reason,
            gender=gender,
            pose=pose,
            quality=quality,
            changed_from=changed_from,
            zones=zones.names(int(row["zones"])) if zones.regions else (),
            heads=heads,
        )


def _ignored(row: np.void) -> IgnoredFace:
    x, y, w, h = (float(value) for value in row["box"])
    return IgnoredFace(int(row["id"]), (x, y, w, h))


def split_batch(batch: ScoreBatch) -> Iterator[tuple[int, int, int, int, _FaceScores]]:
    """(camera, sequence, epoch, face, scores) of each face of ``batch``."""
    names = ("camera", "sequence", "epoch", "face", "queued_ns")
    keys = zip(*(batch.keys[name].tolist() for name in names), strict=True)
    for (camera, sequence, epoch, face, queued_ns), scores, measures in zip(keys, batch.scores, batch.measures, strict=True):
        yield camera, sequence, epoch, face, _FaceScores(scores, measures, queued_ns, batch.inferred_ns)
