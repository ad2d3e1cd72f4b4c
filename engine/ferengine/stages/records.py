"""The binary messages on the way of frames and faces: fixed NumPy records.

Times are CLOCK_MONOTONIC nanoseconds, boxes x, y, w, h in pixels. A camera is its number in this run; ``epoch``
counts the lives of the track worker that sent a message, so that answers meant for a dead one are not mistaken.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FACE_KEY
from ferengine.classification.quality import MEASURES
from ferengine.detection.base import Detections
from ferengine.errors import WorkerError
from ferengine.ipc.channel import MAX_MESSAGE_BYTES
from ferengine.results import Box, FrameResult

if TYPE_CHECKING:
    from ferengine.tracking.track import TrackedFace

TRACK_READER, VIDEO_READER, WINDOW_READER, FIRST_LOAN_READER = 0, 1, 2, 3
"""Bits in a frame ring's hold masks: the track worker's, the two render workers', and the first of those that stand for
consumers in the engine's own process that have images on loan."""

MAX_FACES = 128
"""Faces of one frame that are tracked and classified, by ascending id."""

CLASSIFIED, FACE_RING_FULL = 0, 1
"""The status of a record: whether its faces were handed to the classifier."""

_RECORD, _END, _SCORES = 1, 2, 3
"""First number of each message to the engine."""

_REQUEST = np.dtype([("camera", "u4"), ("epoch", "u4"), ("generation", "u4"), ("slot", "u4"), ("sequence", "u8"),
                     ("tracker", "u4"), ("count", "u4")])  # fmt: skip
_DETECTION = np.dtype([("box", "f4", 4), ("score", "f4"), ("landmarks", "f4", (5, 2))])
_HEADER = np.dtype([("kind", "u4"), ("camera", "u4"), ("epoch", "u4"), ("count", "u4"), ("sequence", "u8"),
                    ("timestamp", "f8"), ("captured_ns", "i8"), ("tracked_ns", "i8"), ("status", "u4"),
                    ("generation", "u4"), ("slot", "u4"), ("scene_cut", "u4"),
                    ("zones", "u4"), ("ignored", "u4"), ("hidden", "u4"), ("beyond", "u4"), ("searched", "i8")])  # fmt: skip
_FACE = np.dtype([("id", "u4"), ("box", "f4", 4), ("score", "f4"), ("confidence", "f4"), ("detected", "u1"),
                  ("has_landmarks", "u1"), ("landmarks", "f4", (5, 2)), ("zones", "u4")])  # fmt: skip
_NO_LANDMARKS = np.zeros((5, 2), np.float32)
_SCORES_HEADER = np.dtype([("kind", "u4"), ("count", "u4"), ("classes", "u4"), ("capacity", "u4"), ("inferred_ns", "i8")])
_FLAG = 1 << 31
"""Beside a count: whether there are boxes to search near, or landmarks."""


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """Track worker ``tracker`` asks for the faces of the frame in ``slot`` of that camera's ring ``generation``: all of
    them, or those ``near`` some boxes."""

    camera: int
    epoch: int
    generation: int
    slot: int
    sequence: int
    tracker: int
    near: tuple[Box, ...] | None = None

    def encode(self) -> bytes:
        count = 0 if self.near is None else len(self.near) | _FLAG
        return self.header(count) + np.array(self.near or (), np.float32).tobytes()

    @staticmethod
    def decode(message: bytes) -> DetectionRequest:
        row = np.frombuffer(message, _REQUEST, 1)[0].item()
        count = row[6]
        boxes = np.frombuffer(message, np.float32, 4 * (count & ~_FLAG), _REQUEST.itemsize).reshape(-1, 4)
        near: tuple[Box, ...] | None = tuple((x, y, w, h) for x, y, w, h in boxes.tolist()) if count & _FLAG else None
        camera, epoch, generation, slot, sequence, tracker, _ = row
        return DetectionRequest(camera, epoch, generation, slot, sequence, tracker, near)

    def header(self, count: int) -> bytes:
        """The fixed part, of the request and of its answer."""
        row = (self.camera, self.epoch, self.generation, self.slot, self.sequence, self.tracker, count)
        return np.array([row], _REQUEST).tobytes()


@dataclass(frozen=True, slots=True)
class DetectionAnswer:
    """The faces of one frame; ``request`` comes back without its boxes."""

    request: DetectionRequest
    detections: Detections

    def encode(self) -> bytes:
        found = self.detections
        faces = np.zeros(len(found), _DETECTION)
        faces["box"], faces["score"] = found.boxes, found.scores
        if found.landmarks is not None:
            faces["landmarks"] = found.landmarks
        return self.request.header(len(found) | (0 if found.landmarks is None else _FLAG)) + faces.tobytes()

    @staticmethod
    def decode(message: bytes) -> DetectionAnswer:
        row = np.frombuffer(message, _REQUEST, 1)[0].item()
        count = row[6]
        faces = np.frombuffer(message, _DETECTION, count & ~_FLAG, _REQUEST.itemsize)
        landmarks = faces["landmarks"].copy() if count & _FLAG else None
        detections = Detections(faces["box"].copy(), faces["score"].copy(), landmarks)
        return DetectionAnswer(DetectionRequest(*row[:6]), detections)


@dataclass(frozen=True, slots=True)
class Record:
    """One frame as its track worker left it.

    Attributes:
        camera, epoch, sequence: Which frame, and which life of the track worker.
        timestamp: The frame's, in seconds.
        captured_ns, tracked_ns: When it was captured, and when its faces were detected or tracked.
        status: CLASSIFIED or FACE_RING_FULL.
        generation, slot: Where the image lies in the camera's frame rings.
        scene_cut: Whether it shows another scene than the frame before.
        faces: In the order of their numbers in the face ring, then those that are hidden; see ``face_rows``.
        zones: The version of the camera's zones.
        ignored: How often a face was ignored because of them since the last record.
        hidden: How many of ``faces``, the last ones, are in ignored places: they are not in the face ring.
        beyond: How many further faces the frame has, beyond ``MAX_FACES``, which do not go out.
        searched: The newest frame that was searched in full until then, -1 before the first.
    """

    camera: int
    epoch: int
    sequence: int
    timestamp: float
    captured_ns: int
    tracked_ns: int
    status: int
    generation: int
    slot: int
    scene_cut: bool
    faces: NDArray[np.void]
    zones: int = 0
    ignored: int = 0
    hidden: int = 0
    beyond: int = 0
    searched: int = -1

    @property
    def delivered(self) -> int:
        """How many of ``faces`` go out."""
        return len(self.faces) - self.hidden

    def encode(self) -> bytes:
        header = (_RECORD, self.camera, self.epoch, len(self.faces), self.sequence, self.timestamp, self.captured_ns,
                  self.tracked_ns, self.status, self.generation, self.slot, self.scene_cut,
                  self.zones, self.ignored, self.hidden, self.beyond, self.searched)  # fmt: skip
        return np.array([header], _HEADER).tobytes() + self.faces.tobytes()


def face_rows(faces: Sequence[TrackedFace], zones: Sequence[int] | None = None) -> NDArray[np.void]:
    """The faces of a record: structured rows (n,) of id, box, score, confidence, origin, landmarks and zones.

    Args:
        faces: The faces.
        zones: For each the bits of the zones that it is in (``Zones.place``); ``None`` where there are no zones.
    """
    rows = zip(faces, zones or [0] * len(faces), strict=True)
    return np.array([_face_row(face, mask) for face, mask in rows], _FACE)  # field by field takes four times as long


def _face_row(face: TrackedFace, zones: int) -> tuple[object, ...]:
    landmarks = _NO_LANDMARKS if face.landmarks is None else face.landmarks
    detected, has_landmarks = face.origin == "detected", face.landmarks is not None
    return face.id, face.box, face.score, face.confidence, detected, has_landmarks, landmarks, zones


@dataclass(frozen=True, slots=True)
class CameraEnd:
    """The camera's last frame has been recorded."""

    camera: int
    epoch: int

    def encode(self) -> bytes:
        header = np.zeros(1, _HEADER)
        header["kind"], header["camera"], header["epoch"] = _END, self.camera, self.epoch
        return header.tobytes()


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """The scores of one batch.

    Attributes:
        keys: Which faces, FACE_KEY (n,).
        scores: Of all networks side by side, float32 (n, classes).
        measures: Of the crops, by ``measure_crops``, float32 (n, MEASURES).
        capacity: How many faces the batch could have held.
        inferred_ns: When the scores came out.
    """

    keys: NDArray[np.void]
    scores: NDArray[np.float32]
    measures: NDArray[np.float32]
    capacity: int
    inferred_ns: int

    @staticmethod
    def largest(numbers: int) -> int:
        """How many faces of ``numbers`` scores each fit into one message."""
        each = FACE_KEY.itemsize + 4 * (numbers + MEASURES)
        return (MAX_MESSAGE_BYTES - _SCORES_HEADER.itemsize) // each

    def encode(self) -> bytes:
        count, classes = self.scores.shape
        header = np.array([(_SCORES, count, classes, self.capacity, self.inferred_ns)], _SCORES_HEADER)
        return header.tobytes() + self.keys.tobytes() + self.scores.tobytes() + self.measures.tobytes()


Event: TypeAlias = Record | CameraEnd | ScoreBatch
"""What track and classify workers send to the engine."""


def decode_event(message: bytes) -> Event:
    """The record, end or scores of ``message``. Raises WorkerError for another kind, and for one that is cut off."""
    kind = int.from_bytes(message[:4], "little")
    try:
        if kind == _RECORD:
            header = np.frombuffer(message, _HEADER, 1)[0].item()
            _, camera, epoch, count, sequence, timestamp, captured, tracked, status, generation, slot, cut, *rest = header
            _, _, hidden, *_ = rest
            if hidden > count:
                raise ValueError(f"{hidden} of {count} faces are hidden")
            faces = np.frombuffer(message, _FACE, count, _HEADER.itemsize)
            return Record(
                camera, epoch, sequence, timestamp, captured, tracked, status, generation, slot, bool(cut), faces, *rest
            )
        if kind == _SCORES:
            _, count, classes, capacity, inferred_ns = np.frombuffer(message, _SCORES_HEADER, 1)[0].item()
            keys = np.frombuffer(message, FACE_KEY, count, _SCORES_HEADER.itemsize)
            scores = np.frombuffer(message, np.float32, count * classes, _SCORES_HEADER.itemsize + keys.nbytes)
            begin = _SCORES_HEADER.itemsize + keys.nbytes + scores.nbytes
            measures = np.frombuffer(message, np.float32, count * MEASURES, begin).reshape(count, MEASURES)
            return ScoreBatch(keys, scores.reshape(count, classes), measures, capacity, inferred_ns)
        if kind == _END:
            _, camera, epoch, *_ = np.frombuffer(message, _HEADER, 1)[0].item()
            return CameraEnd(camera, epoch)
    except ValueError as error:
        raise WorkerError(f"malformed event of kind {kind} ({len(message)} bytes): {error}") from None
    raise WorkerError(f"unknown event of kind {kind} ({len(message)} bytes)")


@dataclass(frozen=True, slots=True)
class RenderItem:
    """One result for a render worker and where its image lies; ``result`` is ``None`` after the camera's last."""

    camera: int
    generation: int
    slot: int
    result: FrameResult | None

    def encode(self) -> bytes:
        """A pickle, between two processes of one program and off the hot path."""
        return pickle.dumps((self.camera, self.generation, self.slot, self.result), protocol=5)

    @staticmethod
    def decode(message: bytes) -> RenderItem:
        return RenderItem(*pickle.loads(message))
