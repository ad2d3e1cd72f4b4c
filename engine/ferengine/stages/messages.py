"""The binary messages between workers and engine: fixed NumPy records on the way of frames and faces.

Times are CLOCK_MONOTONIC nanoseconds, boxes x, y, w, h in pixels. A camera is its number in this run; ``epoch``
counts the lives of the track worker that sent a message, so that answers meant for a dead one are not mistaken.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FACE_KEY
from ferengine.detection.base import Detections
from ferengine.results import Box, FrameResult

if TYPE_CHECKING:
    from ferengine.tracking.face_tracker import TrackedFace

TRACK_READER, VIDEO_READER, WINDOW_READER, FIRST_LENT_READER = 0, 1, 2, 3
"""Bits in a frame ring's hold masks: the track worker's, the output worker's, and the first of those that stand for
consumers in the engine's own process that have images lent to them."""

RECORD, END, SCORES = 1, 2, 3
"""First byte of each message to the engine: a frame's record, a camera's end, a batch's scores."""

CLASSIFIED, FACE_RING_FULL = 0, 1
"""Whether the faces of a record were handed to the classifier."""

_REQUEST = np.dtype([("camera", "u4"), ("epoch", "u4"), ("generation", "u4"), ("slot", "u4"), ("sequence", "u8"),
                     ("tracker", "u4"), ("count", "u4")])  # fmt: skip
_DETECTION = np.dtype([("box", "f4", 4), ("score", "f4"), ("landmarks", "f4", (5, 2))])
_HEADER = np.dtype([("kind", "u4"), ("camera", "u4"), ("epoch", "u4"), ("count", "u4"), ("sequence", "u8"),
                    ("timestamp", "f8"), ("captured_ns", "i8"), ("tracked_ns", "i8"), ("skipped", "u4"),
                    ("handover", "u4"), ("generation", "u4"), ("slot", "u4")])  # fmt: skip
_FACE = np.dtype([("id", "u4"), ("box", "f4", 4), ("score", "f4"), ("confidence", "f4"), ("detected", "u1"),
                  ("has_landmarks", "u1"), ("landmarks", "f4", (5, 2))])  # fmt: skip
_NO_LANDMARKS = np.zeros((5, 2), np.float32)
_SCORES = np.dtype([("kind", "u4"), ("count", "u4"), ("classes", "u4"), ("capacity", "u4"), ("inferred_ns", "i8")])


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
        count = 0 if self.near is None else len(self.near) + (1 << 31)
        row = (self.camera, self.epoch, self.generation, self.slot, self.sequence, self.tracker, count)
        return np.array([row], _REQUEST).tobytes() + np.array(self.near or (), np.float32).tobytes()

    @staticmethod
    def decode(message: bytes) -> DetectionRequest:
        row = np.frombuffer(message, _REQUEST, 1)[0].item()
        count = row[6]
        boxes = np.frombuffer(message, np.float32, 4 * (count & 0x7FFFFFFF), _REQUEST.itemsize).reshape(-1, 4)
        near: tuple[Box, ...] | None = tuple((x, y, w, h) for x, y, w, h in boxes.tolist()) if count >> 31 else None
        camera, epoch, generation, slot, sequence, tracker, _ = row
        return DetectionRequest(camera, epoch, generation, slot, sequence, tracker, near)


def encode_detections(request: DetectionRequest, detections: Detections) -> bytes:
    """The answer to ``request``."""
    row = (request.camera, request.epoch, request.generation, request.slot, request.sequence, request.tracker,
           len(detections) + (0 if detections.landmarks is None else 1 << 31))  # fmt: skip
    faces = np.zeros(len(detections), _DETECTION)
    faces["box"], faces["score"] = detections.boxes, detections.scores
    if detections.landmarks is not None:
        faces["landmarks"] = detections.landmarks
    return np.array([row], _REQUEST).tobytes() + faces.tobytes()


def decode_detections(message: bytes) -> tuple[DetectionRequest, Detections]:
    row = np.frombuffer(message, _REQUEST, 1)[0].item()
    count = row[6]
    faces = np.frombuffer(message, _DETECTION, count & 0x7FFFFFFF, _REQUEST.itemsize)
    landmarks = faces["landmarks"].copy() if count >> 31 else None
    return DetectionRequest(*row[:6]), Detections(faces["box"].copy(), faces["score"].copy(), landmarks)


@dataclass(frozen=True, slots=True)
class Record:
    """One frame as its track worker left it; ``faces`` in the order of their numbers in the face ring.

    ``skipped`` frames were passed over since the last record; ``handover`` is CLASSIFIED or FACE_RING_FULL.
    ``generation`` and ``slot`` say where the image lies in the camera's frame ring.
    """

    camera: int
    epoch: int
    sequence: int
    timestamp: float
    captured_ns: int
    tracked_ns: int
    skipped: int
    handover: int
    generation: int
    slot: int
    faces: NDArray[np.void]


def encode_record(
    camera: int,
    epoch: int,
    sequence: int,
    timestamp: float,
    captured_ns: int,
    tracked_ns: int,
    skipped: int,
    handover: int,
    generation: int,
    slot: int,
    faces: Sequence[TrackedFace],
) -> bytes:
    rows = np.array([_face_row(face) for face in faces], _FACE)  # in one go: setting field by field takes four times as long
    header = (RECORD, camera, epoch, len(faces), sequence, timestamp, captured_ns, tracked_ns, skipped, handover,
              generation, slot)  # fmt: skip
    return np.array([header], _HEADER).tobytes() + rows.tobytes()


def _face_row(face: TrackedFace) -> tuple[object, ...]:
    landmarks = _NO_LANDMARKS if face.landmarks is None else face.landmarks
    detected, has_landmarks = face.origin == "detected", face.landmarks is not None
    return face.id, face.box, face.score, face.confidence, detected, has_landmarks, landmarks


def encode_end(camera: int, epoch: int) -> bytes:
    """The camera's last frame has been recorded."""
    return np.array([(END, camera, epoch, 0, 0, 0.0, 0, 0, 0, 0, 0, 0)], _HEADER).tobytes()


def kind_of(message: bytes) -> int:
    return int.from_bytes(message[:4], "little")


def decode_record(message: bytes) -> Record:
    """A RECORD or END message."""
    header = np.frombuffer(message, _HEADER, 1)[0].item()
    _, camera, epoch, count, sequence, timestamp, captured, tracked, skipped, handover, generation, slot = header
    faces = np.frombuffer(message, _FACE, count, _HEADER.itemsize)
    return Record(camera, epoch, sequence, timestamp, captured, tracked, skipped, handover, generation, slot, faces)


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """The scores of one batch: ``keys`` FACE_KEY (n,), ``scores`` float32 (n, classes), ``capacity`` the batch's."""

    keys: NDArray[np.void]
    scores: NDArray[np.float32]
    capacity: int
    inferred_ns: int


def encode_scores(batch: ScoreBatch) -> bytes:
    count, classes = batch.scores.shape
    header = np.array([(SCORES, count, classes, batch.capacity, batch.inferred_ns)], _SCORES)
    return header.tobytes() + batch.keys.tobytes() + np.ascontiguousarray(batch.scores, np.float32).tobytes()


def decode_scores(message: bytes) -> ScoreBatch:
    _, count, classes, capacity, inferred_ns = np.frombuffer(message, _SCORES, 1)[0].item()
    keys = np.frombuffer(message, FACE_KEY, count, _SCORES.itemsize)
    scores = np.frombuffer(message, np.float32, count * classes, _SCORES.itemsize + keys.nbytes)
    return ScoreBatch(keys, scores.reshape(count, classes), capacity, inferred_ns)


def encode_result(camera: int, generation: int, slot: int, result: FrameResult | None) -> bytes:
    """One result for the output worker, ``None`` after the camera's last: a pickle between two processes of one
    program, off the hot path."""
    return pickle.dumps((camera, generation, slot, result), protocol=5)


def decode_result(message: bytes) -> tuple[int, int, int, FrameResult | None]:
    camera, generation, slot, result = pickle.loads(message)
    return camera, generation, slot, result
