"""The track worker: owns the identity of faces and cuts them from the frame ring into its face ring."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FaceRing, FrameRing, WorkerPage
from ferengine.detection.base import Detections
from ferengine.ipc.channel import receive_data, send_data
from ferengine.ipc.rings import CameraRings
from ferengine.results import Box
from ferengine.stages.messages import (
    CLASSIFIED,
    FACE_RING_FULL,
    TRACK_READER,
    DetectionRequest,
    decode_detections,
    encode_end,
    encode_record,
)
from ferengine.tracking import tracker_maker
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.face_tracker import FaceTracker, Snapshot, TrackedFace
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.stages.worker import Worker

UNDELIVERED = 64
"""Files: frames of one camera that may be on their way to its consumers before its tracker waits."""

_MAX_FACES = 128
"""Faces of one frame that are tracked and classified, by ascending id."""


@dataclass(slots=True)
class _Asked:
    """A detection on its way: the frame stays held, ``snapshot`` is where the tracks were in it."""

    request: DetectionRequest
    snapshot: Snapshot | None = None
    answer: Detections | None = None


@dataclass(slots=True)
class _Output:
    """A finished frame whose faces and record are not yet handed over."""

    generation: int
    slot: int
    sequence: int
    faces: list[TrackedFace]
    tracked_ns: int
    handover: int | None = None


@dataclass
class Camera:
    """What the worker knows of one camera."""

    number: int
    live: bool
    epoch: int
    tracker: FaceTracker
    search: DetectionSchedule
    rings: CameraRings = field(default_factory=CameraRings)
    asked: dict[int, _Asked] = field(default_factory=dict)
    output: _Output | None = None
    last: int = -1
    last_asked: int | None = None
    skipped: int = 0
    done: int = 0
    advanced: int = -1
    ended: bool = False
    shape: tuple[int, ...] | None = None


class TrackStage:
    """Frame rings -> tracks -> face ring and records, in order per camera.

    Files: every frame; on frame 0, n, 2n, ... and where a track turned weak it waits for the detection of that very
    frame (asked for as soon as the frame is in the ring). Live: the newest frame; a detection that has not come
    when the next frame is there is late, the tracked boxes go out and are corrected afterwards.
    """

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        cv2.setNumThreads(1)
        self._worker = worker
        self._index = int(settings["index"])
        self._every = int(settings["detect_every"])
        self._near = settings["search"] == "near"
        self._full_scan = float(settings["full_scan"])
        self._deadline_ns = round(settings["deadline"] * 1e9)
        self._requests = socket.socket(fileno=os.dup(descriptors["requests"]))
        self._answers = socket.socket(fileno=os.dup(descriptors["answers"]))
        self._events = socket.socket(fileno=os.dup(descriptors["events"]))
        self._faces = FaceRing.attach(os.dup(descriptors["faces"]))
        self._classify_page = WorkerPage.attach(os.dup(descriptors["classify_page"]))
        count = int(settings["detectors"])
        self._detect_pages = [WorkerPage.attach(os.dup(descriptors[f"detect_page{d}"])) for d in range(count)]
        self._make_tracker = tracker_maker(settings["tracker"])
        self._align = bool(settings["align"])
        self._cameras = {int(item["number"]): self._camera(item) for item in settings["cameras"]}

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring" and message["camera"] in self._cameras:
            camera = self._cameras[message["camera"]]
            camera.live = bool(message["live"])  # known for sure only now that the source is open
            camera.rings.add(message, descriptors)
        elif message["op"] == "camera":
            self._cameras.setdefault(int(message["number"]), self._camera(message))
        elif message["op"] == "forget_ring" and message["camera"] in self._cameras:
            self._cameras[message["camera"]].rings.forget(message["generation"])
        elif message["op"] == "forget_camera":
            self._cameras.pop(message["camera"], None)
        elif message["op"] == "redetect":  # a detector died, perhaps with one of our requests in hand
            for camera in self._cameras.values():
                for asked in camera.asked.values():
                    if asked.answer is None:
                        self._send_request(asked.request)

    def _camera(self, item: Mapping[str, Any]) -> Camera:
        tracker = self._face_tracker(int(item["first_id"]))
        return Camera(
            int(item["number"]), bool(item["live"]), int(item["epoch"]), tracker, self._search_policy(), done=int(item["done"])
        )

    def _search_policy(self) -> DetectionSchedule:
        return DetectionSchedule(self._near, self._full_scan)

    def _face_tracker(self, first_id: int) -> FaceTracker:
        return FaceTracker(self._make_tracker, align=self._align, first_id=first_id)

    def step(self) -> bool:
        busy = self._take_answers()
        for camera in list(self._cameras.values()):  # one may be removed meanwhile
            if camera.output is not None:
                busy |= self._hand_over(camera)
            elif camera.rings and not camera.ended:
                busy |= self._step_live(camera) if camera.live else self._step_file(camera)
        return busy

    def close(self) -> None:
        """Nothing to finish."""

    # --- detections

    def _ask(self, camera: Camera, generation: int, slot: int, sequence: int, near: tuple[Box, ...] | None = None) -> bool:
        request = DetectionRequest(camera.number, camera.epoch, generation, slot, sequence, self._index, near)
        if not self._send_request(request):
            return False
        camera.asked[sequence] = _Asked(request)
        camera.last_asked = sequence
        return True

    def _send_request(self, request: DetectionRequest) -> bool:
        if not send_data(self._requests, request.encode()):
            return False
        for page in self._detect_pages:
            page.notify()
        return True

    def _take_answers(self) -> bool:
        taken = False
        while (data := receive_data(self._answers)) is not None:
            request, detections = decode_detections(data)
            camera = self._cameras.get(request.camera)
            asked = camera.asked.get(request.sequence) if camera is not None else None
            if camera is not None and asked is not None and request.epoch == camera.epoch:
                asked.answer, taken = detections, True
        return taken

    # --- files: every frame, in order

    def _step_file(self, camera: Camera) -> bool:
        generation, ring = camera.rings.oldest()
        held = [(sequence, slot) for sequence, slot in ring.held(TRACK_READER) if sequence > camera.last]
        if not held:
            return self._pass_on(camera, generation, ring)
        for sequence, slot in held:  # the next detection frames are searched while this one is tracked
            scheduled = sequence % self._every == 0 and sequence not in camera.asked
            if scheduled and camera.search.is_full(sequence, ring.header(slot).timestamp):
                self._ask(camera, generation, slot, sequence)
        if camera.done - ring.emitted >= UNDELIVERED:
            return False
        sequence, slot = held[0]
        frame, timestamp = ring.frame(slot), ring.header(slot).timestamp
        self._note_size(camera, frame)
        if sequence not in camera.asked and sequence % self._every and camera.advanced != sequence:
            camera.tracker.advance(frame, timestamp)
            camera.advanced = sequence
            if camera.tracker.wants_detection:
                self._ask(camera, generation, slot, sequence, camera.search.boxes_when_uncertain(camera.tracker))
        asked = camera.asked.get(sequence)
        if asked is not None:
            if asked.answer is None:
                return False
            camera.tracker.correct(frame, asked.answer, timestamp)
            del camera.asked[sequence]
        elif sequence % self._every == 0:
            near = None if camera.search.is_full(sequence, timestamp) else camera.search.boxes(camera.tracker)
            return self._ask(camera, generation, slot, sequence, near)  # near the tracks; or the queue was full
        elif camera.tracker.wants_detection:
            near = camera.search.boxes_when_uncertain(camera.tracker)
            return self._ask(camera, generation, slot, sequence, near)  # the queue was full: once more
        self._finish(camera, generation, slot, sequence)
        return True

    # --- live: the newest frame

    def _step_live(self, camera: Camera) -> bool:
        answered = [a for number, a in camera.asked.items() if number <= camera.last and a.answer is not None]
        for asked in answered:
            self._apply_late(camera, asked)
        generation, ring = camera.rings.oldest()
        held = [(sequence, slot) for sequence, slot in ring.held(TRACK_READER) if sequence > camera.last]
        current = next((asked for sequence, asked in camera.asked.items() if sequence > camera.last), None)
        if current is not None:
            return self._step_live_detection(camera, ring, current, held)
        if not held:
            return self._pass_on(camera, generation, ring)
        for _, older_slot in held[:-1]:
            ring.release(older_slot, TRACK_READER)
            camera.skipped += 1
        sequence, slot = held[-1]
        frame, timestamp = ring.frame(slot), ring.header(slot).timestamp
        if not camera.asked and self._detection_due(camera, sequence):
            boxes = camera.search.boxes_when_uncertain if camera.tracker.wants_detection else camera.search.boxes
            near = None if camera.search.is_full(sequence, timestamp) else boxes(camera.tracker)
            if self._ask(camera, generation, slot, sequence, near):
                return True
        self._note_size(camera, frame)
        camera.tracker.advance(frame, timestamp)
        self._finish(camera, generation, slot, sequence)
        return True

    def _step_live_detection(self, camera: Camera, ring: FrameRing, current: _Asked, held: list[tuple[int, int]]) -> bool:
        """The frame under detection goes out corrected, or as tracked once a newer frame is there."""
        request = current.request
        frame, timestamp = ring.frame(request.slot), ring.header(request.slot).timestamp
        self._note_size(camera, frame)
        if current.answer is not None:
            camera.tracker.correct(frame, current.answer, timestamp)
            del camera.asked[request.sequence]
        elif held[-1][0] > request.sequence or ring.closed:
            camera.tracker.advance(frame, timestamp)
            current.snapshot = camera.tracker.snapshot()
        else:
            return False
        self._finish(camera, request.generation, request.slot, request.sequence)
        return True

    def _detection_due(self, camera: Camera, sequence: int) -> bool:
        return camera.last_asked is None or sequence - camera.last_asked >= self._every or camera.tracker.wants_detection

    def _apply_late(self, camera: Camera, asked: _Asked) -> None:
        request = asked.request
        ring = camera.rings[request.generation]
        assert asked.answer is not None
        frame, timestamp = ring.frame(request.slot), ring.header(request.slot).timestamp
        if frame.shape == camera.shape:
            camera.tracker.correct(frame, asked.answer, timestamp, asked.snapshot)
        del camera.asked[request.sequence]
        ring.release(request.slot, TRACK_READER)

    # --- both

    def _note_size(self, camera: Camera, frame: NDArray[np.uint8]) -> None:
        """Places in frames of another size mean nothing: when it changes all tracks end, and ids go on."""
        if camera.shape not in (None, frame.shape):
            camera.tracker = self._face_tracker(camera.tracker.next_id)
        camera.shape = frame.shape

    def _pass_on(self, camera: Camera, generation: int, ring: FrameRing) -> bool:
        """The ring is empty: go to its next generation, or end the camera, once the writer has closed it."""
        if not ring.closed or camera.asked or any(s > camera.last for s, _ in ring.held(TRACK_READER)):
            return False
        if not camera.rings.has_newer(generation):
            self._worker.poll_control()  # a newer generation is announced before the old one is closed
        if camera.rings.has_newer(generation):
            camera.rings.forget(generation)
            return True
        camera.ended = send_data(self._events, encode_end(camera.number, camera.epoch))
        return True

    def _finish(self, camera: Camera, generation: int, slot: int, sequence: int) -> None:
        faces = sorted(camera.tracker.faces, key=lambda face: face.id)[:_MAX_FACES]
        camera.output = _Output(generation, slot, sequence, faces, time.monotonic_ns())
        camera.last = sequence
        camera.search.forget(sequence)
        self._hand_over(camera)

    def _hand_over(self, camera: Camera) -> bool:
        """Faces to the face ring, then the record to the engine, then the slot back; False while a queue is full."""
        output = camera.output
        assert output is not None
        ring = camera.rings[output.generation]
        header = ring.header(output.slot)
        if output.handover is None:
            squares = np.array([face.region for face in output.faces], np.float32).reshape(-1, 4)
            deadline = header.captured_ns + self._deadline_ns if camera.live else 0
            pushed = not output.faces or self._faces.push(
                ring.frame(output.slot), squares, camera.number, camera.epoch, output.sequence,
                header.captured_ns, output.tracked_ns, deadline,
            )  # fmt: skip
            if not pushed and not camera.live:
                return False
            output.handover = CLASSIFIED if pushed else FACE_RING_FULL
            if output.faces:
                self._classify_page.notify()
        record = encode_record(
            camera.number, camera.epoch, output.sequence, header.timestamp, header.captured_ns, output.tracked_ns,
            camera.skipped, output.handover, output.generation, output.slot, output.faces,
        )  # fmt: skip
        if not send_data(self._events, record):
            return False
        if output.sequence not in camera.asked:
            ring.release(output.slot, TRACK_READER)
        camera.skipped, camera.output = 0, None
        camera.done += 1
        return True
