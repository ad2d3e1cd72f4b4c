"""The main program of a worker: its heartbeat, its end, and what it says of a message that it cannot read."""

from __future__ import annotations

import select
import time

import pytest

from ferengine._native import WorkerPage
from ferengine.ipc.channel import ControlChannel
from ferengine.ipc.process import WorkerProcess
from ferengine.stages.codec import decode_control, encode_control
from ferengine.stages.messages import ControlMessage, Failed, Finish, Usage
from ferengine.stages.worker import Worker, heartbeat


def test_the_heartbeat_goes_on_during_a_long_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.stages.worker._OPENING_BEAT", 0.01)
    page = WorkerPage.create()
    seen = set()
    with heartbeat(page):
        deadline = time.monotonic() + 60
        while len(seen) < 5 and time.monotonic() < deadline:
            seen.add(page.heartbeat)
            time.sleep(0.005)
    assert len(seen) == 5
    last = page.heartbeat
    time.sleep(0.05)
    assert page.heartbeat == last


def test_an_opening_that_takes_far_too_long_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.stages.worker._OPENING_BEAT", 0.01)
    page = WorkerPage.create()
    with heartbeat(page, limit=0.05):
        time.sleep(0.5)
        last = page.heartbeat
        time.sleep(0.1)
        assert page.heartbeat == last


def test_a_worker_that_is_told_to_finish_before_its_start_ends() -> None:
    engine, there = ControlChannel.pair()
    worker = Worker(ControlChannel(there))
    engine.send(*encode_control(Finish()))
    worker.run()
    worker.close()
    [(data, descriptors)] = engine.receive()
    assert isinstance(decode_control(data, descriptors), Usage)
    engine.close()


def test_a_worker_whose_engine_is_gone_ends() -> None:
    engine, there = ControlChannel.pair()
    worker = Worker(ControlChannel(there))
    engine.close()
    with pytest.raises(EOFError):
        worker.run()


def answer(message: bytes) -> tuple[ControlMessage, int]:
    """What a worker process says to ``message``, and its exit code."""
    process = WorkerProcess[bytes]("test", "ferengine.stages.worker", lambda data: (data, []))
    process.spawn()
    process.send(message)
    assert process.control is not None
    select.select([process.control], [], [], 60)
    [(data, descriptors)] = process.control.receive()
    code = process.reap()
    process.close()
    return decode_control(data, descriptors), code


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (b'{"kind": "Explode"}', "unknown control message 'Explode'"),
        (b'{"kind": "StartTrack", "page": 0}', "malformed control message StartTrack: the field requests is missing"),
    ],
)
def test_a_message_that_cannot_be_read_ends_the_worker_and_is_named(message: bytes, named: str) -> None:
    failed, code = answer(message)
    assert failed == Failed("WorkerError", named)
    assert code == 3
