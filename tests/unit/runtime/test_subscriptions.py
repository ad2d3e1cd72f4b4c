"""The queue of one consumer: its policies, and what a full one does to others."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from fractions import Fraction

import pytest

from ferengine._native import FrameRing
from ferengine.errors import UsageError
from ferengine.ipc.frame_loans import FrameLoan, FrameReader, ReaderIds
from ferengine.results import FrameResult, Timings
from ferengine.runtime.subscriptions import Item, Policy, Subscription, Subscriptions, deadline_after
from ferengine.stages.records import FIRST_LOAN_READER
from threads_help import CheckedThread


def _result(frame: int, camera: str = "cam") -> FrameResult:
    return FrameResult(camera, frame, 0.0, 0.0, (), Timings(0, 0, 0, 0, 0))


def _subscription(capacity: int, policy: Policy = "wait", cameras: Sequence[str] | None = None) -> Subscription:
    return Subscription("test", capacity, lambda: None, policy, None if cameras is None else frozenset(cameras))


def _drain(subscription: Subscription) -> list[int]:
    frames = []
    while (item := subscription.take(0)) is not None:
        frames.append(item.result.frame)
    return frames


@pytest.mark.parametrize(
    ("policy", "live", "kept", "held_back"),
    [
        ("wait", True, [3, 4, 5], True),
        ("drop_oldest", True, [3, 4, 5], False),
        ("drop_oldest", False, [3, 4, 5], False),
        ("drop_newest", True, [0, 1, 2], False),
        ("drop_newest", False, [0, 1, 2], False),
    ],
)
def test_a_full_queue_follows_its_policy(policy: Policy, live: bool, kept: list[int], held_back: bool) -> None:
    subscription = _subscription(3, policy)
    for frame in range(6):
        subscription.offer(Item(_result(frame), live))
    assert subscription.holds_back("cam") is held_back
    assert _drain(subscription) == kept
    assert subscription.dropped == 3
    assert not subscription.holds_back("cam")


def test_a_live_camera_never_pushes_out_a_files_results() -> None:
    subscription = _subscription(3)
    for frame in range(3):
        subscription.offer(Item(_result(frame), live=False))
    subscription.offer(Item(_result(10), live=True))
    assert _drain(subscription) == [0, 1, 2]
    for item in (Item(_result(20), live=True), Item(_result(3), live=False), Item(_result(4), live=False)):
        subscription.offer(item)
    subscription.offer(Item(_result(21), live=True))
    assert _drain(subscription) == [3, 4, 21]
    assert subscription.dropped == 2


def test_only_cameras_that_are_wanted_are_held_back() -> None:
    subscriptions = Subscriptions()
    subscriptions.add(_subscription(1, cameras=["door"]))
    subscriptions.add(_subscription(9))
    subscriptions.offer(_result(0, "door"), False, lambda reader: None)
    subscriptions.offer(_result(0, "yard"), False, lambda reader: None)
    first, second = subscriptions.all
    assert first.waiting == 1
    assert second.waiting == 2
    assert subscriptions.holds_back("door")
    assert not subscriptions.holds_back("yard")


def test_files_wait_for_a_consumer_unless_unattended() -> None:
    subscriptions = Subscriptions()
    assert subscriptions.holds_back("cam")
    subscriptions.unattended = True
    assert not subscriptions.holds_back("cam")


def test_drops_of_a_consumer_that_has_left_stay_counted() -> None:
    subscriptions = Subscriptions()
    subscription = _subscription(1, "drop_oldest")
    subscriptions.add(subscription)
    for frame in range(3):
        subscriptions.offer(_result(frame), True, lambda reader: None)
    subscriptions.remove(subscription)
    subscriptions.remove(subscription)
    assert subscriptions.dropped == 2
    assert subscriptions.all == ()


def test_the_end_wakes_a_waiting_consumer() -> None:
    subscription = _subscription(3)

    def consume() -> None:
        with pytest.raises(EOFError):
            subscription.take()

    thread = CheckedThread(consume)
    subscription.end()
    thread.join()


def test_leaving_gives_room_and_takes_nothing_more() -> None:
    made_room = []
    subscription = Subscription("test", 1, lambda: made_room.append(1))
    subscription.offer(Item(_result(0), live=False))
    subscription.discard()
    subscription.offer(Item(_result(1), live=False))
    assert made_room
    assert not subscription.holds_back("cam")
    with pytest.raises(EOFError):
        subscription.take(0)
    assert subscription.dropped == 0


@pytest.mark.parametrize(("capacity", "policy", "named"), [(0, "wait", "1 to 100000"), (1, "sometimes", "drop_oldest")])
def test_nonsense_is_refused(capacity: int, policy: Policy, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        _subscription(capacity, policy)


def _ring(readers: int, frames: int) -> FrameRing:
    ring = FrameRing.create(frames, 12)
    for number in range(frames):
        slot = ring.acquire(0)
        ring.publish(slot, number, 2, 2, 6, 3, 0.0, 1, readers)
    return ring


def test_a_dropped_image_frees_its_slot() -> None:
    ring = _ring(1 << 2, 4)
    reader = FrameReader(2, 2, None)
    subscription = Subscription("test", 2, lambda: None, "drop_oldest", None, reader)
    for sequence, slot in ring.held(2):
        subscription.offer(Item(_result(sequence), True, reader.borrow(ring, slot, sequence)))
    assert [sequence for sequence, _ in ring.held(2)] == [2, 3]
    subscription.discard()
    assert ring.held(2) == []


def test_only_skipped_frames_are_released() -> None:
    ring = _ring(1 << 2 | 1, 6)
    FrameReader(2, 2, None).release_skipped([ring], after=1, before=4)
    assert [sequence for sequence, _ in ring.held(2)] == [0, 1, 4, 5]
    assert len(ring.held(0)) == 6


def test_a_frame_from_before_is_not_on_loan() -> None:
    ring = _ring(1, 2)
    assert FrameReader(2, 2, None).borrow(ring, 0, 0) is None
    assert FrameReader(2, 2, None).borrow(None, 0, 0) is None


def test_a_loan_is_released_once() -> None:
    ring = _ring(1 << 2, 1)
    loan = FrameLoan(ring, 0, 2)
    image = loan.image()
    assert not image.flags.writeable
    loan.release()
    ring.publish(ring.acquire(0), 1, 2, 2, 6, 3, 0.0, 1, 1 << 2)  # the slot's next frame, held by another loan
    loan.release()
    assert [sequence for sequence, _ in ring.held(2)] == [1]
    with pytest.raises(ValueError, match="released"):
        loan.image()


def test_reader_ids_run_out_and_come_back() -> None:
    ids = ReaderIds(FIRST_LOAN_READER)
    taken = [ids.take() for _ in range(29)]
    assert sorted(taken) == list(range(3, 32))
    with pytest.raises(UsageError, match="29 consumers"):
        ids.take()
    ids.release(7)
    ring = _ring(1 << 7 | 1 << 8, 2)  # published by a capture that had not yet seen that 7 has left
    ids.clear_up([ring])
    assert ring.held(7) == []
    assert len(ring.held(8)) == 2
    assert ids.take() == 7


@pytest.mark.parametrize("seconds", [0, 10**400, float("inf"), -(10**400), float("-inf"), Fraction(1, 3)], ids=range(6))
def test_a_timeout_of_any_size_is_a_time(seconds: float) -> None:
    deadline = deadline_after(seconds)
    assert deadline is not None
    left = deadline - time.monotonic()
    assert math.isfinite(left)
    assert (left > 1e8) == (seconds > 1e8)
    assert (left < -1e8) == (seconds < -1e8)
