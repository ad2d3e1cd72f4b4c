"""What the shipped network costs in batches, from crops to probabilities.

python -m pytest tests/benchmarks/test_classifier_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ferengine.classify.classifier import Classifier


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_batch(benchmark: BenchmarkFixture, classifier: Classifier, batch: int) -> None:
    side = classifier.input_size
    crops = np.random.default_rng(0).integers(0, 256, (batch, side, side), np.uint8)
    assert benchmark(classifier.scores, crops).shape == (batch, len(classifier.labels))
