"""The rings in shared memory against plain Python models: random calls in random order."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing, FrameRing, crop_faces
from rings_help import SIDE, put

SLOTS, SLOT_BYTES = 3, 600


class FrameRingMachine(RuleBasedStateMachine):
    """Writer and readers in random order; the model is a list of masks, sequences and images."""

    @initialize()
    def create(self) -> None:
        self.writer = FrameRing.create(SLOTS, SLOT_BYTES)
        self.reader = FrameRing.attach(os.dup(self.writer.fd))
        self.masks = [0] * SLOTS
        self.sequences = [0] * SLOTS
        self.images: list[NDArray[np.uint8] | None] = [None] * SLOTS
        self.next = self.dropped = self.skipped = self.emitted = self.readers = 0

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
        image = np.random.default_rng(self.next).integers(0, 256, shape, np.uint8)
        self.next += skip
        put(self.writer, slot, image, self.next, holds, pad)
        self.masks[slot], self.sequences[slot], self.images[slot] = holds, self.next, image
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

    @rule(slot=st.integers(0, SLOTS - 1), reader=st.integers(0, 3))
    def skip(self, slot: int, reader: int) -> None:
        self.reader.skip(slot, reader)
        self.masks[slot] &= ~(1 << reader)
        self.skipped += 1

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
            assert ring.skipped == self.skipped
            assert (ring.emitted, ring.readers) == (self.emitted, self.readers)
        for reader in (0, 1, 2, 31):
            held = [(self.sequences[i], i) for i in range(SLOTS) if self.masks[i] >> reader & 1]
            assert self.reader.held(reader) == sorted(held)
        for slot, image in enumerate(self.images):
            if self.masks[slot] and image is not None:
                header = self.reader.header(slot)
                assert (header.height, header.width) == image.shape[:2]
                assert header.channels == (image.shape[2] if image.ndim == 3 else 1)
                sequence = self.sequences[slot]
                assert (header.sequence, header.timestamp, header.captured_ns) == (sequence, sequence / 30, sequence * 1000)
                np.testing.assert_array_equal(self.reader.frame(slot), image)


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
