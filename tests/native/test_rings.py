"""Rings and doorbells in shared memory, within a process and between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage


def put(ring: FrameRing, sequence: int, holds: int = 1) -> int:
    slot = ring.acquire(0.0)
    if slot >= 0:
        ring.payload(slot)[:] = sequence % 256
        ring.publish(slot, sequence, 4, 4, 12, 3, sequence / 30, sequence + 7, holds)
    return slot


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.just("put"), st.tuples(st.integers(0, 2), st.integers(0, 5)), st.integers(0, 2)), max_size=60))
def test_frame_ring_against_a_plain_model(operations: list[object]) -> None:
    ring = FrameRing.create(4, 48)
    model: dict[int, tuple[int, set[int]]] = {}  # slot -> sequence and readers
    sequence = 0
    for operation in operations:
        if operation == "put":
            slot = put(ring, sequence, 0b111)
            assert (slot == -1) == (len(model) == 4)
            if slot >= 0:
                assert slot not in model
                model[slot] = (sequence, {0, 1, 2})
                sequence += 1
        elif isinstance(operation, tuple):
            reader, index = operation
            held = ring.held(reader)
            if index < len(held):
                ring.release(held[index][1], reader)
                model[held[index][1]][1].discard(reader)
        elif isinstance(operation, int):
            ring.clear_reader(operation)
            for _, readers in model.values():
                readers.discard(operation)
        model = {slot: entry for slot, entry in model.items() if entry[1]}
        for reader in range(3):
            expected = sorted((number, slot) for slot, (number, readers) in model.items() if reader in readers)
            assert ring.held(reader) == expected
        for slot, (number, _) in model.items():
            assert (ring.frame(slot) == number % 256).all()
            assert ring.header(slot).sequence == number
    assert ring.published == sequence


def test_frames_are_views_of_the_mapping_and_keep_it() -> None:
    ring = FrameRing.create(2, 48)
    slot = put(ring, 9)
    frame = ring.frame(slot)
    assert ring.address <= frame.ctypes.data < ring.address + ring.bytes - 47
    assert frame.shape == (4, 4, 3)
    assert not frame.flags.writeable
    del ring
    assert (frame == 9).all()


def test_misuse_is_refused() -> None:
    ring = FrameRing.create(2, 48)
    slot = put(ring, 0)
    with pytest.raises(IndexError):
        ring.frame(2)
    with pytest.raises(IndexError):
        ring.held(32)
    with pytest.raises(ValueError, match="held"):
        ring.publish(slot, 1, 4, 4, 12, 3, 0.0, 0, 1)
    with pytest.raises(ValueError, match="larger"):
        ring.publish(1 - slot, 1, 5, 4, 15, 3, 0.0, 0, 1)
    with pytest.raises(ValueError, match="another kind"):
        FaceRing.attach(os.dup(ring.fd))
    with pytest.raises(ValueError, match="mapping"):
        WorkerPage.attach(os.open("/dev/null", os.O_RDONLY))
    with pytest.raises(ValueError):
        FrameRing.create(0, 48)


def test_a_waiting_writer_wakes_when_a_slot_is_freed() -> None:
    ring = FrameRing.create(1, 48)
    slot = put(ring, 0)
    assert ring.acquire(0.01) == -1
    other = FrameRing.attach(os.dup(ring.fd))
    threading.Timer(0.05, lambda: other.release(slot, 0)).start()
    begun = time.monotonic()
    assert ring.acquire(10.0) == slot
    assert time.monotonic() - begun < 5


_WRITER = """
import os, sys
from ferengine._native import FrameRing
ring = FrameRing.attach(int(sys.argv[1]))
for sequence in range(ring.published, 10**9):
    slot = -1
    while slot < 0:
        slot = ring.acquire(0.05)
    ring.payload(slot)[:] = sequence % 256
    ring.publish(slot, sequence, 64, 64, 192, 3, 0.0, 0, 1)
"""


def test_a_killed_writer_leaves_whole_frames_and_a_successor_goes_on() -> None:
    ring = FrameRing.create(4, 64 * 64 * 3)
    expected = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(ring.fd)], pass_fds=[ring.fd])
        deadline, target = time.monotonic() + 20, expected + 50
        while expected < target:
            assert time.monotonic() < deadline
            for sequence, slot in ring.held(0):
                assert sequence == expected
                assert (ring.frame(slot) == sequence % 256).all()
                ring.release(slot, 0)
                expected += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    for sequence, slot in ring.held(0):
        assert sequence == expected
        assert (ring.frame(slot) == sequence % 256).all()
        expected += 1
    assert ring.published == expected


def test_doorbell_between_processes() -> None:
    mine, theirs = WorkerPage.create(), WorkerPage.create()
    program = (
        "import sys; from ferengine._native import WorkerPage\n"
        "a, b = (WorkerPage.attach(int(x)) for x in sys.argv[1:])\n"
        "for n in range(500):\n"
        "    while b.bell == n: b.wait(n, 5)\n"
        "    a.ring()\n"
    )
    arguments = [sys.executable, "-c", program, str(mine.fd), str(theirs.fd)]
    process = subprocess.Popen(arguments, pass_fds=[mine.fd, theirs.fd])
    for number in range(500):  # a lost wake-up would cost its five seconds each time
        theirs.ring()
        while mine.bell == number:
            assert mine.wait(number, 10), "no answer"
    assert process.wait(timeout=10) == 0
    assert not mine.wait(mine.bell, 0.01)
    assert mine.heartbeat == 0.0
    mine.beat()
    assert abs(mine.heartbeat - time.monotonic()) < 1


FRAME = np.arange(64, dtype=np.uint8).reshape(8, 8)
WHOLE = (4.0, 4.0, 8.0, 0.0)


def push(ring: FaceRing, sequence: int, faces: int) -> bool:
    return ring.push(FRAME, np.array([WHOLE] * faces, np.float32).reshape(-1, 4), 3, 2, sequence, 11, 12, 13)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.tuples(st.just("push"), st.integers(0, 5)), st.tuples(st.just("take"), st.integers(1, 6))), max_size=50
    )
)
def test_face_ring_is_a_bounded_queue(operations: list[tuple[str, int]]) -> None:
    ring = FaceRing.create(6, 8)
    consumer = FaceRing.attach(os.dup(ring.fd))
    expected: list[tuple[int, int]] = []
    for sequence, (operation, count) in enumerate(operations):
        if operation == "push":
            fits = count <= 6 - len(expected)
            assert push(ring, sequence, count) == fits
            if fits:
                expected += [(sequence, face) for face in range(count)]
        else:
            out, keys = np.zeros((count, 8, 8), np.uint8), np.zeros(count, FACE_KEY)
            taken = consumer.gather(out, keys, 0.0, 1.0)
            assert taken == min(count, len(expected))
            assert [(int(k["sequence"]), int(k["face"])) for k in keys[:taken]] == expected[:taken]
            assert (out[:taken] == FRAME).all()
            consumer.release(taken)
            del expected[:taken]
        assert ring.free == 6 - len(expected)
        assert consumer.waiting == len(expected)


def test_gather_normalises_and_appends_and_a_new_consumer_rereads() -> None:
    ring = FaceRing.create(6, 8)
    assert push(ring, 1, 2)
    first = FaceRing.attach(os.dup(ring.fd))
    out, keys = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, FACE_KEY)
    assert first.oldest_queued_ns > 0
    assert first.gather(out, keys, 10.0, 2.0, 1) == 2
    assert np.allclose(out[1, 0], (FRAME.astype(float) - 10) / 2)
    assert (out[0] == 0).all()
    assert keys[1]["camera"] == 3
    assert keys[1]["epoch"] == 2
    assert (keys[1]["captured_ns"], keys[1]["tracked_ns"], keys[1]["deadline_ns"]) == (11, 12, 13)
    assert first.waiting == 0
    with pytest.raises(ValueError):
        first.release(3)
    first.release(1)
    successor = FaceRing.attach(os.dup(ring.fd))  # the first died before it released the second face
    assert successor.waiting == 1
    with pytest.raises(ValueError, match="do not fit"):
        push(ring, 2, 7)
