"""A run whose class prior follows each camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ferengine import Engine
from ferengine._native import FACE_KEY
from ferengine.classification.adaptive_prior import MEMORY
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, load_model
from ferengine.models.settings import Prior
from ferengine.runtime.joiner import CameraJoiner, split_batch
from ferengine.sources import parse_source
from ferengine.stages.records import CLASSIFIED, Record, ScoreBatch, face_rows
from ferengine.tracking.track import TrackedFace

LABELS = ("angry", "happy", "sad")
START = (0.2, 0.3, 0.5)


def test_scores_of_a_camera_are_under_its_own_prior() -> None:
    joiners = [CameraJoiner(name, False, LABELS, 1.0, 0.0, prior=Prior("adapt", LABELS, START, "everyday")) for name in "ab"]
    fixed = CameraJoiner("c", False, LABELS, 1.0, 0.0, prior=Prior("everyday", LABELS, START))
    assert fixed.adaptive is None
    for second in range(100):
        shown = _read(joiners[0], second, [0.0, 1.0, 0.0])
    prior = joiners[0].adaptive
    other = joiners[1].adaptive
    assert prior is not None
    assert other is not None
    assert prior.probabilities[1] == pytest.approx(0.3 + 0.7 * (1 - np.exp(-100 / MEMORY)), rel=1e-2)
    np.testing.assert_array_equal(other.probabilities, START)
    before = prior.probabilities
    shown = _read(joiners[0], 100, [0.2, 0.3, 0.5])
    np.testing.assert_allclose(shown, before, rtol=1e-4)  # a face that says nothing has the prior itself
    np.testing.assert_allclose(_read(fixed, 0, [0.2, 0.3, 0.5]), START, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "counts"),
    [({}, True), ({"side": 10.0}, False), ({"measures": (0.5, 100.0, 5.0)}, False), ({"measures": (0.05, 100.0, 50.0)}, False)],
)
def test_faces_that_cannot_be_read_do_not_count(changed: dict[str, Any], counts: bool) -> None:
    """Those of low scores do: Saerens et al. take the posterior of every face."""
    joiner = CameraJoiner("a", False, LABELS, 1.0, 0.9, check_quality=True, prior=Prior("adapt", LABELS, START, "everyday"))
    for second in range(20):
        shown = _read(joiner, second, [0.25, 0.4, 0.35], **changed)  # below 0.9: uncertain
    assert joiner.adaptive is not None
    assert np.array_equal(joiner.adaptive.probabilities, START) != counts
    assert shown[1] == pytest.approx(0.4, abs=1e-3)


def test_summary_says_what_the_prior_of_each_camera_came_to() -> None:
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    with Engine(
        parse_source("demo", name="door", size="320x240", fps=4.0), min_face=30, max_frames=12, prior="adapt"
    ) as engine:
        assert sum(len(result.faces) for result in engine.results())
    started = choose_prior(load_model(DEFAULT).manifest)
    assert started is not None
    summary = engine.summary()
    assert summary["prior"] == {"name": "adapt", "probabilities": started.by_label()}
    own = summary["cameras"]["door"]["prior"]
    assert own is not None
    assert own["name"] == "adapt"
    assert own["probabilities"] == pytest.approx(started.by_label(), rel=0.02)
    assert own["probabilities"] != started.by_label()


READABLE = (0.5, 100.0, 50.0)
"""Sharpness, brightness and contrast."""


def _read(
    joiner: CameraJoiner, second: int, scores: list[float], side: float = 40, measures: tuple[float, float, float] = READABLE
) -> list[float]:
    face = TrackedFace(1, (0, 0, side, side), 1.0, 1.0, "tracked", None, (side / 2, side / 2, side, 0))
    joiner.add_record(Record(0, 1, second, float(second), 1, 2, CLASSIFIED, 0, 0, False, face_rows([face])))
    keys = np.zeros(1, FACE_KEY)
    keys["epoch"], keys["sequence"] = 1, second
    batch = ScoreBatch(keys, np.array([scores], np.float32), np.array([measures], np.float32), 1, 0)
    for _, sequence, epoch, index, scored in split_batch(batch):
        joiner.add_scores(sequence, epoch, index, scored)
    joined = joiner.next_ready(0.0)
    assert joined is not None
    expression = joined.result.faces[0].expression
    assert expression is not None
    return list(expression.scores.values())
