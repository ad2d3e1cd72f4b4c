"""What the way of a face through the engine costs beside the work on it, in one process: ring, record, join.

python -m pytest tests/benchmarks/test_handover_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage
from ferengine.classification.quality import MEASURES
from ferengine.runtime.joiner import CameraJoiner, split_batch
from ferengine.stages.records import CLASSIFIED, Record, ScoreBatch, decode_event, face_rows
from ferengine.tracking.track import TrackedFace

SIDE = 48
LABELS = tuple("abcdefg")


def faces(count: int) -> list[TrackedFace]:
    square = (60.0, 60.0, 48.0, 0.0)
    points = np.zeros((5, 2), np.float32)
    return [TrackedFace(n + 1, (36.0, 36.0, 48.0, 48.0), 0.9, 1.0, "detected", points, square) for n in range(count)]


@pytest.mark.parametrize("count", [1, 8])
def test_face_ring(benchmark: BenchmarkFixture, count: int) -> None:
    """Tracker to classifier, with the crop of a face as small as it gets."""
    ring, page = FaceRing.create(64, [(SIDE, "grey")]), WorkerPage.create()
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    batch, keys = np.empty((64, 1, SIDE, SIDE), np.float32), np.empty(64, FACE_KEY)
    tracked = faces(count)

    def hand_over() -> int:
        squares = np.array([face.region for face in tracked], np.float32)
        assert ring.push(frame, squares, 0, 1, 0, 0, 0, 0)
        page.notify()
        taken = ring.gather([(0, batch, (129.5,), (65.0,))], keys)
        ring.release(taken)
        return taken

    assert benchmark(hand_over) == count


@pytest.mark.parametrize("count", [1, 8])
def test_record_and_scores(benchmark: BenchmarkFixture, count: int) -> None:
    """Tracker and classifier to engine: encoded, decoded, joined into a result."""
    joiner = CameraJoiner("camera", False, LABELS, 0.5, 0.5)
    tracked, keys = faces(count), np.zeros(count, FACE_KEY)
    keys["epoch"], keys["face"] = 1, np.arange(count)
    scores = np.full((count, len(LABELS)), 1 / len(LABELS), np.float32)
    measures = np.zeros((count, MEASURES), np.float32)
    sequences = iter(range(10**9))

    def join() -> int:
        sequence = next(sequences)
        keys["sequence"] = sequence
        message = Record(0, 1, sequence, sequence / 30, 0, 0, CLASSIFIED, 0, 0, False, face_rows(tracked)).encode()
        record, batch = decode_event(message), decode_event(ScoreBatch(keys, scores, measures, 32, 0).encode())
        assert isinstance(record, Record)
        assert isinstance(batch, ScoreBatch)
        joiner.add_record(record)
        for _, number, epoch, face, scored in split_batch(batch):
            joiner.add_scores(number, epoch, face, scored)
        joined = joiner.next_ready(0.0)
        assert joined is not None
        return len(joined.result.faces)

    assert benchmark(join) == count


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080)])
def test_frame_ring(benchmark: BenchmarkFixture, width: int, height: int) -> None:
    """Capture to tracker: the one copy after decoding, and the slot given back."""
    frame = np.zeros((height, width, 3), np.uint8)
    ring = FrameRing.create(8, frame.nbytes)

    def hand_over() -> int:
        slot = ring.acquire(1.0)
        ring.payload(slot).reshape(frame.shape)[:] = frame
        ring.publish(slot, ring.published, width, height, 3 * width, 3, 0.0, 0, 1)
        [(_, held)] = ring.held(0)
        size = ring.frame(held).size
        ring.release(held, 0)
        return size

    assert benchmark(hand_over) == frame.size
