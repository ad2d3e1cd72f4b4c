"""Which face is which in the frames of one camera: tracks between detections, and their identity across them.

Detections are assigned to tracks by IoU, one to one, as in A. Bewley et al., "Simple Online and Realtime Tracking", ICIP
2016; between detections a correlation filter per face takes the place of its Kalman filter. What differs: where boxes
overlap, the appearance of the faces decides, and a lost track waits for its face near the place where it was last seen and
on its way from there. A cut ends what boxes say: after it a face keeps its id only if it looks like itself; so it does on that
way, after a while out of sight, and where its tracker doubts itself. A detection without a track needs a higher score than one
that continues a track (``births``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.birth import BirthScores
from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.tracking.appearance import appearance
from ferengine.tracking.base import Tracker, TrackerUpdate
from ferengine.tracking.births import Births
from ferengine.tracking.blending import Place
from ferengine.tracking.crop_geometry import CropGeometry, face_region
from ferengine.tracking.kcf import MAX_COORDINATE, KcfTracker, update_all
from ferengine.tracking.looks import Looks
from ferengine.tracking.matching import assign, iou_matrix, near_matrix
from ferengine.tracking.motion import Motion
from ferengine.tracking.recognition import (
    ALIKE,
    ALIKE_AFTER_CUT,
    ALIKE_IN_DISSOLVE,
    BROKEN,
    HALF_HIDDEN,
    least_similarity,
)
from ferengine.tracking.scene import SceneCuts
from ferengine.tracking.track import Detection, Track, TrackedFace

_DUPLICATE_IOU = 0.6
"""IoU of two tracks that probably follow one face."""

_APPEARANCE_WEIGHT = 0.5
"""What a similarity of 1 adds to the IoU where several tracks and detections overlap."""

_SEVERAL = 3
"""Faces from which they need not all be lost for another scene: something may hide one or two."""

_MOST = 2 / 3
"""Fraction of several faces that others, or none, have taken the places of where another scene begins."""

_SETTLES = 1.0
"""Seconds that a dissolve may still go on once it is recognised: a face that appears meanwhile is another one already."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where each track was on a frame whose detection is still to come.

    Attributes:
        boxes: By id.
        scene: How many cuts there had been.
    """

    boxes: Mapping[int, Box]
    scene: int = 0


class FaceTracker:
    """Tracks the faces of one camera from frame to frame and gives each a lasting id. Not thread-safe.

    Each frame is either tracked (``advance``), corrected by a detection (``correct``), or both in this order. A detection
    made on an earlier frame is handed in late, with that frame and the ``snapshot`` taken on it.

    A face that its tracker or a detection loses is not in ``faces``, but keeps its id for ``max_lost_s`` seconds and gets it
    back when a detection appears near where it was last found confidently and, unless it was lost only briefly, looks as it
    did, or does so where its ``motion`` may have brought it. A cut loses every face at once; those that are found again where
    they were, and look as they did, get their ids back. A face whose tracker reports less than ``weak_confidence`` stays in
    ``faces`` and makes ``wants_detection`` true; so does a new face that one detection is not enough to believe. The same calls
    give the same results.

    Args:
        make_tracker: Makes the tracker of one face.
        births: From which scores detections start a track; by default from any.
        align: Rotate crops so that the eyes are level.
        weak_confidence: Confidence below which a track is uncertain, in [0, 1].
        min_iou: Minimum IoU of a detection and its track, in (0, 1].
        max_lost_s: Seconds of time stamps for which a lost face keeps its id.
        first_id: The first id; ids count up from it.

    Raises:
        UsageError: If a threshold is out of range.
    """

    def __init__(
        self,
        make_tracker: Callable[[], Tracker] = KcfTracker,
        *,
        births: BirthScores = BirthScores(),  # noqa: B008 - it is immutable
        align: bool = False,
        weak_confidence: float = 0.5,
        min_iou: float = 0.3,
        max_lost_s: float = 4.0,
        first_id: int = 1,
    ) -> None:
        if not 0 <= weak_confidence <= 1:
            raise UsageError(f"weak_confidence must be in [0, 1], not {weak_confidence}")
        if not 0 < min_iou <= 1:
            raise UsageError(f"min_iou must be in (0, 1], not {min_iou}")
        if not max_lost_s >= 0:
            raise UsageError(f"max_lost_s must not be negative, not {max_lost_s}")
        self._make_tracker = make_tracker
        self._births = Births(births)
        self._align = align
        self._weak = weak_confidence
        self._min_iou = min_iou
        self._max_lost_s = max_lost_s
        self._next_id = first_id
        self._tracks: list[Track] = []
        self._duplicates: set[tuple[int, int]] = set()
        self._wants_detection = True
        self._cuts = SceneCuts()
        self._scene = 0
        self._least_alike = ALIKE_AFTER_CUT  # of a face from before the last cut
        self._settled_at = -math.inf
        self._looked_at: float | None = None
        self._followed_at: float | None = None
        self._followed = False  # by ``look``, before ``advance`` comes to it
        self._is_cut = self._in_new_scene = False

    @property
    def next_id(self) -> int:
        """The id that the next new face will get."""
        return self._next_id

    @property
    def wants_detection(self) -> bool:
        """Whether there has been no detection yet, the last one showed a face that one is not enough to believe or, since then,
        a track became weak, was lost or came to overlap another heavily. Each loss asks once: an occluded face does not ask
        again after a detection."""
        return self._wants_detection

    @property
    def is_cut(self) -> bool:
        """Whether the current frame shows another scene than the one before."""
        return self._is_cut

    @property
    def in_new_scene(self) -> bool:
        """Whether there has been no detection since the last cut: faces may be anywhere."""
        return self._in_new_scene

    @property
    def uncertain_fraction(self) -> float:
        """The fraction of the followed tracks that are weak or lost, in [0, 1]; near 1 after a change of scene."""
        followed = [track for track in self._tracks if not track.confirmed_lost]
        return sum(not self._is_confident(track.confidence) for track in followed) / max(1, len(followed))

    @property
    def faces(self) -> list[TrackedFace]:
        """The faces in the current frame, in ascending id."""
        return [track.face() for track in self._tracks if track.lost_since is None]

    @property
    def places(self) -> list[Box]:
        """Where faces may be: those of the tracks, lost ones included, and those that were seen once."""
        return [track.box for track in self._tracks] + self._births.places

    def snapshot(self) -> Snapshot:
        """Return where the tracks are now, for a detection on the current frame that arrives later."""
        return Snapshot({track.id: track.box for track in self._tracks}, self._scene)

    def look(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        """Find out whether a frame begins another scene.

        It does where its sample is unlike the last one's and most tracks have lost their faces too, or show others: a face that
        fills the frame and moves is no cut. ``advance`` and ``correct`` look by themselves; call it first where the place of a
        detection depends on it. The same time stamp again is the same frame.

        Args:
            frame: BGR uint8 (H, W, 3).
            timestamp: Its time in seconds.
        """
        if timestamp == self._looked_at:
            return
        self._looked_at, self._is_cut, self._followed = timestamp, False, False
        self._find_cut(frame, timestamp)
        self._end_blended(frame, timestamp)

    def _find_cut(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        change = self._cuts.change(frame, timestamp)
        if change == "none":
            return
        self._follow(frame, timestamp)
        self._followed = True
        if change == "dissolve":
            self._is_cut = True
            for track in self._tracks:
                track.looks.forget_since(self._cuts.dissolving_since)
        else:
            self._is_cut = self._confirm_cut(change == "cut", frame, timestamp)
        if self._is_cut:
            self._least_alike = ALIKE_IN_DISSOLVE if change == "dissolve" else ALIKE_AFTER_CUT
            self._begin_scene(timestamp)

    def _end_blended(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        """Remove the tracks of faces that are dissolving into something else: they never come back."""
        stay = [track for track in self._tracks if not (track.place.is_due(timestamp) and track.place.add(frame, timestamp))]
        if len(stay) < len(self._tracks):
            self._tracks = stay
            self._settled_at, self._wants_detection = timestamp + _SETTLES, True

    def _confirm_cut(self, is_unlike: bool, frame: NDArray[np.uint8], timestamp: float) -> bool:
        """Whether so many faces have gone that a frame shows another scene: most if it ``is_unlike`` the last one anyway."""
        followed = [track for track in self._tracks if not track.confirmed_lost]
        if is_unlike:
            stayed = [
                self._is_confident(track.confidence) and track.resembles(frame, timestamp, ALIKE_AFTER_CUT)
                for track in followed
            ]
            return 2 * sum(stayed) <= len(stayed)
        if len(followed) < _SEVERAL:
            return bool(followed) and all(track.confidence < BROKEN for track in followed)
        gone = [track.confidence < BROKEN or track.is_gone(frame, timestamp) for track in followed]
        return sum(gone) >= _MOST * len(gone)

    def _begin_scene(self, timestamp: float) -> None:
        self._scene += 1
        self._in_new_scene = self._wants_detection = True
        self._births.clear()
        for track in self._tracks:
            track.confidence, track.confirmed_lost = 0.0, True
            track.lost_since = timestamp if track.lost_since is None else track.lost_since

    def advance(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        """Follow every track into the next frame.

        Args:
            frame: BGR uint8 (H, W, 3).
            timestamp: Its time in seconds.
        """
        self._prune(timestamp)
        self.look(frame, timestamp)
        if not self._followed:
            self._follow(frame, timestamp)
        self._followed = False
        duplicates = self._find_duplicates()
        self._wants_detection |= not duplicates <= self._duplicates
        self._duplicates |= duplicates

    def _follow(self, frame: NDArray[np.uint8], timestamp: float) -> None:
        self._followed_at = timestamp
        followed = [track for track in self._tracks if not track.confirmed_lost]
        updates = update_all([track.tracker for track in followed], frame)
        for track, update in zip(followed, updates, strict=True):
            self._update(track, update, timestamp)

    def correct(
        self,
        frame: NDArray[np.uint8],
        detections: Detections,
        timestamp: float,
        snapshot: Snapshot | None = None,
    ) -> None:
        """Assign detections to the tracks, and start tracks for the others.

        Every matched track takes the detection's box, whatever its own. Detections that are not finite, have no area or are
        absurdly far away are ignored, and so are all of a frame before the last cut. Landmarks that are not finite are none.

        Args:
            frame: The frame that was searched, BGR uint8 (H, W, 3).
            detections: The faces found in it.
            timestamp: Its time in seconds.
            snapshot: The one taken on that frame, if others have been tracked since; the tracks are put back to it, and the
                next ``advance`` catches up.
        """
        if snapshot is None:
            self.look(frame, timestamp)
        elif snapshot.scene != self._scene:
            return
        self._prune(timestamp)
        if snapshot is not None:
            for track in self._tracks:
                track.box = snapshot.boxes.get(track.id, track.box)
        found = self._usable(frame, detections)
        followed = [track for track in self._tracks if not track.confirmed_lost]
        overlap, alike = self._compare(followed, found, timestamp)
        if snapshot is None and self._followed_at != timestamp and ((overlap > 0) & (alike < ALIKE)).any():
            self._follow(frame, timestamp)  # now the confidence counts
            overlap, alike = self._compare(followed, found, timestamp)
        goes_on = (overlap > 0) & (alike >= self._least_similarities(followed, timestamp))
        pairs, missed, unmatched = assign(np.where(goes_on, overlap + _APPEARANCE_WEIGHT * alike, 0.0))
        for row, column in pairs:
            self._continue(followed[row], frame, found[column], timestamp)

        denied = {followed[row].id for row in missed if (overlap[row, unmatched] > 0).any()}
        missing = [followed[row] for row in missed] + [track for track in self._tracks if track.confirmed_lost]
        fresh = [found[column] for column in unmatched]
        pairs, missed, unmatched = assign(self._return_affinity(missing, fresh, timestamp))
        for row, column in pairs:
            self._continue(missing[row], frame, fresh[column], timestamp)
        for row in missed:
            track = missing[row]
            if snapshot is None or track.id in snapshot.boxes:
                track.denied |= track.id in denied
                track.confirmed_lost = True
                track.lost_since = timestamp if track.lost_since is None else track.lost_since
        fresh = [fresh[column] for column in unmatched]
        waits = [track for track in missing if track.confirmed_lost and track.scene == self._scene] if fresh else []
        places, moved = self._place_affinity(waits, fresh, timestamp)
        halves = ~moved & (_similarities(waits, fresh, places > 0, timestamp) >= HALF_HIDDEN)
        returning = (places > 0) & (halves | _overlapped(fresh, found))
        born = self._births.choose(
            [each.box for each in fresh],
            [each.score for each in fresh],
            timestamp,
            [bool(column.any()) for column in returning.T],
        )
        self._tracks += [self._spawn(frame, each, timestamp) for each, starts in zip(fresh, born, strict=True) if starts]
        self._duplicates = self._find_duplicates()
        self._in_new_scene, self._wants_detection = False, self._births.wants_look

    def _update(self, track: Track, update: TrackerUpdate, timestamp: float) -> None:
        was_confident, was_lost = self._is_confident(track.confidence), track.lost_since is not None
        track.box, track.confidence = update.box, update.confidence
        track.origin = "tracked"
        is_confident = self._is_confident(update.confidence)
        if is_confident:
            track.confident_box, track.lost_since = update.box, None
        elif update.confidence <= 0 and not was_lost:
            track.lost_since = timestamp
        is_lost = track.lost_since is not None
        self._wants_detection |= (was_confident and not is_confident) or (is_lost and not was_lost)

    def _is_confident(self, confidence: float) -> bool:
        return confidence > 0 and confidence >= self._weak

    def _prune(self, timestamp: float) -> None:
        """Remove the tracks that have been lost too long; a jump of the clock either way counts as time."""
        self._tracks = [
            track for track in self._tracks if track.lost_since is None or abs(timestamp - track.lost_since) <= self._max_lost_s
        ]

    def _find_duplicates(self) -> set[tuple[int, int]]:
        """The ids of tracks that overlap heavily, in pairs."""
        visible = [track for track in self._tracks if track.lost_since is None]
        if len(visible) < 2:
            return set()
        boxes = [track.box for track in visible]
        overlap = np.triu(iou_matrix(boxes, boxes), k=1)
        return {(visible[i].id, visible[j].id) for i, j in np.argwhere(overlap > _DUPLICATE_IOU)}

    def _usable(self, frame: NDArray[np.uint8], detections: Detections) -> list[Detection]:
        usable = []
        for index, (x, y, w, h) in enumerate(detections.boxes.tolist()):
            if all(abs(value) <= MAX_COORDINATE for value in (x, y, w, h)) and w > 0 and h > 0:
                box = (x, y, w, h)
                landmarks = None if detections.landmarks is None else detections.landmarks[index].copy()
                if landmarks is not None and not np.isfinite(landmarks).all():
                    landmarks = None
                geometry = CropGeometry.of(box, face_region(box, landmarks, self._align))
                score = float(detections.scores[index])
                usable.append(Detection(box, score, landmarks, geometry, appearance(frame, box)))
        return usable

    def _compare(
        self, tracks: list[Track], found: list[Detection], timestamp: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """IoU from ``min_iou`` on, else 0; and the similarity where it is not 0."""
        overlap = iou_matrix([track.box for track in tracks], [detection.box for detection in found])
        overlap *= overlap >= self._min_iou
        return overlap, _similarities(tracks, found, overlap > 0, timestamp)

    def _return_affinity(self, tracks: list[Track], found: list[Detection], timestamp: float) -> NDArray[np.float64]:
        """Similarity and IoU of what is where a track's face may be and looks as it must, else 0."""
        affinity, moved = self._place_affinity(tracks, found, timestamp)
        affinity *= np.array([self._births.is_likely(detection.score) for detection in found], bool)
        alike = _similarities(tracks, found, affinity > 0, timestamp)
        least = np.maximum(self._least_similarities(tracks, timestamp), np.where(moved, ALIKE, 0.0))
        return np.where((affinity > 0) & (alike >= least), affinity + alike, 0.0)

    def _place_affinity(
        self, tracks: list[Track], found: list[Detection], timestamp: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """1 and the IoU of what is near a track's last confident or last detected box, or on the way of its face out of sight,
        else 0; and whether it is only on that way."""
        found_boxes, affinity = [detection.box for detection in found], np.zeros((len(tracks), len(found)))
        moved = np.zeros(affinity.shape, bool)
        if not affinity.size:
            return affinity, moved
        for boxes in ([track.confident_box for track in tracks], [track.detection.box for track in tracks]):
            affinity = np.maximum(affinity, self._nearness(boxes, found_boxes))
        for column, box in enumerate(found_boxes):
            rows = [row for row, track in enumerate(tracks) if track.scene == self._scene and not affinity[row, column]]
            if rows:
                on_the_way = [tracks[row].motion.nearest(box, timestamp) for row in rows]
                affinity[rows, column] = self._nearness(on_the_way, [box])[:, 0]
                moved[rows, column] = affinity[rows, column] > 0
        return affinity, moved

    def _nearness(self, boxes: list[Box], found: list[Box]) -> NDArray[np.float64]:
        overlap = iou_matrix(boxes, found)
        return np.where((overlap >= self._min_iou) | near_matrix(boxes, found), 1.0 + overlap, 0.0)

    def _least_similarities(self, tracks: list[Track], timestamp: float) -> NDArray[np.float64]:
        """How much each track's face must look like itself to go on, (n, 1)."""
        values = []
        for track in tracks:
            lost_s = 0.0 if track.lost_since is None else abs(timestamp - track.lost_since)
            seen_s = abs(timestamp - track.detected_at)
            same_scene = track.scene == self._scene
            within = least_similarity(lost_s, seen_s, track.confidence, track.denied)
            if track.place.was_replaced:
                within = max(within, ALIKE)
            values.append(within if same_scene else self._least_alike)
        return np.array(values).reshape(-1, 1)

    def _continue(self, track: Track, frame: NDArray[np.uint8], detection: Detection, timestamp: float) -> None:
        track.looks.add(detection.template, self._births.is_sure(detection.score), timestamp)
        track.reinitialise(frame, detection, self._scene, timestamp)

    def _spawn(self, frame: NDArray[np.uint8], detection: Detection, timestamp: float) -> Track:
        tracker = self._make_tracker()
        tracker.init(frame, detection.box)
        looks = Looks()
        looks.add(detection.template, self._births.is_sure(detection.score), timestamp)
        self._next_id += 1
        place = Place(detection.box, self._settled_at)
        motion = Motion(detection.box, timestamp)
        return Track(
            self._next_id - 1, tracker, detection, detection.box, detection.box, self._scene, looks, place, motion, timestamp
        )  # fmt: skip


def _overlapped(fresh: list[Detection], found: list[Detection]) -> NDArray[np.bool_]:
    """Whether another face of the same frame overlaps each, bool (n,): what passes before a face changes how that looks."""
    overlap = iou_matrix([each.box for each in fresh], [each.box for each in found if each not in fresh])
    return np.asarray((overlap > 0).any(1), np.bool_)


def _similarities(
    tracks: list[Track], found: list[Detection], where: NDArray[np.bool_], timestamp: float
) -> NDArray[np.float64]:
    """The similarity of each track and detection for which ``where`` (n, m) is true, else 0."""
    values = np.zeros(where.shape)
    for row, column in np.argwhere(where).tolist():
        values[row, column] = tracks[row].looks.similarity(found[column].template, timestamp)
    return values
