"""The track stage: owns the identity of faces and crops them from the frame ring into its face ring."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FaceRing, FrameRing, WorkerPage
from ferengine.detection.base import Detections
from ferengine.detection.birth import BirthScores
from ferengine.ipc.channel import receive_data, send_data
from ferengine.ipc.rings import CameraRings
from ferengine.results import Box
from ferengine.stages.base import Stage
from ferengine.stages.messages import AddRing, ForgetCamera, ForgetRing, Redetect, SetZones, ToWorker
from ferengine.stages.records import (
    CLASSIFIED,
    FACE_RING_FULL,
    MAX_FACES,
    TRACK_READER,
    CameraEnd,
    DetectionAnswer,
    DetectionRequest,
    Record,
    face_rows,
)
from ferengine.stages.start_messages import AddCamera, StartTrack
from ferengine.tracking import tracker_maker
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.face_tracker import FaceTracker, Snapshot
from ferengine.tracking.track import TrackedFace
from ferengine.vision import cv2
from ferengine.zones import Zones

MAX_UNDELIVERED = 64
"""Files: frames of one camera that may be on their way to its consumers before its tracker waits."""


@dataclass(slots=True)
class _Detection:
    """A detection on its way: the frame stays held, ``snapshot`` is where the tracks were in it."""

    request: DetectionRequest
    snapshot: Snapshot | None = None
    answer: Detections | None = None


@dataclass(slots=True)
class _Output:
    """A finished frame whose faces and record have not been sent.

    ``hidden`` are the faces in ignored places, ``zones`` the bits of the zones that each of ``faces`` is in, ``beyond`` how
    many faces are left out because there are too many, ``searched`` the newest frame searched in full so far.
    """

    generation: int
    slot: int
    sequence: int
    faces: list[TrackedFace]
    scene_cut: bool
    tracked_ns: int
    hidden: list[TrackedFace] = field(default_factory=list)
    zones: list[int] | None = None
    version: int = 0
    ignored: int = 0
    beyond: int = 0
    searched: int = -1
    status: int | None = None


@dataclass
class TrackedCamera:
    """What the stage knows of one camera.

    ``searched`` is the newest frame whose full search has been heard, ``late`` the faces that a late one has found.
    """

    number: int
    live: bool
    epoch: int
    births: BirthScores
    tracker: FaceTracker
    search: DetectionSchedule
    rings: CameraRings = field(default_factory=CameraRings)
    asked: dict[int, _Detection] = field(default_factory=dict)
    output: _Output | None = None
    last: int = -1
    last_asked: int | None = None
    done: int = 0
    advanced: int = -1
    ended: bool = False
    shape: tuple[int, ...] | None = None
    zones: Zones | None = None
    ignored: int = 0
    searched: int = -1
    late: list[TrackedFace] = field(default_factory=list)


class TrackStage(Stage[StartTrack]):
    """Frame rings -> tracks -> face ring and records, in order per camera.

    Files: every frame; on frame 0, n, 2n, ... and where a track turned weak it waits for the detection of that very
    frame (asked for as soon as the frame is in the ring). Live: the newest frame; a detection that has not come
    when the next frame is there is late, the tracked boxes go out and are corrected afterwards.
    """

    def open(self) -> None:
        cv2.setNumThreads(1)
        start = self.start
        self._every = start.detect_every
        self._deadline_ns = round(start.deadline * 1e9)
        self._requests = socket.socket(fileno=os.dup(start.requests))
        self._answers = socket.socket(fileno=os.dup(start.answers))
        self._events = socket.socket(fileno=os.dup(start.events))
        self._faces = FaceRing.attach(os.dup(start.faces))
        self._classify_page = WorkerPage.attach(os.dup(start.classify_page))
        self._make_tracker = tracker_maker(start.tracker)
        self._unsent: deque[DetectionRequest] = deque()
        self._cameras: dict[int, TrackedCamera] = {}

    def handle(self, message: ToWorker) -> None:
        match message:
            case AddRing() if message.camera in self._cameras:
                camera = self._cameras[message.camera]
                camera.live = message.live
                camera.rings.add(message.generation, message.ring)
            case AddCamera():
                self._cameras.setdefault(message.camera, self._tracked_camera(message))
            case ForgetRing() if message.camera in self._cameras:
                self._cameras[message.camera].rings.forget(message.generation)
            case ForgetCamera():
                self._cameras.pop(message.camera, None)
            case SetZones() if message.camera in self._cameras:
                self._cameras[message.camera].zones = message.zones if message.zones.regions else None
            case Redetect():
                for camera in self._cameras.values():
                    self._unsent.extend(asked.request for asked in camera.asked.values() if asked.answer is None)

    def _tracked_camera(self, added: AddCamera) -> TrackedCamera:
        schedule = DetectionSchedule(self.start.search == "near", self.start.full_scan)
        tracker = self._face_tracker(added.births, added.first_id)
        zones = added.zones if added.zones.regions else None
        return TrackedCamera(
            added.camera, added.live, added.epoch, added.births, tracker, schedule, done=added.done, zones=zones
        )

    def _face_tracker(self, births: BirthScores, first_id: int) -> FaceTracker:
        return FaceTracker(self._make_tracker, births=births, align=self.start.align_eyes, first_id=first_id)

    def step(self) -> bool:
        busy = self._take_answers()
        self._resend()
        for camera in list(self._cameras.values()):  # one may be removed meanwhile
            if camera.output is not None:
                busy |= self._send_output(camera)
            elif camera.rings and not camera.ended:
                busy |= self._step_live(camera) if camera.live else self._step_file(camera)
        return busy

    # --- detections

    def _ask(
        self, camera: TrackedCamera, generation: int, slot: int, sequence: int, near: tuple[Box, ...] | None = None
    ) -> bool:
        request = DetectionRequest(camera.number, camera.epoch, generation, slot, sequence, self.start.index, near)
        if self._unsent or not send_data(self._requests, request.encode()):
            return False
        camera.asked[sequence] = _Detection(request)
        camera.last_asked = sequence
        return True

    def _resend(self) -> None:
        """Ask again for what a dead detect worker may have had in hand, as far as there is room in the queue."""
        while self._unsent:
            request = self._unsent[0]
            camera = self._cameras.get(request.camera)
            asked = camera.asked.get(request.sequence) if camera is not None else None
            waits = asked is not None and asked.answer is None
            if waits and not send_data(self._requests, request.encode()):
                return
            self._unsent.popleft()

    def _take_answers(self) -> bool:
        taken = False
        while (data := receive_data(self._answers)) is not None:
            answer = DetectionAnswer.decode(data)
            request = answer.request
            camera = self._cameras.get(request.camera)
            asked = camera.asked.get(request.sequence) if camera is not None else None
            if camera is not None and asked is not None and request.epoch == camera.epoch:
                asked.answer, taken = answer.detections, True
        return taken

    # --- files: every frame, in order

    def _step_file(self, camera: TrackedCamera) -> bool:
        generation, ring = camera.rings.oldest()
        held = [(sequence, slot) for sequence, slot in ring.held(TRACK_READER) if sequence > camera.last]
        if not held:
            return self._pass_on(camera, generation, ring)
        for sequence, slot in held:  # the next detection frames are searched while this one is tracked
            scheduled = sequence % self._every == 0 and sequence not in camera.asked
            if scheduled and camera.search.is_full(sequence, ring.header(slot).timestamp):
                self._ask(camera, generation, slot, sequence)
        if camera.done - ring.emitted >= MAX_UNDELIVERED:
            return False
        sequence, slot = held[0]
        frame, timestamp = ring.frame(slot), ring.header(slot).timestamp
        self._note_size(camera, frame)
        camera.tracker.look(frame, timestamp)
        if sequence not in camera.asked and sequence % self._every and camera.advanced != sequence:
            camera.tracker.advance(frame, timestamp)
            camera.advanced = sequence
            if camera.tracker.wants_detection:
                self._ask(camera, generation, slot, sequence, camera.search.boxes_when_uncertain(camera.tracker))
        asked = camera.asked.get(sequence)
        if asked is not None:
            if asked.answer is None:
                return False
            camera.tracker.correct(frame, self._considered(camera, asked.answer), timestamp)
            self._note_searched(camera, asked.request)
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

    def _step_live(self, camera: TrackedCamera) -> bool:
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
            ring.skip(older_slot, TRACK_READER)
        sequence, slot = held[-1]
        frame, timestamp = ring.frame(slot), ring.header(slot).timestamp
        self._note_size(camera, frame)
        camera.tracker.look(frame, timestamp)
        if not camera.asked and self._detection_due(camera, sequence):
            boxes = camera.search.boxes_when_uncertain if camera.tracker.wants_detection else camera.search.boxes
            near = None if camera.search.is_full(sequence, timestamp) else boxes(camera.tracker)
            if self._ask(camera, generation, slot, sequence, near):
                return True
        camera.tracker.advance(frame, timestamp)
        self._finish(camera, generation, slot, sequence)
        return True

    def _step_live_detection(
        self, camera: TrackedCamera, ring: FrameRing, current: _Detection, held: list[tuple[int, int]]
    ) -> bool:
        """The frame under detection goes out corrected, or as tracked once a newer frame is there."""
        request = current.request
        frame, timestamp = ring.frame(request.slot), ring.header(request.slot).timestamp
        self._note_size(camera, frame)
        if current.answer is not None:
            camera.tracker.correct(frame, self._considered(camera, current.answer), timestamp)
            self._note_searched(camera, request)
            del camera.asked[request.sequence]
        elif held[-1][0] > request.sequence or ring.closed:
            camera.tracker.advance(frame, timestamp)
            current.snapshot = camera.tracker.snapshot()
        else:
            return False
        self._finish(camera, request.generation, request.slot, request.sequence)
        return True

    def _detection_due(self, camera: TrackedCamera, sequence: int) -> bool:
        return camera.last_asked is None or sequence - camera.last_asked >= self._every or camera.tracker.wants_detection

    def _apply_late(self, camera: TrackedCamera, asked: _Detection) -> None:
        request = asked.request
        ring = camera.rings[request.generation]
        assert asked.answer is not None
        frame, timestamp = ring.frame(request.slot), ring.header(request.slot).timestamp
        if frame.shape == camera.shape:
            camera.tracker.correct(frame, self._considered(camera, asked.answer), timestamp, asked.snapshot)
            camera.late = [face for face in camera.tracker.faces if face.origin == "detected"]
        self._note_searched(camera, request)
        del camera.asked[request.sequence]
        ring.release(request.slot, TRACK_READER)

    # --- both

    @staticmethod
    def _note_searched(camera: TrackedCamera, request: DetectionRequest) -> None:
        if request.near is None:
            camera.searched = max(camera.searched, request.sequence)

    def _note_size(self, camera: TrackedCamera, frame: NDArray[np.uint8]) -> None:
        """Places in frames of another size mean nothing: when it changes all tracks end, and ids go on."""
        if camera.shape not in (None, frame.shape):
            camera.tracker = self._face_tracker(camera.births, camera.tracker.next_id)
        camera.shape = frame.shape

    def _pass_on(self, camera: TrackedCamera, generation: int, ring: FrameRing) -> bool:
        """The ring is empty: go to its next generation, or end the camera, once the writer has closed it."""
        if not ring.closed or camera.asked or any(s > camera.last for s, _ in ring.held(TRACK_READER)):
            return False
        if not camera.rings.has_newer(generation):
            self.context.poll_control()  # a newer generation is announced before the old one is closed
        if camera.rings.has_newer(generation):
            camera.rings.forget(generation)
            return True
        camera.ended = send_data(self._events, CameraEnd(camera.number, camera.epoch).encode())
        return True

    def _finish(self, camera: TrackedCamera, generation: int, slot: int, sequence: int) -> None:
        faces = sorted(camera.tracker.faces, key=lambda face: face.id)
        output = _Output(generation, slot, sequence, faces[:MAX_FACES], camera.tracker.is_cut, time.monotonic_ns())
        output.beyond = len(faces) - len(output.faces)
        if self.start.keep_ignored:
            output.hidden = faces[MAX_FACES:]
        if camera.zones is not None:
            self._sort_by_zones(camera, camera.zones, output, faces)
        if self.start.keep_ignored:
            self._add_lost(camera, output)
        camera.late = []
        output.searched = camera.searched
        camera.output = output
        camera.last = sequence
        camera.search.forget(sequence)
        self._send_output(camera)

    def _considered(self, camera: TrackedCamera, found: Detections) -> Detections:
        """The detections that are not in ignored places; all of them where those are to be blurred."""
        if camera.zones is None or self.start.keep_ignored or camera.shape is None:
            return found
        height, width = camera.shape[:2]
        places = [camera.zones.place((x, y, w, h), width, height) for x, y, w, h in found.boxes.tolist()]
        kept = np.array([place is not None for place in places], bool)
        camera.ignored += int(len(kept) - kept.sum())
        landmarks = None if found.landmarks is None else found.landmarks[kept]
        return Detections(found.boxes[kept], found.scores[kept], landmarks)

    def _sort_by_zones(self, camera: TrackedCamera, zones: Zones, output: _Output, faces: list[TrackedFace]) -> None:
        """Decide which faces of a frame go out, and in which zones they are."""
        assert camera.shape is not None
        height, width = camera.shape[:2]
        placed = [(face, zones.place(face.box, width, height)) for face in faces]
        kept = [(face, place) for face, place in placed if place is not None]
        beyond = [face for face, _ in kept[MAX_FACES:]]
        kept = kept[:MAX_FACES]
        ignored = [face for face, place in placed if place is None]
        output.faces, output.beyond = [face for face, _ in kept], len(beyond)
        output.hidden = [*ignored, *beyond] if self.start.keep_ignored else []
        output.zones = [*(place for _, place in kept), *(0 for _ in output.hidden)]
        output.version, output.ignored, camera.ignored = zones.version, camera.ignored + len(ignored), 0

    @staticmethod
    def _add_lost(camera: TrackedCamera, output: _Output) -> None:
        """Faces of a late detection that were lost before this frame are in no record, but in frames that can be blurred."""
        present = {face.id for face in camera.tracker.faces}
        lost = [face for face in camera.late if face.id not in present]
        output.hidden = [*output.hidden, *lost]
        if output.zones is not None:
            output.zones += [0] * len(lost)

    def _send_output(self, camera: TrackedCamera) -> bool:
        """Faces to the face ring, then the record to the engine, then the slot back; False while a queue is full."""
        output = camera.output
        assert output is not None
        ring = camera.rings[output.generation]
        header = ring.header(output.slot)
        if output.status is None:
            squares = np.array([face.region for face in output.faces], np.float32).reshape(-1, 4)
            deadline = header.captured_ns + self._deadline_ns if camera.live else 0
            pushed = not output.faces or self._faces.push(
                ring.frame(output.slot), squares, camera.number, camera.epoch, output.sequence,
                header.captured_ns, output.tracked_ns, deadline,
            )  # fmt: skip
            if not pushed and not camera.live:
                return False
            output.status = CLASSIFIED if pushed else FACE_RING_FULL
            if output.faces:
                self._classify_page.notify()
        rows = face_rows([*output.faces, *output.hidden], output.zones)
        record = Record(
            camera.number, camera.epoch, output.sequence, header.timestamp, header.captured_ns, output.tracked_ns,
            output.status, output.generation, output.slot, output.scene_cut, rows, output.version, output.ignored,
            len(output.hidden), output.beyond, output.searched,
        )  # fmt: skip
        if not send_data(self._events, record.encode()):
            return False
        if output.sequence not in camera.asked:
            ring.release(output.slot, TRACK_READER)
        camera.output = None
        camera.done += 1
        return True
