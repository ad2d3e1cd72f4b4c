"""The cascade for a GPU, with its networks in ONNX Runtime on the CPU, against the cascade in C++."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_device import MtcnnDeviceDetector, cells, padded
from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.errors import ModelError, UsageError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.sources.demo.portraits import ASTRONAUT

SETTINGS: dict[str, Any] = {"min_face": 30.0, "thresholds": (0.6, 0.7, 0.7), "factor": 0.709}


class Recorder(OrtRunner):
    """Keeps the shapes of the batches."""

    def __init__(self, model: bytes, max_batch: int) -> None:
        super().__init__(model, max_batch=max_batch)
        self.shapes: list[tuple[int, ...]] = []
        self.largest: tuple[int, int] | None = None

    def _compute(self, rows: Any) -> dict[str, NDArray[np.float32]]:
        self.shapes.append(rows.shape)
        return super()._compute(rows)

    def capacity(self, row: tuple[int, ...]) -> int:
        fits = self.largest is None or (row[1] <= self.largest[0] and row[2] <= self.largest[1])
        return super().capacity(row) if fits else 0


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """One image in frames of even and odd sizes, two of them equal, one without a face."""
    image = ASTRONAUT.load()
    padded = np.ascontiguousarray(np.pad(image, ((7, 0), (0, 13), (0, 0))))
    return [
        image,
        padded,
        np.ascontiguousarray(image[:301, :407]),
        image[:, ::-1].copy(),
        np.zeros((90, 120, 3), np.uint8),
    ]


def make(max_batch: int = 64) -> tuple[MtcnnDeviceDetector, dict[Any, Recorder]]:
    runners = {name: Recorder(model, max_batch) for name, model in mtcnn_networks().items()}
    return MtcnnDeviceDetector(runners, **SETTINGS), runners


@pytest.fixture(scope="module")
def native(frames: list[NDArray[np.uint8]]) -> list[Detections]:
    return [MtcnnDetector(**SETTINGS).detect(frame) for frame in frames]


def assert_close(found: list[Detections], expected: list[Detections]) -> Iterator[int]:
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
        assert one.landmarks is not None
        assert other.landmarks is not None
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-2)
        yield len(one)


@pytest.mark.parametrize("max_batch", [64, 3])
def test_many_frames_give_what_each_gives_alone(
    frames: list[NDArray[np.uint8]], native: list[Detections], max_batch: int
) -> None:
    detector, runners = make(max_batch)
    counts = list(assert_close(detector.detect_many(frames), native))
    assert min(counts[:4]) >= 1
    assert counts[4] == 0
    assert max(shape[0] for shape in runners["pnet"].shapes) > 1  # equal frames share batches
    assert all(shape[0] <= max_batch for runner in runners.values() for shape in runner.shapes)
    for name in ("rnet", "onet"):  # all frames in one batch
        assert all(shape[0] == max_batch for shape in runners[name].shapes[:-1])


def test_one_frame_and_none(frames: list[NDArray[np.uint8]], native: list[Detections]) -> None:
    detector, _ = make()
    assert list(assert_close([detector.detect(frames[0])], native[:1])) == [len(native[0])]
    assert detector.detect_many([]) == []
    assert len(detector.detect(np.zeros((11, 40, 3), np.uint8))) == 0
    with pytest.raises(UsageError):
        detector.detect(np.zeros((40, 40), np.uint8))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (-0.6, 0.4)])
@pytest.mark.parametrize("growth", [0.8, 1.25])
def test_near_search_is_that_of_the_cpu(
    frames: list[NDArray[np.uint8]], native: list[Detections], shift: tuple[float, float], growth: float
) -> None:
    """Frames searched everywhere, around known faces and nowhere, all at once, in a fraction of the pixels."""
    known: list[NDArray[np.float32] | None] = [
        np.hstack([found.boxes[:, :2] + np.float32(shift) * found.boxes[:, 2:], found.boxes[:, 2:] * np.float32(growth)])
        for found in native
    ]
    known[1] = None
    known[3] = np.empty((0, 4), np.float32)
    detector, runners = make()
    expected = MtcnnDetector(**SETTINGS).detect_many(frames, known)
    counts = list(assert_close(detector.detect_many(frames, known), expected))
    assert (min(counts[:3]) >= 1, counts[3:]) == (True, [0, 0])
    assert len(detector.detect(frames[0], known[0])) == counts[0]
    searched = sum(int(np.prod(shape)) for shape in runners["pnet"].shapes)
    everywhere, all_runners = make()
    everywhere.detect_many(frames)
    assert searched < 0.6 * sum(int(np.prod(shape)) for shape in all_runners["pnet"].shapes)


@pytest.mark.parametrize("near", [np.zeros(4), np.zeros((1, 5)), np.full((1, 4), np.nan)])
def test_what_are_no_boxes_is_refused(frames: list[NDArray[np.uint8]], near: Any) -> None:
    with pytest.raises(UsageError, match=r"\(n, 4\): x, y, w, h"):
        make()[0].detect(frames[0], near)


@pytest.mark.parametrize("side", range(12, 80))
def test_padding_changes_no_cell(side: int) -> None:
    pnet = OrtRunner(mtcnn_networks()["pnet"])
    level = np.random.default_rng(side).normal(0, 0.5, (1, 3, 14, side)).astype(np.float32)
    alone = pnet.run(level)["probabilities"]
    assert alone.shape[3] == cells(side)
    wide = np.zeros((1, 3, 14, padded(side)), np.float32)
    wide[..., :side] = level
    np.testing.assert_allclose(pnet.run(wide)["probabilities"][..., : cells(side)], alone, atol=1e-6)


@pytest.mark.parametrize("largest", [(96, 4096), (4096, 96), (120, 100)])
def test_levels_that_the_engine_does_not_take_are_cut(
    frames: list[NDArray[np.uint8]], native: list[Detections], largest: tuple[int, int]
) -> None:
    detector, runners = make()
    runners["pnet"].largest = largest
    assert sum(assert_close(detector.detect_many(frames), native)) >= 4
    assert max(shape[2] for shape in runners["pnet"].shapes) <= largest[0]
    assert max(shape[3] for shape in runners["pnet"].shapes) <= largest[1]


def test_images_that_the_engine_does_not_take_are_named(frames: list[NDArray[np.uint8]]) -> None:
    detector, runners = make()
    runners["pnet"].largest = (8, 8)
    with pytest.raises(ModelError, match="pnet cannot take any image"):
        detector.detect(frames[0])
    detector, runners = make()
    runners["rnet"].largest = (8, 8)
    with pytest.raises(ModelError, match="the TensorRT engine of rnet cannot take an image of 24x24 pixels"):
        detector.detect(frames[0])


class Counted(OrtRunner):
    """Computes when it is asked for the outputs, as a GPU with ``depth`` batches in flight may; keeps the order of calls."""

    def __init__(self, model: bytes, depth: int) -> None:
        super().__init__(model)
        self.depth = depth  # type: ignore[misc]
        self.calls = ""
        self._batches: list[NDArray[np.float32]] = []
        self._next: NDArray[np.float32] = np.empty(0, np.float32)

    @property
    def in_flight(self) -> int:
        return len(self._batches)

    def input(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        self._next = np.full(shape, np.nan, np.float32)  # what it holds at first is undefined
        return self._next

    def submit(self, count: int) -> None:
        assert len(self._batches) < self.depth
        self.calls += "s"
        self._batches.append(self._next[:count])

    def collect(self) -> dict[str, NDArray[np.float32]]:
        self.calls += "c"
        [values] = [self.run(self._batches.pop(0))]
        return values


@pytest.mark.parametrize("depth", [1, 2, 64])
def test_levels_are_submitted_before_any_is_waited_for(
    frames: list[NDArray[np.uint8]], native: list[Detections], depth: int
) -> None:
    runners: dict[Any, OrtRunner] = {name: OrtRunner(model) for name, model in mtcnn_networks().items()}
    runners["pnet"] = pnet = Counted(mtcnn_networks()["pnet"], depth)
    detector = MtcnnDeviceDetector(runners, **SETTINGS)
    assert sum(assert_close(detector.detect_many(frames), native)) >= 4
    batches = pnet.calls.count("s")
    first = min(depth, batches)
    assert batches > 10
    assert pnet.calls == "s" * first + "cs" * (batches - first) + "c" * first
    assert pnet.in_flight == 0
