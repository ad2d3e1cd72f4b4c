"""The track stage, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ferengine._native import FaceRing, FrameRing, WorkerPage
from ferengine.detection.base import Detections
from ferengine.detection.birth import BirthScores
from ferengine.ipc.channel import data_pair, receive_data, send_data
from ferengine.stages.messages import AddCamera, AddRing, Descriptor, Redetect, StartTrack
from ferengine.stages.records import TRACK_READER, DetectionAnswer, DetectionRequest
from ferengine.stages.track import TrackStage
from stages_help import context

NO_FACES = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), None)


class Bench:
    """A track stage with one camera, and the other ends of its sockets."""

    def __init__(self, *, live: bool) -> None:
        self.requests, self.answers, self.events = data_pair(), data_pair(), data_pair()
        self.faces = FaceRing.create(8, [(48, "grey")])
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
            cameras=(AddCamera(0, live, epoch=1, first_id=1, done=0, births=BirthScores()),),
            detect_every=6,
            deadline=0.5,
            search="full",
            full_scan=1.0,
            align_eyes=False,
            tracker="kcf",
        )
        self.stage = TrackStage(start, context(page, []))
        self.stage.open()
        self.stage.handle(AddRing(Descriptor(self.ring.fd), 0, 0, live))

    def publish(self, sequence: int) -> None:
        self.ring.publish(self.ring.acquire(0), sequence, 64, 48, 64 * 3, 3, sequence / 25, 0, self.ring.readers)
        self.run()

    def run(self) -> None:
        while self.stage.step():
            pass

    def request(self) -> DetectionRequest:
        data = receive_data(self.requests[1])
        assert data is not None
        return DetectionRequest.decode(data)

    def answer(self, request: DetectionRequest) -> None:
        assert send_data(self.answers[0], DetectionAnswer(request, NO_FACES).encode())

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
