"""What the shipped network costs in batches, from crops to probabilities: as it runs here (with AVX2 its int8 form), and in
float32.

python -m pytest tests/benchmarks/test_classifier_benchmark.py --benchmark-enable
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ferengine.classification.classifier import Classifier
from ferengine.models.settings import FILE_ON_CPU


@pytest.mark.parametrize("batch", [1, 8, 32])
@pytest.mark.parametrize("backend", ["auto", FILE_ON_CPU], ids=["as it runs", "float32"])
def test_batch(benchmark: BenchmarkFixture, backend: object, batch: int) -> None:
    classifier = Classifier(backend=backend)  # type: ignore[arg-type]
    side = classifier.input_size
    crops = np.random.default_rng(0).integers(0, 256, (batch, side, side), np.uint8)
    assert benchmark(classifier.scores, crops).shape == (batch, len(classifier.labels))
