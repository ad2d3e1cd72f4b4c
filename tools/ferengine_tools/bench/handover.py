"""Handing faces and frames to another process: through the rings in shared memory, and pickled through
``multiprocessing.Queue``.

Each metric is the processor time of both processes together, for one item, copying included.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage, crop_faces
from ferengine_tools.bench.record import OWN, Metric
from ferengine_tools.bench.scenes import circling

_SIDE = 48
_WARM = 100
_RECEIVER_START = 60.0
_READER = 0


class SentDescriptor:
    """A descriptor that is duplicated for the other process when that is started."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        duplicate: Callable[[int], Any] = DupFd  # untyped, and a function in some versions
        return _as_is, (duplicate(self._descriptor),)

    def detach(self) -> int:
        """The receiver's own descriptor."""
        raise RuntimeError("only the receiver has a descriptor of its own: see __reduce__")


def _as_is(value: Any) -> Any:
    return value


def metrics(seconds: float) -> Iterator[Metric]:
    """Microseconds a face and a frame of 1280x720."""
    faces, frames = round(4000 * seconds) + _WARM, round(200 * seconds) + _WARM
    measures: list[tuple[str, str, Callable[[int], float], int]] = [
        ("one face", OWN, _faces_by_ring, faces),
        ("one face", "multiprocessing.Queue", _faces_by_queue, faces),
        ("1280x720 frame", OWN, _frames_by_ring, frames),
        ("1280x720 frame", "multiprocessing.Queue", _frames_by_queue, frames),
    ]
    for case, way, measure, count in measures:
        yield Metric("hand-over", case, way, 1e6 * measure(count), "us")


def _together(send: Callable[[], object], receiver: Callable[..., None], arguments: tuple[Any, ...], count: int) -> float:
    """Seconds of processor time an item of both processes; ``receiver`` runs in another one."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=receiver, args=(*arguments, count, there), daemon=True)
    process.start()
    there.close()
    if not here.poll(_RECEIVER_START):
        raise RuntimeError("the receiving process did not start")
    here.recv()
    for _ in range(_WARM):
        send()
    started = time.process_time()
    for _ in range(count - _WARM):
        send()
    theirs: float = here.recv()
    ours = time.process_time() - started
    process.join()
    return (ours + theirs) / (count - _WARM)


def _receive(take: Callable[[], int], count: int, pipe: Connection) -> None:
    """Take ``count`` items, and say what all after the first ``_WARM`` cost."""
    pipe.send("ready")
    taken, started = 0, None
    while taken < count:
        if started is None and taken >= _WARM:
            started = time.process_time()
        taken += take()
    pipe.send(time.process_time() - (started or 0.0))


# --- faces


def _faces_by_ring(count: int) -> float:
    [frame, *_], (x, y, w, h) = circling(_SIDE)
    ring, page, room = FaceRing.create(256, [(_SIDE, "grey")]), WorkerPage.create(), WorkerPage.create()
    square = (x + w / 2, y + h / 2, w, 0.0)

    def send() -> None:
        seen = room.event
        squares = np.array([square], np.float32)
        while not ring.push(frame, squares, 0, 1, 0, 0, 0, 0):
            room.wait(seen, 0.05)
            seen = room.event
        page.notify()

    descriptors = tuple(SentDescriptor(each.fd) for each in (ring, page, room))
    return _together(send, _take_faces, descriptors, count)


def _take_faces(
    ring_fd: SentDescriptor, page_fd: SentDescriptor, room_fd: SentDescriptor, count: int, pipe: Connection
) -> None:
    ring = FaceRing.attach(ring_fd.detach())
    page, room = WorkerPage.attach(page_fd.detach()), WorkerPage.attach(room_fd.detach())
    batch, keys = np.empty((32, 1, _SIDE, _SIDE), np.float32), np.empty(32, FACE_KEY)

    def take() -> int:
        seen = page.event
        taken = ring.gather([(0, batch, (129.5,), (65.0,))], keys)
        if taken:
            ring.release(taken)
            room.notify()
        else:
            page.wait(seen, 0.05)
        return taken

    _receive(take, count, pipe)


def _faces_by_queue(count: int) -> float:
    [frame, *_], (x, y, w, h) = circling(_SIDE)
    queue: Any = multiprocessing.get_context("spawn").Queue(256)

    def send() -> None:
        squares = np.array([[x + w / 2, y + h / 2, w, 0]], np.float32)
        crops = np.empty((1, _SIDE, _SIDE), np.uint8)
        crop_faces(frame, squares, crops)
        queue.put((0, 1, 0, 0, 0, crops[0]))

    return _together(send, _take_from_queue, (queue, True), count)


def _take_from_queue(queue: Any, faces: bool, count: int, pipe: Connection) -> None:
    def take() -> int:
        item = queue.get()
        if faces:
            _ = (item[-1].astype(np.float32) - 129.5) / np.float32(65.0)
        return 1

    _receive(take, count, pipe)


# --- frames


def _frames_by_ring(count: int) -> float:
    frame = np.ascontiguousarray(circling(_SIDE)[0][0][:720, :1280])
    height, width, channels = frame.shape
    ring, page = FrameRing.create(8, frame.nbytes), WorkerPage.create()

    def send() -> None:
        slot = -1
        while slot < 0:
            slot = ring.acquire(0.05)
        ring.payload(slot)[: frame.nbytes].reshape(frame.shape)[:] = frame
        ring.publish(slot, ring.published, width, height, width * channels, channels, 0.0, time.monotonic_ns(), 1 << _READER)
        page.notify()

    return _together(send, _take_frames, (SentDescriptor(ring.fd), SentDescriptor(page.fd)), count)


def _take_frames(ring_fd: SentDescriptor, page_fd: SentDescriptor, count: int, pipe: Connection) -> None:
    ring, page = FrameRing.attach(ring_fd.detach()), WorkerPage.attach(page_fd.detach())

    def take() -> int:
        seen = page.event
        held = ring.held(_READER)
        for _, slot in held:
            assert ring.frame(slot).shape[2] == 3
            ring.release(slot, _READER)
        if not held:
            page.wait(seen, 0.05)
        return len(held)

    _receive(take, count, pipe)


def _frames_by_queue(count: int) -> float:
    frame = np.ascontiguousarray(circling(_SIDE)[0][0][:720, :1280])
    queue: Any = multiprocessing.get_context("spawn").Queue(8)
    return _together(lambda: queue.put(frame), _take_from_queue, (queue, False), count)
