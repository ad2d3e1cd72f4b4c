"""The detect stage: answers go to the track worker that asked, and one that takes none holds up no other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ferengine._native import FrameRing, WorkerPage
from ferengine.inference.select import BackendSettings
from ferengine.ipc.channel import data_pair, receive_data, send_data
from ferengine.stages.detect import DetectStage
from ferengine.stages.messages import AddRing, ForgetCamera, ForgetRing
from ferengine.stages.records import DetectionAnswer, DetectionRequest
from ferengine.stages.start_messages import Descriptor, StartDetect
from stages_help import context
from threads_help import CheckedThread


class Bench:
    """Detect stages that share one queue of requests, and the queues of two track workers."""

    def __init__(self) -> None:
        self.requests = data_pair()
        self.answers = [data_pair(), data_pair()]
        self.pages = [WorkerPage.create(), WorkerPage.create()]
        self.ring = FrameRing.create(2, 64 * 48 * 3)
        self.ring.publish(self.ring.acquire(0), 0, 64, 48, 64 * 3, 3, 0.0, 0, 1)
        self.stages: list[DetectStage] = []

    def stage(self, **options: int) -> DetectStage:
        page = WorkerPage.create()
        start = StartDetect(
            page=Descriptor(page.fd),
            requests=Descriptor(self.requests[1].fileno()),
            answers=tuple(Descriptor(writer.fileno()) for writer, _ in self.answers),
            track_pages=tuple(Descriptor(each.fd) for each in self.pages),
            detector="haar",
            min_face=40.0,
            thresholds=(0.6, 0.7, 0.7),
            pyramid_factor=0.709,
            backend=BackendSettings("ort", "fp32"),
        )
        stage = DetectStage(start, context(page, [], **options))
        stage.open()
        stage.handle(AddRing(Descriptor(self.ring.fd), 0, 0, live=True))
        self.stages.append(stage)
        return stage

    def ask(self, tracker: int, sequence: int) -> None:
        assert send_data(self.requests[0], DetectionRequest(0, 1, 0, 0, sequence, tracker).encode())

    def answered(self, tracker: int) -> list[int]:
        found = []
        while (data := receive_data(self.answers[tracker][1])) is not None:
            if data[:6] != b"filler":
                found.append(DetectionAnswer.decode(data).request.sequence)
        return found

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        for end in (*self.requests, *self.answers[0], *self.answers[1]):
            end.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def run(stage: DetectStage) -> None:
    while stage.step():
        pass


def test_answers_go_to_the_worker_that_asked(bench: Bench) -> None:
    stage = bench.stage()
    before = [page.event for page in bench.pages]
    bench.ask(0, 3)
    bench.ask(1, 4)
    run(stage)
    assert (bench.answered(0), bench.answered(1)) == ([3], [4])
    assert [page.event for page in bench.pages] == [event + 1 for event in before]


def test_a_full_queue_of_answers_does_not_block_those_of_others(bench: Bench) -> None:
    stage = bench.stage()
    while send_data(bench.answers[0][0], b"filler" + bytes(4090)):
        pass
    for sequence in range(6):
        bench.ask(sequence % 2, sequence)
    run(stage)
    assert bench.answered(1) == [1, 3, 5]
    assert bench.answered(0) == []  # there is room now
    run(stage)
    assert bench.answered(0) == [0, 2, 4]


def test_requests_for_frames_that_are_gone_have_no_answer(bench: Bench) -> None:
    stage = bench.stage()
    stage.handle(ForgetRing(0, 0))
    bench.ask(0, 1)
    run(stage)
    stage.handle(ForgetCamera(0))
    bench.ask(0, 2)
    run(stage)
    assert bench.answered(0) == []


def test_a_request_wakes_one_of_the_detectors(bench: Bench) -> None:
    stages = [bench.stage() for _ in range(3)]
    woken: list[int] = []
    sleeping = threading.Barrier(4)

    def sleep(number: int) -> None:
        sleeping.wait()
        began = time.monotonic()
        stages[number].wait(0, 20.0)
        if time.monotonic() - began < 19.0:
            woken.append(number)
            run(stages[number])

    threads = [CheckedThread(lambda number=number: sleep(number)) for number in range(3)]  # type: ignore[misc]
    sleeping.wait()
    time.sleep(1.0)  # all of them sleep now, unless the machine is very busy: then more of them see the request
    for count in range(1, 4):
        bench.ask(0, count)
        deadline = time.monotonic() + 15
        while len(woken) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(woken) == count
    for thread in threads:
        thread.join()
    assert sorted(woken) == [0, 1, 2]
    assert bench.answered(0) == [1, 2, 3]


def test_a_control_message_ends_the_sleep(bench: Bench) -> None:
    reader, writer = os.pipe()
    stage = bench.stage(control=reader)
    thread = CheckedThread(lambda: stage.wait(0, 600.0))
    os.write(writer, b"x")
    thread.join()
    os.close(reader)
    os.close(writer)


def test_a_frame_is_searched_near_boxes(bench: Bench) -> None:
    stage = bench.stage()
    request = DetectionRequest(0, 1, 0, 0, 9, 1, ((1.0, 2.0, 3.0, 4.0),))
    seen: list[object] = []
    detect = stage._detector.detect

    def spy(frame: np.ndarray, near: np.ndarray | None = None) -> object:
        seen.append(None if near is None else near.tolist())
        return detect(frame, near)

    stage._detector.detect = spy  # type: ignore[method-assign,assignment]
    assert send_data(bench.requests[0], request.encode())
    run(stage)
    assert seen == [[[1.0, 2.0, 3.0, 4.0]]]
    assert bench.answered(1) == [9]
