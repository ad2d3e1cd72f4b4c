"""The track stage, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine._native import FaceRing, FrameRing, WorkerPage
from ferengine.detection.base import Detections
from ferengine.detection.birth import BirthScores
from ferengine.ipc.channel import data_pair, receive_data, send_data
from ferengine.stages.messages import AddRing, Redetect, SetZones
from ferengine.stages.records import TRACK_READER, DetectionAnswer, DetectionRequest, Record, decode_event
from ferengine.stages.start_messages import AddCamera, Descriptor, StartTrack
from ferengine.stages.track import TrackStage
from ferengine.zones import Region, Zones
from stages_help import context

NO_FACES = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), None)


class Bench:
    """A track stage with one camera, and the other ends of its sockets."""

    def __init__(self, *, live: bool, keep_ignored: bool = False) -> None:
        self.requests, self.answers, self.events = data_pair(), data_pair(), data_pair()
        self.faces = FaceRing.create(128, [(48, "grey")])
        self.ring = FrameRing.create(12, 64 * 48 * 3)
        self.ring.readers = 1 << TRACK_READER
        page = WorkerPage.create()
        start = StartTrack(
            page=Descriptor(page.fd),
            requests=Descriptor(self.requests[0].fileno()),
            answers=Descriptor(self.answers[1].fileno()),
            events=Descriptor(self.events[0].fileno()),
            faces=Descriptor(self.faces.fd),
            classify_page=Descriptor(page.fd),
            index=0,
            detect_every=6,
            deadline=0.5,
            search="full",
            full_scan=1.0,
            align_eyes=False,
            tracker="kcf",
            keep_ignored=keep_ignored,
        )
        self.stage = TrackStage(start, context(page, []))
        self.stage.open()
        self.stage.handle(AddCamera(0, live, epoch=1, first_id=1, done=0, births=BirthScores()))
        self.stage.handle(AddRing(Descriptor(self.ring.fd), 0, 0, live))

    def publish(self, sequence: int, image: NDArray[np.uint8] | None = None) -> None:
        slot = self.ring.acquire(0)
        if image is not None:
            np.asarray(self.ring.payload(slot))[: image.size] = image.ravel()
        self.ring.publish(slot, sequence, 64, 48, 64 * 3, 3, sequence / 25, 0, self.ring.readers)
        self.run()

    def run(self) -> None:
        while self.stage.step():
            pass

    def request(self) -> DetectionRequest:
        data = receive_data(self.requests[1])
        assert data is not None
        return DetectionRequest.decode(data)

    def answer(self, request: DetectionRequest, found: Detections = NO_FACES) -> None:
        assert send_data(self.answers[0], DetectionAnswer(request, found).encode())
        self.run()

    def record(self) -> Record:
        data = receive_data(self.events[1])
        assert data is not None
        record = decode_event(data)
        assert isinstance(record, Record)
        return record

    def close(self) -> None:
        for pair in (self.requests, self.answers, self.events):
            for end in pair:
                end.close()


@pytest.fixture
def live() -> Iterator[Bench]:
    bench = Bench(live=True)
    yield bench
    bench.close()


@pytest.fixture
def file() -> Iterator[Bench]:
    bench = Bench(live=False)
    yield bench
    bench.close()


def test_late_empty_answer_frees_the_frame_and_allows_the_next_request(live: Bench) -> None:
    live.publish(0)
    first = live.request()
    live.publish(1)  # frame 0 goes out as tracked; its answer is late
    assert [sequence for sequence, _ in live.ring.held(TRACK_READER)] == [0]
    live.answer(first)
    live.publish(2)
    assert live.ring.held(TRACK_READER) == []
    for sequence in range(3, 7):
        live.publish(sequence)
    assert live.request().sequence == 6


def test_requests_are_repeated_after_a_detector_died(file: Bench) -> None:
    for sequence in range(7):
        file.publish(sequence)
    assert [file.request().sequence for _ in range(2)] == [0, 6]
    file.stage.handle(Redetect())
    file.run()
    assert [file.request().sequence for _ in range(2)] == [0, 6]


def test_repeated_requests_wait_for_room_and_are_not_lost(file: Bench) -> None:
    for sequence in range(7):
        file.publish(sequence)
    asked = [file.request() for _ in range(2)]
    filler = 0
    while send_data(file.requests[0], b"x" * 4096):
        filler += 1
    file.stage.handle(Redetect())
    file.run()  # the queue is full
    file.answer(asked[0])
    for _ in range(filler):
        assert receive_data(file.requests[1]) == b"x" * 4096
    file.run()
    assert file.request() == asked[1]  # the other one has been answered meanwhile
    assert receive_data(file.requests[1]) is None


def test_skipped_frames_are_counted_though_their_worker_dies() -> None:
    """The count is in shared memory: it does not wait for the record of the frame that came out instead."""
    bench = Bench(live=True)
    bench.publish(0)
    assert bench.request().sequence == 0
    for sequence in (1, 2, 3):
        bench.ring.publish(bench.ring.acquire(0), sequence, 64, 48, 64 * 3, 3, sequence / 25, 0, bench.ring.readers)
    bench.run()
    assert bench.ring.skipped == 2
    assert [sequence for sequence, _ in bench.ring.held(TRACK_READER)] == [0]


def test_a_record_says_until_which_frame_faces_have_been_searched_for(live: Bench, file: Bench) -> None:
    for sequence in range(6):
        file.publish(sequence)
        if sequence == 0:
            file.answer(file.request())
    assert [file.record().searched for _ in range(6)] == [0] * 6
    live.publish(0)
    asked = live.request()
    for sequence in range(1, 3):
        live.publish(sequence)
    assert [live.record().searched for _ in range(3)] == [-1, -1, -1]
    live.answer(asked)
    live.publish(3)
    assert live.record().searched == 0


@pytest.mark.parametrize("zones", [Zones(), Zones(1, (Region("a", "watch", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))),))])
@pytest.mark.parametrize("keep_ignored", [False, True])
def test_a_face_of_a_late_detection_is_kept_to_be_blurred_though_it_is_lost_at_once(keep_ignored: bool, zones: Zones) -> None:
    """Frames that are still held back show it, and no record after them would name it."""
    box, bench = (20.0, 12.0, 20.0, 20.0), Bench(live=True, keep_ignored=keep_ignored)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    empty = image.copy()
    empty[8:36, 16:44] = 128
    try:
        bench.stage.handle(SetZones(0, zones))
        bench.publish(0, image)
        late = bench.request()
        bench.publish(1, image)
        bench.answer(late, Detections(np.array([box], np.float32), np.ones(1, np.float32), None))
        bench.publish(2, empty)
        assert bench.stage._cameras[0].tracker.faces == []
        records = [bench.record() for _ in range(3)]
        assert [(record.delivered, record.hidden, record.searched) for record in records] == [
            (0, 0, -1), (0, 0, -1), (0, int(keep_ignored), 0),
        ]  # fmt: skip
        assert records[2].faces["id"].tolist() == [1] * keep_ignored
        bench.publish(3, empty)
        while (data := receive_data(bench.requests[1])) is not None:
            bench.answer(DetectionRequest.decode(data))
        assert bench.record().hidden == 0
    finally:
        bench.close()


FRAME = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("keep_ignored", [False, True])
@pytest.mark.parametrize("zones", [Zones(), Zones(1, (Region("a", "watch", FRAME),))])
def test_faces_beyond_the_maximum_are_counted_and_kept_to_be_blurred(zones: Zones, keep_ignored: bool) -> None:
    bench = Bench(live=False, keep_ignored=keep_ignored)
    corners = [(float(x), float(y), 3.0, 3.0) for y in range(0, 45, 4) for x in range(0, 60, 4)]
    try:
        bench.stage.handle(SetZones(0, zones))
        bench.publish(0)
        bench.answer(bench.request(), Detections(np.array(corners, np.float32), np.ones(len(corners), np.float32), None))
        record = bench.record()
        beyond = len(corners) - 128
        assert (record.delivered, record.hidden, record.beyond) == (128, beyond if keep_ignored else 0, beyond)
    finally:
        bench.close()


@pytest.mark.parametrize("keep_ignored", [False, True])
def test_faces_are_sorted_by_the_zones_in_force(keep_ignored: bool) -> None:
    bench = Bench(live=False, keep_ignored=keep_ignored)
    left, right = (4.0, 14.0, 20.0, 20.0), (40.0, 14.0, 20.0, 20.0)
    both = Detections(np.array([left, right], np.float32), np.ones(2, np.float32), None)
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    regions = (Region("a", "watch", ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0))), Region("b", "ignore", half))
    try:
        bench.stage.handle(SetZones(0, Zones(3, regions)))
        bench.publish(0)
        bench.answer(bench.request(), both)
        record = bench.record()
        assert (record.zones, record.ignored, record.delivered, record.hidden) == (3, 1, 1, int(keep_ignored))
        assert record.faces["box"][:, 0].tolist() == [40.0, 4.0][: 1 + keep_ignored]
        assert record.faces["zones"].tolist() == [1, 0][: 1 + keep_ignored]
        assert len(bench.stage._cameras[0].tracker.faces) == 1 + keep_ignored
        bench.stage.handle(SetZones(0, Zones(4)))
        for sequence in range(1, 7):
            bench.publish(sequence)
            while (data := receive_data(bench.requests[1])) is not None:  # also for tracks that are weak
                bench.answer(DetectionRequest.decode(data), both)
        records = [bench.record() for _ in range(6)]
        assert {(record.zones, record.ignored, record.hidden) for record in records} == {(0, 0, 0)}
        assert len(records[-1].faces) == 2
    finally:
        bench.close()
