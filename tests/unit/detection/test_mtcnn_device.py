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

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        self.shapes.append(batch.shape)
        return super().run(batch)

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
