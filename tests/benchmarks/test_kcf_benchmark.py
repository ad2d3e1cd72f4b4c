"""What an update of the native tracker costs, beside OpenCV's KCF on the whole frame in the same run.

python -m pytest tests/benchmarks/test_kcf_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from ferengine.results import Box
from ferengine.tracking import KcfTracker, update_all
from ferengine.vision import cv2

Frame = NDArray[np.uint8]
FACE_SIDES = [40, 80, 160, 320]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)


def frames_of(side: int) -> tuple[list[Frame], Box]:
    """A textured face of ``side`` pixels that circles by a tenth of its side: BGR uint8 (1080, 1920, 3)."""
    rng = np.random.default_rng(1)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (1080, 1920, 3), np.uint8), (0, 0), 3)
    face = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    frames = []
    for step in range(12):
        x, y = (round(at + side / 10 * turn(step * np.pi / 6)) for at, turn in ((800, np.cos), (400, np.sin)))
        frame = ground.copy()
        frame[y : y + side, x : x + side] = face
        frames.append(frame)
    return frames, (800 + side / 10, 400.0, float(side), float(side))


@pytest.mark.parametrize("side", FACE_SIDES)
@pytest.mark.benchmark(group="one update")
def test_native(benchmark: BenchmarkFixture, side: int) -> None:
    frames, box = frames_of(side)
    tracker = KcfTracker()
    tracker.init(frames[0], box)
    following = itertools.cycle(range(1, 6))

    def next_frame() -> tuple[tuple[Frame], dict[str, object]]:
        """As in a run: five frames after each new start."""
        index = next(following)
        if index == 1:
            tracker.init(frames[0], box)
        return (frames[index],), {}

    update = benchmark.pedantic(tracker.update, setup=next_frame, rounds=200)
    assert update.confidence > 0.5


@pytest.mark.parametrize("side", FACE_SIDES)
@pytest.mark.benchmark(group="one update")
def test_opencv(benchmark: BenchmarkFixture, side: int) -> None:
    if not hasattr(cv2, "TrackerKCF"):
        pytest.skip("this OpenCV has no KCF: pip install 'opencv-contrib-python<5'")
    frames, box = frames_of(side)
    tracker = cv2.TrackerKCF.create()
    tracker.init(frames[0], tuple(map(int, box)))
    following = itertools.cycle(frames)
    found, _ = benchmark.pedantic(lambda: tracker.update(next(following)), rounds=12, iterations=1, warmup_rounds=1)
    assert found


@pytest.mark.parametrize("faces", [1, 8])
@pytest.mark.benchmark(group="all faces of a frame, 80 px")
def test_together(benchmark: BenchmarkFixture, faces: int) -> None:
    frames, (x, y, w, h) = frames_of(80)
    trackers = [KcfTracker() for _ in range(faces)]
    for index, tracker in enumerate(trackers):
        tracker.init(frames[0], (x + index, y - index, w, h))
    following = itertools.cycle(frames)
    assert len(benchmark(lambda: update_all(trackers, next(following)))) == faces


@pytest.mark.parametrize("side", FACE_SIDES)
@pytest.mark.benchmark(group="init")
def test_init(benchmark: BenchmarkFixture, side: int) -> None:
    frames, box = frames_of(side)
    tracker = KcfTracker()
    benchmark(tracker.init, frames[0], box)
    assert tracker.update(frames[0]).confidence > 0.5
