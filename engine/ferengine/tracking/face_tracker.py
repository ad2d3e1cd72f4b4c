"""Who is who in the frames of one camera: tracks between detections, and their identity across them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.errors import UsageError
from ferengine.results import Box, Origin
from ferengine.tracking.appearance import similarity, thumbnail
from ferengine.tracking.base import Tracker, TrackerUpdate
from ferengine.tracking.crop_geometry import CropGeometry, Square, face_square
from ferengine.tracking.kcf import KcfTracker, update_all
from ferengine.tracking.matching import assign, iou_matrix

_HEAVY_OVERLAP = 0.6
"""IoU of two tracks that probably follow one face."""

_APPEARANCE_WEIGHT = 0.5
"""What a perfect likeness is worth in IoU where several tracks and detections overlap each other."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """One face in the current frame.

    ``box`` x, y, w, h in pixels; ``score`` the last detection's, ``confidence`` the tracker's (1 when
    detected in this frame), both in [0, 1]; ``landmarks`` float32 (5, 2) in pixels where it was detected in
    this frame by a detector that finds them; ``square`` where to cut it for the classifier: cx, cy, side in
    pixels, angle in radians.
    """

    id: int
    box: Box
    score: float
    confidence: float
    origin: Origin
    landmarks: NDArray[np.float32] | None
    square: Square


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where each track was on a frame whose detection is still to come: ``boxes`` by id."""

    boxes: Mapping[int, Box]


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """One usable detection: its ``geometry`` places the crop on the box, ``look`` is the face's thumbnail."""

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None
    geometry: CropGeometry
    look: NDArray[np.float32]


@dataclass(slots=True, eq=False)
class _Track:
    """``seen`` is the last detection, ``sure_box`` the last box with a confidence that is not weak.
    ``lost_since`` is set while the face is not seen, ``denied`` once a detection has confirmed that: then the
    tracker is not asked."""

    id: int
    tracker: Tracker
    seen: _Sighting
    box: Box
    sure_box: Box
    confidence: float = 1.0
    origin: Origin = "detected"
    lost_since: float | None = None
    denied: bool = False

    def face(self) -> TrackedFace:
        return TrackedFace(
            id=self.id,
            box=self.box,
            score=self.seen.score,
            confidence=self.confidence,
            origin=self.origin,
            landmarks=self.seen.landmarks if self.origin == "detected" else None,
            square=self.seen.geometry.square(self.box),
        )

    def renew(self, frame: NDArray[np.uint8], seen: _Sighting) -> None:
        """Put the track where the detector sees its face."""
        self.tracker.init(frame, seen.box)
        self.seen, self.box, self.sure_box = seen, seen.box, seen.box
        self.confidence, self.origin, self.lost_since, self.denied = 1.0, "detected", None, False


class FaceTracker:
    """Tracks the faces of one camera from frame to frame and gives each a lasting id. Not thread-safe.

    Each frame is either followed (``advance``), corrected by a detection (``correct``), or both in this
    order. A detection made on an earlier frame is handed in late with that frame and the ``snapshot`` taken
    on it.

    A face that its tracker or a detection loses is not in ``faces``, but keeps its id for ``max_lost_s``
    seconds of timestamps and takes it back when a detection appears near where it was last surely seen. A
    face whose tracker reports less than ``weak_confidence`` stays in ``faces`` and makes ``wants_detection``
    true. Detections are matched to tracks from an IoU of ``min_iou`` on. Ids count up from ``first_id``. The
    same calls give the same answers.
    """

    def __init__(
        self,
        make_tracker: Callable[[], Tracker] = KcfTracker,
        *,
        align: bool = False,
        weak_confidence: float = 0.5,
        min_iou: float = 0.3,
        max_lost_s: float = 1.0,
        first_id: int = 1,
    ) -> None:
        """Raises UsageError for a threshold out of range."""
        if not 0 <= weak_confidence <= 1:
            raise UsageError(f"weak_confidence must be in [0, 1], not {weak_confidence}")
        if not 0 < min_iou <= 1:
            raise UsageError(f"min_iou must be in (0, 1], not {min_iou}")
        if not max_lost_s >= 0:
            raise UsageError(f"max_lost_s must not be negative, not {max_lost_s}")
        self._make_tracker = make_tracker
        self._align = align
        self._weak = weak_confidence
        self._min_iou = min_iou
        self._max_lost_s = max_lost_s
        self._next_id = first_id
        self._tracks: list[_Track] = []
        self._overlaps: set[tuple[int, int]] = set()
        self._wants_detection = True

    @property
    def next_id(self) -> int:
        """The id that the next new face will get."""
        return self._next_id

    @property
    def wants_detection(self) -> bool:
        """Whether there has been no detection yet or, since the last one, a track became weak, was lost or
        came to overlap another heavily. Each loss asks once: an occluded face does not ask again after a
        detection."""
        return self._wants_detection

    @property
    def doubt(self) -> float:
        """Share of the followed tracks that are weak or lost, in [0, 1]; a change of scene leaves few that are sure."""
        followed = [track for track in self._tracks if not track.denied]
        return sum(not self._is_sure(track.confidence) for track in followed) / max(1, len(followed))

    @property
    def faces(self) -> list[TrackedFace]:
        """The faces seen in the current frame, in ascending id."""
        return [track.face() for track in self._tracks if track.lost_since is None]

    def snapshot(self) -> Snapshot:
        """Where the tracks are now, for a detection on the current frame that arrives later."""
        return Snapshot({track.id: track.box for track in self._tracks})

    def advance(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        """Follow every track into ``frame``, BGR uint8 (H, W, 3), of ``timestamp`` seconds."""
        self._bury(timestamp)
        followed = [track for track in self._tracks if not track.denied]
        updates = update_all([track.tracker for track in followed], frame)
        for track, update in zip(followed, updates, strict=True):
            self._follow(track, update, timestamp)
        overlaps = self._heavy_overlaps()
        self._wants_detection |= not overlaps <= self._overlaps
        self._overlaps |= overlaps

    def correct(
        self,
        frame: NDArray[np.uint8],
        detections: Detections,
        timestamp: float,
        snapshot: Snapshot | None = None,
    ) -> None:
        """Take over the ``detections`` made on ``frame``, BGR uint8 (H, W, 3), of ``timestamp`` seconds.

        ``snapshot`` is the one taken on that frame when others have been followed since; the tracks are put
        back to it, and the next ``advance`` catches up. Every matched track takes the detection's box,
        whatever its own. Detections that are not finite or have no area are ignored.
        """
        self._bury(timestamp)
        if snapshot is not None:
            for track in self._tracks:
                track.box = snapshot.boxes.get(track.id, track.box)
        sightings = self._sightings(frame, detections)
        followed = [track for track in self._tracks if not track.denied]
        pairs, missed, unmatched = assign(self._overlap_affinity(followed, sightings))
        for row, column in pairs:
            followed[row].renew(frame, sightings[column])

        missing = [followed[row] for row in missed] + [track for track in self._tracks if track.denied]
        fresh = [sightings[column] for column in unmatched]
        pairs, missed, unmatched = assign(self._return_affinity(missing, fresh))
        for row, column in pairs:
            missing[row].renew(frame, fresh[column])
        for row in missed:
            track = missing[row]
            if snapshot is None or track.id in snapshot.boxes:
                track.denied = True
                track.lost_since = timestamp if track.lost_since is None else track.lost_since
        for column in unmatched:
            self._tracks.append(self._born(frame, fresh[column]))
        self._overlaps = self._heavy_overlaps()
        self._wants_detection = False

    def _follow(self, track: _Track, update: TrackerUpdate, timestamp: float) -> None:
        was_sure, was_lost = self._is_sure(track.confidence), track.lost_since is not None
        track.box, track.confidence = update.box, update.confidence
        track.origin = "tracked"
        is_sure = self._is_sure(update.confidence)
        if is_sure:
            track.sure_box, track.lost_since = update.box, None
        elif update.confidence <= 0 and not was_lost:
            track.lost_since = timestamp
        is_lost = track.lost_since is not None
        self._wants_detection |= (was_sure and not is_sure) or (is_lost and not was_lost)

    def _is_sure(self, confidence: float) -> bool:
        return confidence > 0 and confidence >= self._weak

    def _bury(self, timestamp: float) -> None:
        """Forget who has been lost too long; a jump of the clock either way counts as time."""
        self._tracks = [
            track for track in self._tracks if track.lost_since is None or abs(timestamp - track.lost_since) <= self._max_lost_s
        ]

    def _heavy_overlaps(self) -> set[tuple[int, int]]:
        seen = [track for track in self._tracks if track.lost_since is None]
        if len(seen) < 2:
            return set()
        overlap = np.triu(iou_matrix([track.box for track in seen], [track.box for track in seen]), k=1)
        return {(seen[i].id, seen[j].id) for i, j in np.argwhere(overlap > _HEAVY_OVERLAP)}

    def _sightings(self, frame: NDArray[np.uint8], detections: Detections) -> list[_Sighting]:
        sightings = []
        for index, (x, y, w, h) in enumerate(detections.boxes.tolist()):
            if all(map(math.isfinite, (x, y, w, h))) and w > 0 and h > 0:
                box = (x, y, w, h)
                landmarks = None if detections.landmarks is None else detections.landmarks[index].copy()
                geometry = CropGeometry.of(box, face_square(box, landmarks, self._align))
                score = float(detections.scores[index])
                sightings.append(_Sighting(box, score, landmarks, geometry, thumbnail(frame, box)))
        return sightings

    def _overlap_affinity(self, tracks: list[_Track], sightings: list[_Sighting]) -> NDArray[np.float64]:
        """IoU from ``min_iou`` on, else 0; where boxes compete, likeness tips the balance."""
        overlap = iou_matrix([track.box for track in tracks], [seen.box for seen in sightings])
        return np.where(overlap >= self._min_iou, overlap + _APPEARANCE_WEIGHT * _likeness(tracks, sightings), 0.0)

    def _return_affinity(self, tracks: list[_Track], sightings: list[_Sighting]) -> NDArray[np.float64]:
        """Likeness and IoU of what is near a track's last sure or last detected box, else 0."""
        seen_boxes = [seen.box for seen in sightings]
        affinity = np.zeros((len(tracks), len(sightings)))
        for boxes in ([track.sure_box for track in tracks], [track.seen.box for track in tracks]):
            overlap = iou_matrix(boxes, seen_boxes)
            near = np.array([[_near(box, seen) for seen in seen_boxes] for box in boxes], bool)
            allowed = (overlap >= self._min_iou) | near.reshape(overlap.shape)
            affinity = np.maximum(affinity, np.where(allowed, 1.0 + overlap, 0.0))
        return np.where(affinity > 0, affinity + _likeness(tracks, sightings), 0.0)

    def _born(self, frame: NDArray[np.uint8], seen: _Sighting) -> _Track:
        tracker = self._make_tracker()
        tracker.init(frame, seen.box)
        self._next_id += 1
        return _Track(self._next_id - 1, tracker, seen, box=seen.box, sure_box=seen.box)


def _near(a: Box, b: Box) -> bool:
    """Whether two boxes of similar size (within a factor of 2) have their centres less than one box apart."""
    size_a, size_b = max(a[2:]), max(b[2:])
    apart = math.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2)
    return apart < max(size_a, size_b) and max(size_a, size_b) <= 2 * min(size_a, size_b)


def _likeness(tracks: list[_Track], sightings: list[_Sighting]) -> NDArray[np.float64]:
    values = [[similarity(track.seen.look, seen.look) for seen in sightings] for track in tracks]
    return np.array(values, np.float64).reshape(len(tracks), len(sightings))
