"""Frames in place, waits and events of the rings within one process."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from ferengine._native import FrameRing, WorkerPage
from rings_help import FOREVER, put


def test_frames_lie_in_the_mapping_and_outlive_the_ring() -> None:
    ring = FrameRing.create(2, 64)
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    put(ring, 1, image, 0, 1)
    frame, low, high = ring.frame(1), ring.address, ring.address + ring.bytes
    first, last = np.lib.array_utils.byte_bounds(frame)
    assert low <= first < last <= high
    assert np.shares_memory(frame, ring.payload(1))
    descriptor = ring.fd
    del ring
    np.testing.assert_array_equal(frame, image)
    os.fstat(descriptor)
    del frame
    with pytest.raises(OSError):  # the last view was the mapping's last owner
        os.fstat(descriptor)


def test_frames_are_read_only() -> None:
    ring = FrameRing.create(1, 64)
    put(ring, 0, np.zeros((4, 4), np.uint8), 0, 1)
    with pytest.raises(ValueError, match="read-only"):
        ring.frame(0)[0, 0] = 1
    ring.payload(0)[:] = 9  # the writer's view is not
    assert (ring.frame(0) == 9).all()


def test_slots_are_used_in_turn() -> None:
    ring = FrameRing.create(3, 4)
    used = []
    for sequence in range(7):
        slot = ring.acquire(0.0)
        used.append(slot)
        put(ring, slot, np.zeros((2, 2), np.uint8), sequence, 0)
    assert used == [0, 1, 2, 0, 1, 2, 0]


def test_closed_is_seen_by_others() -> None:
    ring = FrameRing.create(1, 1)
    other = FrameRing.attach(os.dup(ring.fd))
    ring.close_writer()
    assert other.closed


@pytest.mark.parametrize("timeout", [-1.0, 0.0, float("nan"), float("-inf")])
def test_no_time_is_no_wait(timeout: float) -> None:
    ring, page = FrameRing.create(1, 4), WorkerPage.create()
    put(ring, 0, np.zeros((2, 2), np.uint8), 0, 1)
    assert ring.acquire(timeout) == -1
    assert page.wait(page.event, timeout) is False


@pytest.mark.timeout(60)
@pytest.mark.parametrize("timeout", [FOREVER, 1e30, float("inf")])
def test_waits_without_end_wait(timeout: float) -> None:
    ring, page = FrameRing.create(1, 4), WorkerPage.create()
    put(ring, 0, np.zeros((2, 2), np.uint8), 0, 1)
    later = [threading.Timer(0.1, ring.release, (0, 0)), threading.Timer(0.2, page.notify)]
    for timer in later:
        timer.start()
    assert ring.acquire(timeout) == 0
    assert page.wait(0, timeout) is True
    for timer in later:
        timer.join()


def test_event_and_heartbeat() -> None:
    page = WorkerPage.create()
    other = WorkerPage.attach(os.dup(page.fd))
    assert (other.event, other.heartbeat) == (0, 0.0)
    assert other.wait(0, 0.01) is False
    before = time.monotonic()
    page.beat()
    assert before - 1e-6 <= other.heartbeat <= time.monotonic() + 1e-6
    page.notify()
    assert other.event == 1
    assert other.wait(0, FOREVER) is True
    assert other.wait(1, 0.0) is False
