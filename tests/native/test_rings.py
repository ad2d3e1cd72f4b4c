"""The rings in shared memory against plain Python models, and across processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage, crop_faces

SLOTS, SLOT_BYTES = 3, 600
SIDE = 5
FOREVER = 600.0  # longer than the tests may take: a lost wake-up ends in pytest's timeout


def put(ring: FrameRing, slot: int, picture: NDArray[np.uint8], sequence: int, holds: int, pad: int = 0) -> None:
    """Write a picture whose rows are `pad` bytes apart into a slot and publish it."""
    height, width = picture.shape[:2]
    channels = picture.shape[2] if picture.ndim == 3 else 1
    stride = width * channels + pad
    rows = ring.payload(slot)[: height * stride].reshape(height, stride)
    rows[:, : width * channels] = picture.reshape(height, -1)
    ring.publish(slot, sequence, width, height, stride, channels, sequence / 30, sequence * 1000, holds)


class FrameRingMachine(RuleBasedStateMachine):
    """Writer and readers in random order; the model is a list of masks, sequences and pictures."""

    @initialize()
    def create(self) -> None:
        self.writer = FrameRing.create(SLOTS, SLOT_BYTES)
        self.reader = FrameRing.attach(os.dup(self.writer.fd))
        self.masks = [0] * SLOTS
        self.sequences = [0] * SLOTS
        self.pictures: list[NDArray[np.uint8] | None] = [None] * SLOTS
        self.next = self.dropped = self.emitted = self.readers = 0

    @rule(
        holds=st.integers(0, 2**32 - 1) | st.integers(0, 7),
        shape=st.sampled_from([(4, 6), (1, 1), (10, 20, 3), (3, 9, 3), (20, 3)]),
        pad=st.integers(0, 5),
        skip=st.integers(0, 2),
    )
    def publish(self, holds: int, shape: tuple[int, ...], pad: int, skip: int) -> None:
        if shape == (10, 20, 3):
            pad = 0  # it fills the slot
        slot = self.writer.acquire(0.0)
        if slot == -1:
            assert all(self.masks)
            self.writer.drop()
            self.dropped += 1
            return
        assert self.masks[slot] == 0
        picture = np.random.default_rng(self.next).integers(0, 256, shape, np.uint8)
        self.next += skip
        put(self.writer, slot, picture, self.next, holds, pad)
        self.masks[slot], self.sequences[slot], self.pictures[slot] = holds, self.next, picture
        self.next += 1

    @precondition(lambda self: any(self.masks))
    @rule(slot=st.integers(0, SLOTS - 1))
    def publish_into_a_held_slot(self, slot: int) -> None:
        if self.masks[slot]:
            with pytest.raises(ValueError, match="still held"):
                self.writer.publish(slot, 0, 1, 1, 1, 1, 0.0, 0, 1)

    @rule(slot=st.integers(0, SLOTS - 1), reader=st.integers(0, 3) | st.integers(0, 31))
    def release(self, slot: int, reader: int) -> None:
        self.reader.release(slot, reader)
        self.masks[slot] &= ~(1 << reader)

    @rule(reader=st.integers(0, 3) | st.integers(0, 31))
    def clear_reader(self, reader: int) -> None:
        self.reader.clear_reader(reader)
        self.masks = [mask & ~(1 << reader) for mask in self.masks]

    @rule(emitted=st.integers(0, 2**64 - 1), readers=st.integers(0, 2**32 - 1))
    def control(self, emitted: int, readers: int) -> None:
        self.reader.emitted, self.reader.readers = emitted, readers
        self.emitted, self.readers = emitted, readers

    @rule()
    def new_writer(self) -> None:
        self.writer = FrameRing.attach(os.dup(self.reader.fd))

    @rule()
    def new_reader(self) -> None:
        self.reader = FrameRing.attach(os.dup(self.writer.fd))

    @invariant()
    def equal(self) -> None:
        for ring in (self.writer, self.reader):
            assert (ring.slots, ring.slot_bytes) == (SLOTS, SLOT_BYTES)
            assert (ring.published, ring.dropped, ring.closed) == (self.next, self.dropped, False)
            assert (ring.emitted, ring.readers) == (self.emitted, self.readers)
        for reader in (0, 1, 2, 31):
            held = [(self.sequences[i], i) for i in range(SLOTS) if self.masks[i] >> reader & 1]
            assert self.reader.held(reader) == sorted(held)
        for slot, picture in enumerate(self.pictures):
            if self.masks[slot] and picture is not None:
                header = self.reader.header(slot)
                assert (header.height, header.width) == picture.shape[:2]
                assert header.channels == (picture.shape[2] if picture.ndim == 3 else 1)
                sequence = self.sequences[slot]
                assert (header.sequence, header.timestamp, header.captured_ns) == (sequence, sequence / 30, sequence * 1000)
                np.testing.assert_array_equal(self.reader.frame(slot), picture)


class FaceRingMachine(RuleBasedStateMachine):
    """Producer and consumer in random order; the model is the list of all crops and two cursors."""

    @initialize(slots=st.integers(1, 7))
    def create(self, slots: int) -> None:
        self.slots = slots
        self.producer = FaceRing.create(slots, SIDE)
        self.consumer = FaceRing.attach(os.dup(self.producer.fd))
        self.faces: list[tuple[tuple[int, ...], NDArray[np.uint8]]] = []
        self.cursor = self.tail = self.pushes = 0

    @rule(count=st.integers(0, 9), colour=st.booleans())
    def push(self, count: int, colour: bool) -> None:
        self.pushes += 1
        random_levels = np.random.default_rng(self.pushes)
        frame = random_levels.integers(0, 256, (12, 16, 3) if colour else (12, 16), np.uint8)
        squares = random_levels.uniform(1, 12, (count, 4)).astype(np.float32)
        squares[::2, 3] = 0
        key = (3, self.pushes + 1, self.pushes + 2**40, -5, 2**50, 7)

        if count > self.slots:
            with pytest.raises(ValueError, match="do not fit"):
                self.producer.push(frame, squares, *key)
            return
        fits = count <= self.slots - (len(self.faces) - self.tail)
        assert self.producer.push(frame, squares, *key) is fits
        if fits:
            crops = np.empty((count, SIDE, SIDE), np.uint8)
            crop_faces(frame, squares, crops)
            self.faces += [((*key[:3], face, 0, *key[3:]), crop) for face, crop in enumerate(crops)]

    @rule(room=st.integers(0, 5), start=st.integers(0, 5), single=st.booleans(), mean=st.floats(-10, 200, width=32))
    def gather(self, room: int, start: int, single: bool, mean: float) -> None:
        shape = (start + room, 1, SIDE, SIDE) if single else (start + room, SIDE, SIDE)
        out, keys = np.full(shape, -7, np.float32), np.zeros(start + room, FACE_KEY)
        got = self.consumer.gather(out, keys, mean, 2.5, start)
        expected = self.faces[self.cursor : self.cursor + room]
        assert got == len(expected)
        self.cursor += got
        out = out.reshape(-1, SIDE, SIDE)
        for index, (key, crop) in enumerate(expected, start):
            fields = keys[index].tolist()
            assert fields[:7] + fields[8:] == key
            assert 0 < fields[7] <= time.monotonic_ns()
            np.testing.assert_allclose(out[index], (crop.astype(np.float32) - mean) / 2.5, atol=1e-4)
        assert (out[:start] == -7).all()
        assert (out[start + got :] == -7).all()
        assert not keys[:start].tobytes().strip(b"\0")

    @rule(room=st.integers(0, 5))
    def gather_bytes(self, room: int) -> None:
        out, keys = np.zeros((room, SIDE, SIDE), np.uint8), np.zeros(room, FACE_KEY)
        got = self.consumer.gather(out, keys, 0.0, 1.0)
        for one, (_, crop) in zip(out[:got], self.faces[self.cursor :], strict=False):
            np.testing.assert_array_equal(one, crop)
        self.cursor += got

    @rule(count=st.integers(0, 6))
    def release(self, count: int) -> None:
        if count > self.cursor - self.tail:
            with pytest.raises(ValueError, match="gathered"):
                self.consumer.release(count)
        else:
            self.consumer.release(count)
            self.tail += count

    @rule()
    def new_consumer(self) -> None:
        self.consumer = FaceRing.attach(os.dup(self.producer.fd))
        self.cursor = self.tail  # what was gathered but never released is read again

    @rule()
    def new_producer(self) -> None:
        self.producer = FaceRing.attach(os.dup(self.consumer.fd))

    @invariant()
    def equal(self) -> None:
        assert (self.producer.slots, self.producer.side) == (self.slots, SIDE)
        assert self.producer.free == self.slots - (len(self.faces) - self.tail)
        assert self.consumer.waiting == len(self.faces) - self.cursor
        assert (self.consumer.oldest_queued_ns > 0) == (self.consumer.waiting > 0)


TestFrameRingModel = FrameRingMachine.TestCase
TestFaceRingModel = FaceRingMachine.TestCase
TestFrameRingModel.settings = TestFaceRingModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- frames in place


def test_frames_lie_in_the_mapping_and_outlive_the_ring() -> None:
    ring = FrameRing.create(2, 64)
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    put(ring, 1, picture, 0, 1)
    frame, low, high = ring.frame(1), ring.address, ring.address + ring.bytes
    first, last = np.lib.array_utils.byte_bounds(frame)
    assert low <= first < last <= high
    assert np.shares_memory(frame, ring.payload(1))
    descriptor = ring.fd
    del ring
    np.testing.assert_array_equal(frame, picture)
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


@pytest.mark.parametrize(
    ("slots", "slot_bytes"), [(0, 10), (4097, 10), (1, 0), (1, 2**32 + 1)], ids=["none", "many", "empty", "large"]
)
def test_impossible_frame_rings_are_refused(slots: int, slot_bytes: int) -> None:
    with pytest.raises(ValueError):
        FrameRing.create(slots, slot_bytes)


@pytest.mark.parametrize(("slots", "side"), [(0, 8), (65537, 8), (1, 0), (1, 1025)], ids=["none", "many", "empty", "large"])
def test_impossible_face_rings_are_refused(slots: int, side: int) -> None:
    with pytest.raises(ValueError):
        FaceRing.create(slots, side)


def test_more_memory_than_there_is_is_a_memory_error() -> None:
    # RLIMIT_FSIZE in a child: should the ring ever ask the kernel for so much, this is an OSError there, not a machine
    # without memory
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    FrameRing.create(4096, 2**32)
except Exception as error:
    print(type(error).__name__, error)
"""
    with child(code) as process:
        answer = line_of(process)
    assert answer.startswith("MemoryError")
    assert "shared memory" in answer


@pytest.mark.parametrize(
    ("width", "height", "stride", "channels"),
    [
        (4, 4, 4, 0),
        (1, 1, 5, 5),
        (2, 2, 4, 2),
        (0, 2, 6, 3),
        (2, 0, 6, 3),
        (5, 2, 14, 3),
        (8, 9, 8, 1),
        (2**32 - 1, 2**32 - 1, 2**32 - 1, 1),
    ],
)
def test_frames_that_do_not_fit_are_refused(width: int, height: int, stride: int, channels: int) -> None:
    ring = FrameRing.create(1, 64)
    with pytest.raises(ValueError):
        ring.publish(0, 0, width, height, stride, channels, 0.0, 0, 1)
    assert ring.held(0) == []
    assert ring.published == 0


def test_indices_out_of_range_are_refused() -> None:
    ring = FrameRing.create(2, 64)
    for call in (ring.payload, ring.frame, ring.header):
        with pytest.raises(IndexError):
            call(2)
    with pytest.raises(IndexError):
        ring.publish(2, 0, 1, 1, 1, 1, 0.0, 0, 1)
    for slot, reader in ((2, 0), (0, 32)):
        with pytest.raises(IndexError):
            ring.release(slot, reader)
    with pytest.raises(IndexError):
        ring.held(32)
    with pytest.raises(IndexError):
        ring.clear_reader(32)


@pytest.mark.parametrize("timeout", [-1.0, 0.0, float("nan"), float("-inf")])
def test_no_time_is_no_wait(timeout: float) -> None:
    ring, page = FrameRing.create(1, 4), WorkerPage.create()
    put(ring, 0, np.zeros((2, 2), np.uint8), 0, 1)
    assert ring.acquire(timeout) == -1
    assert page.wait(page.bell, timeout) is False


@pytest.mark.timeout(60)
@pytest.mark.parametrize("timeout", [FOREVER, 1e30, float("inf")])
def test_waits_without_end_wait(timeout: float) -> None:
    ring, page = FrameRing.create(1, 4), WorkerPage.create()
    put(ring, 0, np.zeros((2, 2), np.uint8), 0, 1)
    later = [threading.Timer(0.1, ring.release, (0, 0)), threading.Timer(0.2, page.ring)]
    for timer in later:
        timer.start()
    assert ring.acquire(timeout) == 0
    assert page.wait(0, timeout) is True
    for timer in later:
        timer.join()


# --- bad faces


BAD_GATHERS = {
    "out: double": (TypeError, {"out": np.zeros((2, SIDE, SIDE))}),
    "out: one face": (ValueError, {"out": np.zeros((SIDE, SIDE), np.float32)}),
    "out: other side": (ValueError, {"out": np.zeros((2, SIDE, SIDE + 1), np.float32)}),
    "out: three channels": (ValueError, {"out": np.zeros((2, 3, SIDE, SIDE), np.float32)}),
    "out: strided": (ValueError, {"out": np.zeros((4, SIDE, SIDE), np.float32)[::2]}),
    "keys: other items": (TypeError, {"keys": np.zeros(2, np.int64)}),
    "keys: too short": (ValueError, {"keys": np.zeros(1, FACE_KEY)}),
    "keys: two dimensions": (ValueError, {"keys": np.zeros((2, 1), FACE_KEY)}),
    "keys: strided": (ValueError, {"keys": np.zeros(4, FACE_KEY)[::2]}),
    "start: below 0": (ValueError, {"start": -1}),
    "start: beyond out": (ValueError, {"start": 3}),
    "std: 0": (ValueError, {"std": 0.0}),
    "std: NaN": (ValueError, {"std": float("nan")}),
}


@pytest.mark.parametrize("case", BAD_GATHERS)
def test_bad_gathers_are_refused(case: str) -> None:
    error, changed = BAD_GATHERS[case]
    ring = FaceRing.create(2, SIDE)
    assert ring.push(np.zeros((9, 9), np.uint8), np.array([[4, 4, 5, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    arguments = {"out": np.zeros((2, SIDE, SIDE), np.float32), "keys": np.zeros(2, FACE_KEY), "mean": 0.0, "std": 1.0}
    with pytest.raises(error):
        ring.gather(**arguments | changed)
    assert ring.waiting == 1


def test_a_bad_push_writes_nothing() -> None:
    ring = FaceRing.create(2, SIDE)
    frame = np.zeros((9, 9), np.uint8)
    with pytest.raises(ValueError, match="square 1"):
        ring.push(frame, np.array([[4, 4, 5, 0], [4, 4, 0, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    with pytest.raises(TypeError):
        ring.push(frame.astype(np.float32), np.array([[4, 4, 5, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    assert (ring.free, ring.waiting) == (2, 0)


# --- descriptors


@pytest.mark.parametrize("kind", [FrameRing, FaceRing, WorkerPage])
def test_wrong_descriptors_are_refused_and_closed(kind: type[FrameRing] | type[FaceRing] | type[WorkerPage]) -> None:
    rings = {FrameRing: FrameRing.create(1, 8192), FaceRing: FaceRing.create(1, 48), WorkerPage: WorkerPage.create()}
    wrong = [os.dup(ring.fd) for other, ring in rings.items() if other is not kind]
    wrong += os.pipe()
    with tempfile.NamedTemporaryFile() as full, tempfile.TemporaryFile() as empty:
        full.write(bytes(8192))
        full.flush()
        wrong += [os.dup(full.fileno()), os.dup(empty.fileno()), os.open(full.name, os.O_RDONLY)]
    for descriptor in wrong:
        with pytest.raises(ValueError, match="descriptor"):
            kind.attach(descriptor)
        with pytest.raises(OSError):
            os.fstat(descriptor)
    with pytest.raises(ValueError, match="not open"):
        kind.attach(-1)


@pytest.mark.parametrize("kind", [FrameRing, FaceRing, WorkerPage])
def test_mappings_cannot_be_truncated(kind: type[FrameRing] | type[FaceRing] | type[WorkerPage]) -> None:
    ring = {FrameRing: (1, 8192), FaceRing: (1, 48), WorkerPage: ()}[kind]
    mapping = kind.create(*ring)
    size = os.fstat(mapping.fd).st_size
    for other in (0, size - 64, size + 64):
        with pytest.raises(PermissionError):
            os.ftruncate(mapping.fd, other)


# --- worker pages


def test_bell_and_heartbeat() -> None:
    page = WorkerPage.create()
    other = WorkerPage.attach(os.dup(page.fd))
    assert (other.bell, other.heartbeat) == (0, 0.0)
    assert other.wait(0, 0.01) is False
    before = time.monotonic()
    page.beat()
    assert before - 1e-6 <= other.heartbeat <= time.monotonic() + 1e-6
    page.ring()
    assert other.bell == 1
    assert other.wait(0, FOREVER) is True
    assert other.wait(1, 0.0) is False


# --- across processes


@contextlib.contextmanager
def child(code: str, *mappings: FrameRing | FaceRing | WorkerPage) -> Iterator[subprocess.Popen[str]]:
    """A Python process that inherits the mappings; their descriptors are its arguments."""
    descriptors = [mapping.fd for mapping in mappings]
    lead = "import sys, time\nimport numpy as np\nfrom ferengine._native import *\nfd = [int(a) for a in sys.argv[1:]]\n"
    command = [sys.executable, "-c", lead + code, *map(str, descriptors)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, pass_fds=descriptors, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.timeout(60)
def test_no_wake_up_is_lost_between_processes() -> None:
    there, back = WorkerPage.create(), WorkerPage.create()
    code = """
there, back = WorkerPage.attach(fd[0]), WorkerPage.attach(fd[1])
for seen in range(5000):
    assert there.wait(seen, 600.0)
    back.ring()
print("done")
"""
    with child(code, there, back) as process:
        for seen in range(5000):
            there.ring()
            assert back.wait(seen, FOREVER)
        assert line_of(process) == "done"
    assert (there.bell, back.bell) == (5000, 5000)


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
    page.ring()
"""
    moments = random.Random(1)
    seen = -1
    for _ in range(5):
        with child(code, ring, page) as process:
            wanted = seen + moments.randrange(20, 400)
            while seen < wanted or process.poll() is None:
                bell = page.bell
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
                    page.wait(bell, FOREVER)
    assert ring.published >= seen


@pytest.mark.timeout(60)
def test_a_restarted_consumer_reads_what_the_killed_one_never_released() -> None:
    ring = FaceRing.create(8, SIDE)
    for level in range(6):
        frame = np.full((9, 9), level, np.uint8)
        assert ring.push(frame, np.array([[4, 4, 5, 0]], np.float32), 0, 0, level, 0, 0, 0)
    code = """
ring = FaceRing.attach(fd[0])
out, keys = np.zeros((4, 5, 5), np.uint8), np.zeros(4, FACE_KEY)
assert ring.gather(out, keys, 0.0, 1.0) == 4
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
    assert consumer.gather(out, keys, 0.0, 1.0) == 5
    assert keys["sequence"][:5].tolist() == out[:5, 0, 0].tolist() == [1, 2, 3, 4, 5]
