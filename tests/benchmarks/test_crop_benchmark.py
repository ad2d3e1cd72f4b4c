"""What the classifier's crops cost, beside the loop over OpenCV that they replace, in the same run.

python -m pytest tests/benchmarks/test_crop_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from ferengine._native import crop_faces
from ferengine.vision import cv2

FACES, SIZE = 32, 48
FRAME = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8), (0, 0), 2)


@pytest.fixture(params=[72, 144, 288])
def squares(request: pytest.FixtureRequest) -> NDArray[np.float32]:
    """Whole pixels, so that OpenCV crops the same."""
    side = float(request.param)
    centres = np.random.default_rng(1).integers(160, 560, (FACES, 2)).astype(np.float32)
    return np.column_stack([centres, np.full(FACES, side), np.zeros(FACES)]).astype(np.float32)


@pytest.mark.benchmark(group="32 faces, normalised")
def test_native(benchmark: BenchmarkFixture, squares: NDArray[np.float32]) -> None:
    out = np.empty((FACES, SIZE, SIZE), np.float32)
    benchmark(crop_faces, FRAME, squares, out, 129.5, 65.0)
    np.testing.assert_allclose(out, with_opencv(squares, cv2.INTER_AREA), atol=1.5 / 65)


@pytest.mark.parametrize("interpolation", [cv2.INTER_AREA, cv2.INTER_LINEAR], ids=["area", "bilinear"])
@pytest.mark.benchmark(group="32 faces, normalised")
def test_opencv_loop(benchmark: BenchmarkFixture, squares: NDArray[np.float32], interpolation: int) -> None:
    cv2.setNumThreads(1)
    assert benchmark(with_opencv, squares, interpolation).shape == (FACES, SIZE, SIZE)


def with_opencv(squares: NDArray[np.float32], interpolation: int) -> NDArray[np.float32]:
    crops = []
    for cx, cy, side, _ in squares.astype(int).tolist():
        part = FRAME[cy - side // 2 : cy + side // 2, cx - side // 2 : cx + side // 2]
        small = cv2.resize(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), (SIZE, SIZE), interpolation=interpolation)
        crops.append((small.astype(np.float32) - 129.5) / 65.0)
    return np.stack(crops)
