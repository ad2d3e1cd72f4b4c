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
from rings_help import put

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


def planes_of(order: str) -> int:
    return 1 if order == "grey" else 3


formats = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["grey", "rgb", "bgr"])), min_size=1, max_size=4)


class FaceRingMachine(RuleBasedStateMachine):
    """Producer and consumer in random order; the model is the list of all crops and two cursors."""

    @initialize(slots=st.integers(1, 7), crops=formats)
    def create(self, slots: int, crops: list[tuple[int, str]]) -> None:
        self.slots, self.crops = slots, crops
        self.producer = FaceRing.create(slots, crops)
        self.consumer = FaceRing.attach(os.dup(self.producer.fd))
        self.faces: list[tuple[tuple[int, ...], list[NDArray[np.uint8]]]] = []
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
            each = [np.empty((count, planes_of(order), side, side), np.uint8) for side, order in self.crops]
            for (_, order), out in zip(self.crops, each, strict=True):
                crop_faces(frame, squares, out, order=order)
            self.faces += [((*key[:3], face, 0, *key[3:]), [out[face] for out in each]) for face in range(count)]

    @rule(room=st.integers(0, 5), start=st.integers(0, 5), single=st.booleans(), mean=st.floats(-10, 200, width=32))
    def gather(self, room: int, start: int, single: bool, mean: float) -> None:
        number = room % len(self.crops)
        side, order = self.crops[number]
        planes = planes_of(order)
        flat = single and order == "grey"
        out = np.full((start + room, side, side) if flat else (start + room, planes, side, side), -7, np.float32)
        keys, means, stds = np.zeros(start + room, FACE_KEY), [mean, 3.0, mean][:planes], [2.5, 1.0, 7.0][:planes]
        got = self.consumer.gather([(number, out, means, stds)], keys, start)
        expected = self.faces[self.cursor : self.cursor + room]
        assert got == len(expected)
        self.cursor += got
        out = out.reshape(-1, planes, side, side)
        for index, (key, crops) in enumerate(expected, start):
            fields = keys[index].tolist()
            assert fields[:7] + fields[8:] == key
            assert 0 < fields[7] <= time.monotonic_ns()
            expected_crop = (crops[number] - np.float32(means)[:, None, None]) / np.float32(stds)[:, None, None]
            np.testing.assert_allclose(out[index], expected_crop, atol=2e-4)
        assert (out[:start] == -7).all()
        assert (out[start + got :] == -7).all()
        assert not keys[:start].tobytes().strip(b"\0")

    @rule(room=st.integers(0, 5))
    def gather_bytes(self, room: int) -> None:
        keys, targets = np.zeros(room, FACE_KEY), []
        for number, (side, order) in enumerate(self.crops):
            planes = planes_of(order)
            targets.append((number, np.zeros((room, planes, side, side), np.uint8), [0.0] * planes, [1.0] * planes))
        got = self.consumer.gather(targets, keys)
        for index, (_, crops) in enumerate(self.faces[self.cursor : self.cursor + got]):
            for (_, out, _, _), crop in zip(targets, crops, strict=True):
                np.testing.assert_array_equal(out[index], crop)
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
        assert (self.producer.slots, self.producer.crops) == (self.slots, self.crops)
        assert self.producer.free == self.slots - (len(self.faces) - self.tail)
        assert self.consumer.waiting == len(self.faces) - self.cursor
        assert (self.consumer.oldest_queued_ns > 0) == (self.consumer.waiting > 0)


TestFrameRingModel = FrameRingMachine.TestCase
TestFaceRingModel = FaceRingMachine.TestCase
TestFrameRingModel.settings = TestFaceRingModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
