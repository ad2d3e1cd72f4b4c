"""The answer "uncertain": on by default, decided on the smoothed scores."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine._native import FACE_KEY
from ferengine.classification.labelling import Answer, Labeller
from ferengine.classification.quality import MEASURES
from ferengine.config import make_config
from ferengine.errors import UsageError
from ferengine.results import UNCERTAIN, Face, FrameResult, Timings, UncertainReason, make_expression
from ferengine.runtime.joiner import CameraJoiner, split_batch
from ferengine.sinks.draw import draw_faces
from ferengine.stages.records import CLASSIFIED, Record, ScoreBatch, face_rows
from ferengine.tracking.track import TrackedFace

LABELS = ("angry", "happy", "sad")


def test_on_by_default_and_off_where_the_threshold_is_0() -> None:
    flat = np.full(3, 1 / 3, np.float32)
    assert Labeller(0.25, make_config().min_confidence).decide(flat, None, None) == Answer(None, "low_score")
    assert Labeller(0.25, 0.0).decide(flat, None, None) == Answer(0)


@pytest.mark.parametrize(("best", "reason"), [(0.59, "low_score"), (0.61, None)])
def test_the_smoothed_scores_decide_for_both_labels(best: float, reason: UncertainReason | None) -> None:
    smoothed = np.array([0.1, best, 0.9 - best], np.float32)
    answer = Labeller(0.0, 0.6).decide(smoothed, None, None)
    assert answer.reason == reason
    expression = make_expression(LABELS, [0.05, 0.9, 0.05], smoothed, answer.label, answer.reason)
    assert expression.label == expression.smoothed.label == (UNCERTAIN if reason else "happy")
    assert expression.scores["happy"] == 0.9
    assert expression.to_dict().get("reason") == reason


def test_label_stays_uncertain_until_the_smoothed_scores_agree() -> None:
    joiner = CameraJoiner("cam", False, LABELS, deadline=1.0, smoothing=1.0, min_confidence=0.6)
    flat, sure = [0.34, 0.33, 0.33], [0.02, 0.96, 0.02]
    labels = []
    for sequence, scores in enumerate([flat, sure, sure, sure, sure]):
        _put(joiner, sequence, scores)
        joined = joiner.next_ready(0.0)
        assert joined is not None
        [face] = joined.result.faces
        assert face.expression is not None
        smoothed = max(face.expression.smoothed.scores.values())
        assert (face.expression.label == UNCERTAIN) == (smoothed < 0.6)
        labels.append(face.expression.label)
    assert labels[:2] == [UNCERTAIN, UNCERTAIN]
    assert labels[-1] == "happy"


def _put(joiner: CameraJoiner, sequence: int, scores: list[float]) -> None:
    face = TrackedFace(1, (0, 0, 10, 10), 1.0, 1.0, "tracked", None, (5, 5, 10, 0))
    joiner.add_record(Record(0, 1, sequence, sequence / 4, 1, 2, CLASSIFIED, 0, 0, False, face_rows([face])))
    keys = np.zeros(1, FACE_KEY)
    keys["epoch"], keys["sequence"] = 1, sequence
    for _, number, epoch, index, scored in split_batch(
        ScoreBatch(keys, np.array([scores], np.float32), np.zeros((1, MEASURES), np.float32), 1, 3)
    ):
        joiner.add_scores(number, epoch, index, scored)


def test_it_can_be_drawn() -> None:
    expression = make_expression(LABELS, [0.4, 0.3, 0.3], [0.4, 0.3, 0.3], None, "low_score")
    face = Face(1, (20, 20, 60, 60), 1.0, 1.0, "tracked", None, expression)
    image = np.zeros((240, 320, 3), np.uint8)
    draw_faces(image, FrameResult("cam", 0, 0.0, 1.0, (face,), Timings(0, 0, 0, 0, 0)))
    assert image.any()


@pytest.mark.parametrize("value", [-0.1, 1.0, "much"])
def test_nonsense_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="min_confidence"):
        make_config(min_confidence=value)
