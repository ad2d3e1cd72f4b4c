"""The expression network, in batches and face by face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.models.backends import FILE_ON_CPU
from ferengine_tools.bench.record import OWN, Metric
from ferengine_tools.bench.timing import timing


def metrics(seconds: float) -> Iterator[Metric]:
    """Microseconds a face at batch 1, 8 and 32, from grayscale crops to probabilities."""
    classifier, plain = Classifier(), Classifier(backend=FILE_ON_CPU)
    side = classifier.input_size
    faces = np.random.default_rng(0).integers(0, 256, (32, side, side), np.uint8)
    for batch in (1, 8, 32):
        crops = faces[:batch]
        ways = {OWN: lambda: classifier.scores(crops)}  # noqa: B023 - called within this round
        if classifier.manifest != plain.manifest:
            ways["float32"] = lambda: plain.scores(crops)  # noqa: B023
        if batch > 1:
            ways["one by one"] = lambda: [classifier.scores(crop[None]) for crop in crops][-1]  # noqa: B023
        for way, work in ways.items():
            taken = timing(work, units=batch, seconds=seconds)
            yield Metric("classifier", f"batch {batch}", way, 1e6 * taken.seconds, "us", taken.spread)
