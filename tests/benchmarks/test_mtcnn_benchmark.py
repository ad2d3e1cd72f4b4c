"""MTCNN in C++ against the plain one over cv2 and ONNX Runtime.

python -m pytest tests/benchmarks/test_mtcnn_benchmark.py --benchmark-enable
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine._native import MtcnnCascade, mtcnn_crops, mtcnn_pyramid
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_weights import read_weights
from ferengine.vision import cv2
from ferengine_tools.bench.scenes import crowd
from oracles.plain_mtcnn import PlainMtcnn
from oracles.plain_mtcnn.sampling import crops, normalise, pyramid

SIZES = {"640x480": (640, 480), "1280x720": (1280, 720)}
BOXES = np.float32([[60 + 5 * i, 40 + 3 * i, 160 + 6 * i, 140 + 4 * i] for i in range(50)])


class Detects(Protocol):
    def detect(self, frame: NDArray[np.uint8]) -> Detections: ...


@pytest.fixture(autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)


@pytest.fixture(scope="module", params=["plain", "native"])
def detector(request: pytest.FixtureRequest) -> Detects:
    return PlainMtcnn(min_face=24) if request.param == "plain" else MtcnnDetector(min_face=24)


@pytest.mark.parametrize("faces", [1, 9])
@pytest.mark.parametrize("size", SIZES)
def test_detection(benchmark: Any, detector: Detects, size: str, faces: int) -> None:
    found = benchmark(detector.detect, crowd(*SIZES[size], faces))
    assert len(found) == faces


def test_near_search(benchmark: Any) -> None:
    detector, frame = MtcnnDetector(min_face=24), crowd(640, 480, 1)
    near = detector.detect(frame).boxes
    assert len(benchmark(detector.detect, frame, near)) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["plain", "native"])
def test_pyramid(benchmark: Any, way: str, size: str) -> None:
    frame = crowd(*SIZES[size], 1)
    if way == "native":
        levels = benchmark(mtcnn_pyramid, frame, 40, 0.709)
    else:
        levels = benchmark(lambda: [normalise(level[None]) for _, level in pyramid(frame, 40, 0.709)])
    assert len(levels) > 5


@pytest.mark.parametrize("side", [24, 48])
@pytest.mark.parametrize("way", ["plain", "native"])
def test_fifty_crops(benchmark: Any, way: str, side: int) -> None:
    frame = crowd(640, 480, 1)
    if way == "native":
        result = benchmark(mtcnn_crops, frame, BOXES, side)
    else:
        result = benchmark(lambda: normalise(crops(frame, BOXES, side)))
    assert len(result) == len(BOXES)


@pytest.mark.parametrize("network", ["pnet", "rnet", "onet"])
@pytest.mark.parametrize("way", ["plain", "native"])
def test_networks(benchmark: Any, way: str, network: str) -> None:
    """P-Net on a level of 192 x 144, R-Net on 50 images, O-Net on 10."""
    count, height, width = {"pnet": (1, 144, 192), "rnet": (50, 24, 24), "onet": (10, 48, 48)}[network]
    images = np.random.default_rng(1).uniform(-1, 1, (count, height, width, 3)).astype(np.float32)
    if way == "plain":
        session = getattr(PlainMtcnn(), network)
        probabilities = benchmark(session.run, ["probabilities"], {"input": images.transpose(0, 3, 1, 2).copy()})[0]
    else:
        weights = [read_weights("pnet"), read_weights("rnet"), read_weights("onet")]
        cascade = MtcnnCascade(*weights, min_face=40, factor=0.709, thresholds=(0.6, 0.7, 0.7), max_candidates=400)
        run = {"pnet": cascade.propose, "rnet": cascade.refine, "onet": cascade.decide}[network]
        probabilities = benchmark(run, images[0] if network == "pnet" else images)[0]
    assert probabilities.size >= count
