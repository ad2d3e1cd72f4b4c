"""The rings between processes, also when one is killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage
from rings_help import FOREVER, SIDE, child, line_of, put


@pytest.mark.timeout(60)
def test_no_wake_up_is_lost_between_processes() -> None:
    there, back = WorkerPage.create(), WorkerPage.create()
    code = """
there, back = WorkerPage.attach(fd[0]), WorkerPage.attach(fd[1])
for seen in range(5000):
    assert there.wait(seen, 600.0)
    back.notify()
print("done")
"""
    with child(code, there, back) as process:
        for seen in range(5000):
            there.notify()
            assert back.wait(seen, FOREVER)
        assert line_of(process) == "done"
    assert (there.event, back.event) == (5000, 5000)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["release", "clear_reader"])
def test_a_blocked_writer_wakes_when_another_process_releases(how: str) -> None:
    ring = FrameRing.create(2, 16)
    for sequence in range(2):
        put(ring, ring.acquire(0.0), np.zeros((4, 4), np.uint8), sequence, 0b11 if sequence else 0b10)
    code = """
ring = FrameRing.attach(fd[0])
print("blocked" if ring.acquire(0.0) == -1 else "free", flush=True)
print(ring.acquire(600.0), flush=True)
"""
    with child(code, ring) as process:
        assert line_of(process) == "blocked"
        time.sleep(0.1)
        ring.release(1, 0)  # slot 1 is still held by reader 1
        if how == "release":
            ring.release(1, 1)
            assert line_of(process) == "1"
        else:
            ring.clear_reader(1)
            assert line_of(process) in ("0", "1")


@pytest.mark.timeout(60)
def test_a_writer_killed_within_a_frame_leaves_the_published_ones() -> None:
    ring = FrameRing.create(4, 3000)
    code = """
ring = FrameRing.attach(fd[0])
for sequence in range(3):
    slot = ring.acquire(0.0)
    ring.payload(slot)[:] = sequence + 1
    ring.publish(slot, sequence, 30, 20, 90, 3, 0.5, 7, 1)
ring.payload(ring.acquire(0.0))[:1500] = 99
print("half", flush=True)
time.sleep(600)
"""
    with child(code, ring) as process:
        assert line_of(process) == "half"
        process.send_signal(signal.SIGKILL)
        process.wait()
    held = ring.held(0)
    assert [sequence for sequence, _ in held] == [0, 1, 2] == list(range(ring.published))
    for sequence, slot in held:
        np.testing.assert_array_equal(ring.frame(slot), np.full((20, 30, 3), sequence + 1))
    writer = FrameRing.attach(os.dup(ring.fd))
    slot = writer.acquire(0.0)
    assert slot not in {slot for _, slot in held}
    put(writer, slot, np.full((20, 30, 3), 4, np.uint8), writer.published, 1)
    assert writer.acquire(0.0) == -1
    assert [sequence for sequence, _ in ring.held(0)] == [0, 1, 2, 3]
    assert (ring.frame(slot) == 4).all()


@pytest.mark.timeout(60)
def test_writers_killed_at_any_moment_never_tear_a_frame() -> None:
    ring, page = FrameRing.create(3, 30000), WorkerPage.create()
    code = """
ring, page = FrameRing.attach(fd[0]), WorkerPage.attach(fd[1])
while True:
    slot, sequence = ring.acquire(600.0), ring.published
    ring.payload(slot)[:] = sequence % 251
    ring.publish(slot, sequence, 100, 100, 300, 3, 0.0, sequence, 1)
    page.notify()
"""
    moments = random.Random(1)
    seen = -1
    for _ in range(5):
        with child(code, ring, page) as process:
            wanted = seen + moments.randrange(20, 400)
            while seen < wanted or process.poll() is None:
                seen_event = page.event
                held = ring.held(0)
                for sequence, slot in held:
                    assert sequence >= seen
                    seen = sequence
                    assert ring.header(slot).captured_ns == sequence
                    assert (ring.frame(slot) == sequence % 251).all()
                    ring.release(slot, 0)
                if seen >= wanted:
                    process.kill()
                    process.wait()
                elif not held:
                    page.wait(seen_event, FOREVER)
    assert ring.published >= seen


@pytest.mark.timeout(60)
def test_a_restarted_consumer_reads_what_the_killed_one_never_released() -> None:
    ring = FaceRing.create(8, [(SIDE, "grey")])
    for level in range(6):
        frame = np.full((9, 9), level, np.uint8)
        assert ring.push(frame, np.array([[4, 4, 5, 0]], np.float32), 0, 0, level, 0, 0, 0)
    code = """
ring = FaceRing.attach(fd[0])
out, keys = np.zeros((4, 5, 5), np.uint8), np.zeros(4, FACE_KEY)
assert ring.gather([(0, out, (0.0,), (1.0,))], keys) == 4
ring.release(1)
print("gathered", flush=True)
time.sleep(600)
"""
    with child(code, ring) as process:
        assert line_of(process) == "gathered"
        process.send_signal(signal.SIGKILL)
        process.wait()
    consumer = FaceRing.attach(os.dup(ring.fd))
    assert (consumer.waiting, ring.free) == (5, 3)
    out, keys = np.zeros((8, SIDE, SIDE), np.uint8), np.zeros(8, FACE_KEY)
    assert consumer.gather([(0, out, (0.0,), (1.0,))], keys) == 5
    assert keys["sequence"][:5].tolist() == out[:5, 0, 0].tolist() == [1, 2, 3, 4, 5]
