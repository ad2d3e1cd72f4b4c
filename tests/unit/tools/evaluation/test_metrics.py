"""Measures of a classifier against their definitions, and the temperature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.models.registry import load_model
from ferengine_tools.evaluation.metrics import BINS, expected_calibration_error, measure, softmax
from ferengine_tools.evaluation.temperature import confidence_temperature, fit_temperature, write_temperature

CLASSES = ("a", "b", "c")


def plain_ece(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    total = 0.0
    for index in range(BINS):
        low, high = index / BINS, (index + 1) / BINS
        members = [row for row in range(len(labels)) if low < probabilities[row].max() <= high]
        if members:
            right = sum(probabilities[row].argmax() == labels[row] for row in members) / len(members)
            confidence = sum(probabilities[row].max() for row in members) / len(members)
            total += len(members) / len(labels) * abs(right - confidence)
    return total


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_measures_follow_their_definitions(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet([0.5] * 3, count), rng.integers(0, 3, count)
    found = measure(probabilities, labels, CLASSES)
    predicted = probabilities.argmax(axis=1)
    assert found.accuracy == pytest.approx(np.mean(predicted == labels))
    scores = []
    for index, name in enumerate(CLASSES):
        hits = sum((predicted == index) & (labels == index))
        actual, said = sum(labels == index), sum(predicted == index)
        assert [sum((labels == index) & (predicted == other)) for other in range(3)] == found.confusion[index]
        if actual:
            assert found.recall[name] == pytest.approx(hits / actual, abs=1e-4)
            precision = hits / said if said else 0.0
            recall = hits / actual
            scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
        else:
            assert found.recall[name] is None
    assert found.macro_f1 == pytest.approx(np.mean(scores))
    assert found.nll == pytest.approx(-np.mean(np.log([max(p[y], 1e-12) for p, y in zip(probabilities, labels, strict=True)])))
    assert found.ece == pytest.approx(plain_ece(probabilities, labels), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn(seed: int) -> None:
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (the extra `test`)")
    rng = np.random.default_rng(seed)
    names = tuple("abcde")
    probabilities, labels = rng.dirichlet([0.4] * 5, 60), rng.integers(0, 4, 60)  # no face of the last
    found = measure(probabilities, labels, names)
    predicted, there = probabilities.argmax(axis=1), [0, 1, 2, 3]
    assert found.confusion == reference.confusion_matrix(labels, predicted, labels=range(5)).tolist()
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, labels=there, average="macro"))
    recall = reference.recall_score(labels, predicted, labels=there, average=None)
    assert list(found.recall.values())[:4] == pytest.approx(recall, abs=1e-4)
    assert found.nll == pytest.approx(reference.log_loss(labels, probabilities, labels=range(5)))


@pytest.mark.parametrize(("right", "expected"), [(10, 0.0), (5, 0.5), (0, 1.0)])
def test_calibration_error_of_a_sure_classifier(right: int, expected: float) -> None:
    labels = np.array([0] * right + [1] * (10 - right))
    assert expected_calibration_error(np.tile([1.0, 0.0], (10, 1)), labels) == pytest.approx(expected)


@settings(deadline=None)
@given(arrays(np.float32, (4, 5), elements=st.floats(-80, 80, width=32)), st.floats(0.1, 10))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(logits: NDArray[np.float32], temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.max(axis=1) == probabilities[np.arange(4), logits.argmax(axis=1)]).all()


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 4)).astype(np.float32)
    drawn = (softmax(logits, true).cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    assert fit_temperature(logits, drawn) == pytest.approx(true, rel=0.05)


def test_confidence_is_accuracy_under_a_tempered_prior() -> None:
    """Labels are drawn by a prior; under its square root, faces are read with other confidence than the likeliest."""
    rng = np.random.default_rng(1)
    prior = np.log([0.05, 0.15, 0.8])
    labels = rng.choice(3, 20000, p=np.exp(prior))
    logits = (0.6 * (rng.normal(size=(20000, 3)) + np.eye(3)[labels])).astype(np.float32)
    temperature = confidence_temperature(logits, labels, prior / 2)
    scores = softmax(logits, temperature, prior / 2)
    assert scores.max(axis=1).mean() == pytest.approx(np.mean(scores.argmax(axis=1) == labels), abs=1e-3)
    assert temperature < fit_temperature(logits, labels, prior / 2)
    sure = np.full((4, 2), [50, 0], np.float32)
    assert confidence_temperature(sure, np.zeros(4, np.int64)) == 0.05
    assert confidence_temperature(sure, np.ones(4, np.int64)) == 20


@pytest.mark.parametrize("fit", [fit_temperature, confidence_temperature])
def test_no_faces_give_no_temperature(fit: Any) -> None:
    with pytest.raises(UsageError, match="no faces"):
        fit(np.empty((0, 3), np.float32), np.empty(0, np.int64))


def test_a_temperature_changes_the_manifest_alone(bar_models: Any, tmp_path: Path) -> None:
    path = bar_models.write(tmp_path, temperature=2.0)
    before = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").chmod(0o640)
    assert write_temperature(path, 1.23456) == path.with_suffix(".json")
    assert load_model(path).manifest.temperature == 1.2346
    after = json.loads(path.with_suffix(".json").read_text())
    assert {key: after[key] for key in before if key not in ("temperature", "accuracy", "training", "input")} == {
        key: before[key] for key in before if key not in ("temperature", "accuracy", "training", "input")
    }
    assert path.with_suffix(".json").stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bars.json", "bars.onnx"]


def test_an_installed_model_keeps_its_temperature() -> None:
    with pytest.raises(UsageError, match=r"dscnn is an installed model: name the \.onnx file"):
        write_temperature("dscnn", 2.0)
