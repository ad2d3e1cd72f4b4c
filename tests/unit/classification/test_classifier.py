"""The classifier on the shipped network and on a tiny one of three classes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ferengine.classification.classifier import Classifier
from ferengine.classification.parallel_heads import ParallelClassifier
from ferengine.errors import ModelError, UsageError
from ferengine.models.settings import Prior
from networks_help import read_crops

SIDE, MEAN, STD = 16, 100.0, 50.0
LABELS = ("calm", "loud", "odd")
WEIGHTS = np.random.default_rng(5).normal(0, 0.1, (SIDE * SIDE, len(LABELS))).astype(np.float32)


def write_model(
    folder: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    shape: tuple[Any, ...] = ("n", 1, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    last: tuple[str, ...] = (),
    **changes: Any,
) -> Path:
    """A linear network of three outputs, followed by the operators ``last``, and its manifest."""
    nodes = [
        helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    for number, operator in enumerate(last):
        nodes[-1].output[0] = f"y{number}"
        nodes.append(helper.make_node(operator, [f"y{number}"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (shape[0], len(LABELS)))],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    manifest = {
        "name": "tiny",
        "file": "tiny.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "network": "linear",
        "parameters": WEIGHTS.size,
        "labels": labels,
        "input": {"size": SIDE, "mean": MEAN, "std": STD},
        "training": {"command": "none", "dataset": "none", "split": "none", "epochs": 0, "seed": 0, "machine": "none"},
        "accuracy": {},
        "licence": "MIT",
        "intended_use": "tests",
        **changes,
    }
    (folder / "tiny.json").write_text(json.dumps(manifest))
    path = folder / "tiny.onnx"
    path.write_bytes(data)
    return path


def random_crops(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


def plain_scores(crops: NDArray[np.uint8], temperature: float = 1.0, prior: Any = 1.0) -> NDArray[np.float64]:
    logits = ((crops.astype(np.float64) - MEAN) / STD).reshape(len(crops), -1) @ WEIGHTS / temperature
    exponentials = np.exp(logits) * np.asarray(prior)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier()


def test_nothing_assumes_seven_classes_or_48_pixels(tmp_path: Path) -> None:
    tiny = Classifier(write_model(tmp_path))
    crops = random_crops(9, SIDE)
    assert tiny.labels == LABELS
    assert tiny.input_size == SIDE
    np.testing.assert_allclose(tiny.scores(crops), plain_scores(crops), atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_temperature_divides_the_logits(tmp_path: Path, temperature: float) -> None:
    tiny = Classifier(write_model(tmp_path, temperature=temperature))
    crops = random_crops(9, SIDE)
    np.testing.assert_allclose(tiny.scores(crops), plain_scores(crops, temperature), atol=1e-5)


PRIORS = {"uniform": dict.fromkeys(LABELS, 1 / 3), "noisy": {"calm": 0.01, "loud": 0.9, "odd": 0.09}}


@pytest.mark.parametrize(
    ("chosen", "name", "temperature", "prior"),
    [
        (None, "noisy", 2.0, (0.01, 0.9, 0.09)),
        ("noisy", "noisy", 2.0, (0.01, 0.9, 0.09)),
        ("uniform", "uniform", 3.0, (1, 1, 1)),
        (Prior("given", LABELS, (0.5, 0.25, 0.25)), "given", 3.0, (0.5, 0.25, 0.25)),
        (Prior("adapt", LABELS, (0.01, 0.9, 0.09), start="noisy"), "adapt", 2.0, (0.01, 0.9, 0.09)),
    ],
)
def test_prior_multiplies_the_scores(
    tmp_path: Path, chosen: str | Prior | None, name: str, temperature: float, prior: tuple[float, ...]
) -> None:
    """After the temperature, which does not touch it and is the one that was fitted under it."""
    path = write_model(tmp_path, temperature=3.0, temperatures={"noisy": 2.0}, priors=PRIORS, prior="noisy")
    tiny = Classifier(path, prior=chosen)
    crops = random_crops(9, SIDE)
    assert tiny.prior is not None
    assert tiny.prior.name == name
    np.testing.assert_allclose(tiny.scores(crops), plain_scores(crops, temperature, prior), atol=1e-5)
    assert tiny.scores(crops).dtype == np.float32


def test_prior_of_known_logits(tmp_path: Path) -> None:
    """Equal logits give the prior itself; a logit that is greater by T log 2 doubles its odds."""
    tiny = Classifier(write_model(tmp_path, temperature=2.0, priors=PRIORS, prior="noisy"))
    logits = np.array([[5, 5, 5], [5 + 2 * np.log(2), 5, 5]], np.float32)
    expected = [[0.01, 0.9, 0.09], [0.02 / 1.01, 0.9 / 1.01, 0.09 / 1.01]]
    np.testing.assert_allclose(tiny.probabilities(logits), expected, atol=1e-6)


def test_prior_of_a_model_without_any(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    assert Classifier(path).prior is None
    with pytest.raises(UsageError, match="tiny names no priors"):
        Classifier(path, prior="uniform")


def test_prior_given_in_another_order_or_of_other_labels(tmp_path: Path) -> None:
    path, crops = write_model(tmp_path, priors=PRIORS, prior="noisy"), random_crops(4, SIDE)
    turned = Classifier(path, prior=Prior("turned", LABELS[::-1], (0.09, 0.9, 0.01)))
    assert turned.prior is not None
    assert turned.prior.labels == LABELS
    np.testing.assert_allclose(turned.scores(crops), plain_scores(crops, prior=(0.01, 0.9, 0.09)), atol=1e-5)
    for labels in (LABELS[:1], (*LABELS[:2], "other")):
        even = Prior("even", labels, (1 / len(labels),) * len(labels))
        with pytest.raises(UsageError, match=r"prior even is of .*the model tiny knows calm, loud, odd"):
            Classifier(path, prior=even)
    with pytest.raises(UsageError, match="tiny names no priors"):
        Classifier(write_model(tmp_path), prior=Prior("even", LABELS, (1 / 3, 1 / 3, 1 / 3)))


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.5, 0.5), (float("nan"), 0.5, 0.5)])
def test_prior_of_wrong_probabilities(values: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="prior mine"):
        Prior("mine", LABELS, values)


def test_a_prior_of_other_things_than_text_and_numbers_is_refused() -> None:
    wrong: Any
    for wrong in (("a", "b", "c"), (None, 0.5, 0.5), ("0.2", 0.3, 0.5), (True, 0.5, 0.5), (1e-9, True, 1e-9)):
        with pytest.raises(UsageError, match=r"^prior mine: its probabilities must be numbers, not \("):
            Prior("mine", LABELS, wrong)
    for wrong in (None, 3):
        with pytest.raises(UsageError, match=rf"^the name of a prior is a text, not {type(wrong).__name__}"):
            Prior(wrong, LABELS, (0.2, 0.3, 0.5))


def test_a_prior_may_not_borrow_the_name_of_another(tmp_path: Path) -> None:
    """It would be read at the temperature that was fitted under that other one, and called so in results."""
    path = write_model(tmp_path, priors={"noisy": dict(zip(LABELS, (0.01, 0.9, 0.09), strict=True))}, prior="noisy")
    for borrowed in (Prior("noisy", LABELS, (0.2, 0.3, 0.5)), Prior("adapt", LABELS, (0.2, 0.3, 0.5), start="noisy")):
        with pytest.raises(UsageError, match=r"^prior noisy: the model .* has one of that name, with other probabilities"):
            Classifier(path, prior=borrowed)
    rounded = Prior("noisy", LABELS[::-1], (0.09, 0.9, 0.01))
    assert Classifier(path, prior=rounded).prior == Prior("noisy", LABELS, (0.01, 0.9, 0.09))


@pytest.mark.parametrize("name", ["threads", "max_batch"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2", None, 10**9, 10**400])
def test_numbers_that_are_no_sizes_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} is an integer from 1 to ") as caught:
        Classifier(write_model(tmp_path), **{name: value})
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    "logits", [None, [[0.1]], np.zeros((2, 5), np.float32), np.zeros(3, np.float32), np.zeros((2, 3), int)]
)
def test_what_is_no_logits_is_refused(tmp_path: Path, logits: Any) -> None:
    with pytest.raises(UsageError, match=r"logits are an array of float32 of shape \(N, 3\), not "):
        Classifier(write_model(tmp_path)).probabilities(logits)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_probabilities_are_float32_whatever_the_logits(tmp_path: Path, dtype: Any) -> None:
    logits = np.array([[0.5, -2, 1], [3, 0, 0]])
    with Classifier(write_model(tmp_path)) as classifier:
        found = classifier.probabilities(logits.astype(dtype))
        np.testing.assert_array_equal(found, classifier.probabilities(logits.astype(np.float32)))
    assert found.dtype == np.float32


def test_what_is_called_on_failure_can_be_called(tmp_path: Path) -> None:
    nothing: Any = "log"
    with pytest.raises(UsageError, match=r"^on_failure is a function that takes a text, not str$"):
        Classifier(write_model(tmp_path), on_failure=nothing)


@pytest.mark.parametrize("max_batch", [1, 2, 3, 256])
def test_a_network_is_tried_on_several_faces_whatever_the_batch(tmp_path: Path, max_batch: int) -> None:
    crops = random_crops(4, SIDE)
    scores = Classifier(write_model(tmp_path), max_batch=max_batch).scores(crops)
    np.testing.assert_allclose(scores, plain_scores(crops), atol=1e-5)
    with pytest.raises(ModelError, match="probabilities, not logits: remove its softmax"):
        Classifier(write_model(tmp_path, last=("Softmax",)), max_batch=max_batch)
    with pytest.raises(ModelError, match="scores that are not finite"):
        Classifier(write_model(tmp_path, last=("Log",)), max_batch=max_batch)


def test_prior_of_the_first_of_two_models(tmp_path: Path) -> None:
    path = str(write_model(tmp_path, priors=PRIORS, prior="noisy"))
    crops = random_crops(4, SIDE)
    networks = ParallelClassifier([path, path], prior=Prior("even", LABELS, (1 / 3, 1 / 3, 1 / 3)))
    scores = read_crops(networks, crops)
    np.testing.assert_allclose(scores[:, :3], plain_scores(crops), atol=1e-5)
    np.testing.assert_allclose(scores[:, 3:], plain_scores(crops, prior=(0.01, 0.9, 0.09)), atol=1e-5)


def test_large_logits_do_not_overflow(tmp_path: Path) -> None:
    tiny = Classifier(write_model(tmp_path, temperature=1e-4))
    scores = tiny.scores(random_crops(9, SIDE))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_probabilities(shipped: Classifier) -> None:
    scores = shipped.scores(random_crops(20, 48))
    assert scores.shape == (20, len(shipped.labels))
    assert scores.dtype == np.float32
    assert (scores >= 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_no_crops_give_no_scores(shipped: Classifier) -> None:
    scores = shipped.scores(np.empty((0, 48, 48), np.uint8))
    assert scores.shape == (0, len(shipped.labels))
    assert scores.dtype == np.float32


def test_chunks_equal_one_by_one(shipped: Classifier) -> None:
    crops = random_crops(11, 48)
    alone = np.concatenate([shipped.scores(crop[None]) for crop in crops])
    np.testing.assert_allclose(Classifier(max_batch=4).scores(crops), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("crops", "named"),
    [
        (np.zeros((2, 48, 48), np.float32), "float32"),
        (np.zeros((48, 48), np.uint8), r"\(48, 48\)"),
        (np.zeros((2, 47, 48), np.uint8), r"\(2, 47, 48\)"),
        (np.zeros((2, 1, 48, 48), np.uint8), r"\(2, 1, 48, 48\)"),
        (np.uint8(3), "uint8"),
        ([[1]], "list"),
    ],
)
def test_other_arrays_are_refused(shipped: Classifier, crops: Any, named: str) -> None:
    with pytest.raises(UsageError, match=rf"\(N, 48, 48\), not .*{named}"):
        shipped.scores(crops)


def test_a_network_of_another_width_than_its_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny: its network gives 3 scores.* 2 labels"):
        Classifier(write_model(tmp_path, labels=("calm", "loud")))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (("n", 1, 2 * SIDE, SIDE // 2), TensorProto.FLOAT),
        ((1, 1, SIDE, SIDE), TensorProto.FLOAT),
        (("n", 1, SIDE, SIDE), TensorProto.DOUBLE),
    ],
    ids=["another size", "a fixed batch", "another dtype"],
)
def test_a_network_that_cannot_take_its_manifests_crops_is_refused(tmp_path: Path, shape: Any, kind: int) -> None:
    with pytest.raises(ModelError, match=r"does not run on|must be float32"):
        Classifier(write_model(tmp_path, shape=shape, kind=kind))


def test_a_network_of_another_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one input"):
        Classifier(write_model(tmp_path, shape=("n", SIDE * SIDE)))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, sha256=hashlib.sha256(b"no network").hexdigest())
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"ONNX Runtime .* cannot load"):
        Classifier(path)
