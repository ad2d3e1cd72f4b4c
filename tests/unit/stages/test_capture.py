"""The capture stage, without its worker process."""

from __future__ import annotations

import json

from ferengine._native import FrameRing, WorkerPage
from ferengine.sources import parse_source
from ferengine.stages.capture import CaptureStage
from ferengine.stages.messages import AddRing, BeginCapture, Descriptor, FromWorker, NeedRing, StartCapture
from stages_help import context


def test_a_ring_that_is_still_too_small_is_asked_for_again() -> None:
    page, small = WorkerPage.create(), FrameRing.create(4, 12)
    reports: list[FromWorker] = []
    descriptor = Descriptor(page.fd)
    source = json.dumps(parse_source("demo").to_dict())
    stage = CaptureStage(StartCapture(descriptor, descriptor, 0, source, None, 0, None, False), context(page, reports))
    stage.open()
    stage.handle(BeginCapture())
    for generation in range(2):
        stage.handle(AddRing(Descriptor(small.fd), 0, generation, False))
        for _ in range(5):
            stage.step()
    stage.close()
    assert [report for report in reports if isinstance(report, NeedRing)] == [NeedRing(0, 640 * 480 * 3)] * 2
