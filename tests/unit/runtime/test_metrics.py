"""How full the batches of a run were, and how old the faces in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ferengine._native import FACE_KEY
from ferengine.classification.quality import MEASURES
from ferengine.runtime.metrics import RunMetrics
from ferengine.stages.records import ScoreBatch


def batch(ages_ms: Sequence[float], capacity: int = 32) -> ScoreBatch:
    keys = np.zeros(len(ages_ms), FACE_KEY)
    keys["queued_ns"] = 10**12 - (np.array(ages_ms) * 1e6).astype(np.int64)
    count = len(ages_ms)
    scores, measures = np.zeros((count, 7), np.float32), np.zeros((count, MEASURES), np.float32)
    return ScoreBatch(keys, scores, measures, capacity, 10**12)


def test_nothing_yet() -> None:
    summary = RunMetrics().batch()
    assert summary["fill_histogram"] == summary["age_ms_histogram"] == {}
    assert summary["mean"] == 0


def test_classes_end_where_their_names_say() -> None:
    metrics = RunMetrics()
    for ages in ([0.5], [1.0], [1.1, 2.0], [5.0, 5.1, 20.0, 501.0, 9000.0]):
        metrics.add_batch(batch(ages))
    summary = metrics.batch()
    assert summary["fill_histogram"] == {"1": 2, "2": 1, "4": 0, "8": 1}
    assert summary["age_ms_histogram"] == {
        "1": 2, "2": 2, "5": 1, "10": 1, "20": 1, "50": 0, "100": 0, "200": 0, "500": 0, "over 500": 2
    }  # fmt: skip
    assert summary["fill"] == round(9 / 4 / 32, 4)


@given(st.lists(st.lists(st.floats(0, 2000), min_size=1, max_size=40), max_size=20))
def test_every_batch_and_face_is_counted_once(runs: list[list[float]]) -> None:
    metrics = RunMetrics()
    for ages in runs:
        metrics.add_batch(batch(ages))
    summary = metrics.batch()
    assert sum(summary["fill_histogram"].values()) == len(runs) == summary["batches"]
    assert sum(summary["age_ms_histogram"].values()) == sum(map(len, runs)) == summary["faces"]
