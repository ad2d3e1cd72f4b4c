"""Models of several heads, grey or in colour: from the manifest to numbers with names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Analyzer
from ferengine.classification.classifier import Classifier
from ferengine.classification.heads import HeadReader
from ferengine.errors import ModelError, UsageError
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.manifest import CropFormat, Head, Manifest
from ferengine.models.registry import load_model
from heads_help import AGE_GROUP, COLOUR, EXPRESSION, UNITS, write_heads

ALL = [EXPRESSION, COLOUR, UNITS, AGE_GROUP]
RED, BLUE = (140, 160, 220), (220, 160, 140)  # BGR


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """BGR uint8 (512, 512, 3), one face."""
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max())
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities


def test_each_head_is_decoded_as_its_kind_says(tmp_path: Path) -> None:
    classifier = Classifier(write_heads(tmp_path, ALL))
    assert [head.name for head in classifier.heads] == ["expression", "colour", "action_units", "age_group"]
    assert (classifier.labels, classifier.crop) == (("dim", "bright"), CropFormat(24, "rgb"))
    crop = np.empty((1, 3, 24, 24), np.uint8)
    crop[0, :] = np.array([200, 50, 10], np.uint8)[:, None, None]
    [numbers] = classifier.read(crop)
    np.testing.assert_allclose(numbers[:2], softmax(np.array([-1.6, 1.6]) / 0.5), rtol=1e-4)
    np.testing.assert_allclose(numbers[2:5], [200, 50, 10], rtol=1e-4)
    np.testing.assert_allclose(numbers[5:7], 1 / (1 + np.exp(-np.array([4.0, -3.0]) / 2)), rtol=1e-4)
    np.testing.assert_allclose(numbers[7:], softmax(np.array([2.0, 0.5, 0.1])), rtol=1e-4)
    np.testing.assert_array_equal(classifier.scores(crop)[0], numbers[:2])
    with pytest.raises(UsageError, match=r"uint8 array of shape \(N, 3, 24, 24\), not uint8 \(1, 24, 24\)"):
        classifier.scores(crop[:, 0])


def test_values_are_limited_to_their_ranges(tmp_path: Path) -> None:
    narrow = COLOUR | {"ranges": {"red": [0, 100], "green": [60, 255], "blue": [0, 255]}}
    crop = np.broadcast_to(np.array([200, 50, 10], np.uint8)[:, None, None], (1, 3, 24, 24)).copy()
    np.testing.assert_allclose(Classifier(write_heads(tmp_path, [narrow])).read(crop), [[100, 60, 10]], rtol=1e-4)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_numbers_for_each_channel_and_a_white_of_one(tmp_path: Path, order: str) -> None:
    spec = {"size": 24, "channels": 3, "order": order, "white": 1, "mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.4]}
    wide = COLOUR | {"ranges": {name: [-9, 9] for name in ("red", "green", "blue")}}
    model = load_model(write_heads(tmp_path, [wide], order=order, input=spec))
    crop = np.broadcast_to(np.array([200, 50, 10], np.uint8)[:, None, None], (1, 3, 24, 24)).copy()
    expected = (np.array([200, 50, 10]) / 255 - spec["mean"]) / spec["std"]
    np.testing.assert_allclose(Classifier(model.path).read(crop), [expected], rtol=1e-4)
    inside = OrtRunner(model.onnx, normalisation=model.manifest.input.normalisation)
    assert inside.run(crop)["colour"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(("painted", "seen"), [(RED, [220, 160, 140]), (BLUE, [140, 160, 220])])
def test_coloured_faces_reach_the_network_in_its_order(
    tmp_path: Path, order: str, painted: tuple[int, int, int], seen: list[float], portrait: NDArray[np.uint8]
) -> None:
    """A face under coloured light: its colours come out by their names, whatever order the network takes."""
    labels = ["red", "green", "blue"] if order == "rgb" else ["blue", "green", "red"]
    head = COLOUR | {"labels": labels}
    path = write_heads(tmp_path, [head], order=order)
    grey = portrait.mean(axis=2, keepdims=True) / 255
    lit = (grey * np.array(painted)).astype(np.uint8)
    with Analyzer(model=str(path)) as analyzer:
        [face] = analyzer.analyze(lit)
    values = face.heads["colour"].values
    found = np.array([values["red"], values["green"], values["blue"]])
    np.testing.assert_allclose(found / found.max(), np.array(seen) / max(seen), atol=0.03)


def test_a_model_without_expression_reads_its_heads(tmp_path: Path, portrait: NDArray[np.uint8]) -> None:
    path = write_heads(tmp_path, [UNITS, AGE_GROUP], channels=1)
    classifier = Classifier(path)
    assert classifier.labels == ()
    with pytest.raises(UsageError, match="mine has no head expression: it reads action_units, age_group"):
        classifier.scores(np.zeros((1, 24, 24), np.uint8))
    with pytest.raises(UsageError, match="prior uniform: the model mine has no head expression"):
        Classifier(path, prior="uniform")
    with Analyzer(model=str(path)) as analyzer:
        [face] = analyzer.analyze(portrait)
        assert (analyzer.labels, [head.name for head in analyzer.heads]) == ((), ["action_units", "age_group"])
    assert (face.expression, face.reason) == (None, None)
    assert set(face.heads) == {"action_units", "age_group"}
    assert face.quality is not None
    said = json.loads(json.dumps(face.to_dict()))
    assert said["expression"] is None
    assert set(said["heads"]["age_group"]) == {"kind", "label", "values", "smoothed"}
    assert set(said["heads"]["action_units"]["smoothed"]) == {"AU1", "AU12"}


def test_heads_are_smoothed_along_the_track_by_their_own_time() -> None:
    quick, slow = Head(name="a", kind="labels", labels=("x",)), Head(name="b", kind="labels", labels=("x",), smoothing=10)
    reader = HeadReader([quick, slow], smoothing=1.0)
    reader.read(np.array([0, 0], np.float32), track=1, timestamp=0.0)
    found = reader.read(np.array([1, 1], np.float32), track=1, timestamp=1.0)
    assert found["a"].smoothed["x"] == pytest.approx(1 - np.exp(-1))
    assert found["b"].smoothed["x"] == pytest.approx(1 - np.exp(-0.1))
    assert found["a"].values["x"] == 1
    assert reader.read(np.array([1, 1], np.float32), track=2, timestamp=1.0)["b"].smoothed["x"] == 1


def test_a_reading_in_words(tmp_path: Path, portrait: NDArray[np.uint8]) -> None:
    with Analyzer(model=str(write_heads(tmp_path, ALL))) as analyzer:
        [face] = analyzer.analyze(portrait)
    groups, units, colour = face.heads["age_group"], face.heads["action_units"], face.heads["colour"]
    assert groups.label == max(groups.smoothed, key=groups.smoothed.__getitem__)
    assert re.fullmatch(r"(child|adult|old) \d+ %", groups.summary())
    assert units.label is None
    assert units.present == tuple(name for name, value in units.values.items() if value >= 0.5)
    assert units.summary() == (", ".join(units.present) or "none")
    assert re.fullmatch(r"red \S+, green \S+, blue \S+", colour.summary())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no heads and no labels": ({"heads": []}, "name labels, or heads"),
    "a name of two words": ({"heads": [AGE_GROUP | {"name": "age group"}]}, "heads.0.name"),
    "one name twice": ({"heads": [AGE_GROUP, AGE_GROUP]}, "heads must have distinct names"),
    "an unknown kind": ({"heads": [AGE_GROUP | {"kind": "ordinal"}]}, "heads.0.kind"),
    "one class": ({"heads": [AGE_GROUP | {"labels": ["old"]}]}, "two labels or more"),
    "labels twice": ({"heads": [UNITS | {"labels": ["AU1", "AU1"]}]}, "distinct"),
    "values without ranges": ({"heads": [COLOUR | {"ranges": {}}]}, "ranges must give"),
    "a range that falls": ({"heads": [COLOUR | {"ranges": COLOUR["ranges"] | {"red": [1, 0]}}]}, "must rise"),
    "a range without end": ({"heads": [COLOUR | {"ranges": COLOUR["ranges"] | {"red": [0, float("inf")]}}]}, "ranges.red"),
    "ranges of classes": ({"heads": [AGE_GROUP | {"ranges": {"old": [0, 1]}}]}, "ranges belong to heads of values"),
    "a temperature of values": ({"heads": [COLOUR | {"temperature": 2}]}, "temperature belongs"),
    "priors of labels": ({"heads": [UNITS | {"priors": {"p": {"AU1": 0.5, "AU12": 0.5}}, "prior": "p"}]}, "priors belong"),
    "labels beside heads": ({"labels": ["dim", "bright"]}, "labels stands beside heads"),
    "an expression of values": ({"heads": [COLOUR | {"name": "expression"}]}, "of the kind classes, not values"),
    "four channels": ({"input": {"size": 24, "channels": 4, "mean": 0, "std": 1}}, "input.channels"),
    "three means of grey": ({"input": {"size": 24, "mean": [0, 0, 0], "std": 1}}, "one number each"),
    "a size beyond the ring": ({"input": {"size": 1025, "mean": 0, "std": 1}}, "input.size"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_manifest_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    changes, words = REFUSED[case]
    with pytest.raises(ModelError, match=f"is not a manifest: .*{words}") as error:
        load_model(write_heads(tmp_path, [AGE_GROUP], **changes))
    assert "\n" not in str(error.value)


def test_a_manifest_survives_being_written(tmp_path: Path) -> None:
    manifest = load_model(write_heads(tmp_path, ALL)).manifest
    assert (manifest.labels, manifest.temperature) == (("dim", "bright"), 0.5)
    again = Manifest.model_validate_json(json.dumps(manifest.to_json()))
    assert again == manifest
    under = [head | {"temperatures": {}} if head["kind"] == "classes" else head for head in ALL]
    assert load_model(write_heads(tmp_path, under)).manifest == manifest  # as written before there were several
    warmer = Manifest.model_validate_json(json.dumps(manifest.with_temperature(0.75).to_json()))
    assert (warmer.temperature, warmer.outputs[0].temperature, warmer.heads[0].temperature) == (0.75, 0.75, 0.75)


def test_a_network_that_does_not_fit_its_heads_is_refused(tmp_path: Path) -> None:
    data = write_heads(tmp_path, [COLOUR, UNITS]).read_bytes()
    for heads, words in (
        ([COLOUR, AGE_GROUP], "has no output 'age_group' for the head age_group, only colour, action_units"),
        ([COLOUR, UNITS | {"labels": ["AU1"]}], "gives 2 scores as action_units, its manifest names 1 labels of the head"),
        ([COLOUR, UNITS | {"output": "units"}], "has no output 'units'"),
    ):
        with pytest.raises(ModelError, match=f"model mine: its network {words}"):
            Classifier(write_heads(tmp_path, heads, data=data))
    with pytest.raises(ModelError, match="does not run on float32"):
        Classifier(write_heads(tmp_path, [COLOUR, UNITS], data=data, input={"size": 24, "mean": 0, "std": 1}))
    renamed = Classifier(write_heads(tmp_path, [COLOUR, UNITS | {"name": "units", "output": "action_units"}], data=data))
    assert [head.name for head in renamed.heads] == ["colour", "units"]
