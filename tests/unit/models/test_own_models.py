"""Models of one's own: what is wrong with one is said in one line when it is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ferengine.classification.classifier import Classifier
from ferengine.errors import FerengineError, ModelError
from ferengine.inference import onnxruntime as providers
from ferengine.models import onnx_fields
from ferengine.models.onnx_fields import has_external_data
from ferengine.models.registry import load_model

SIDE = 16
LABELS = ("calm", "loud")


def write(folder: Path, model: onnx.ModelProto | bytes, **changes: Any) -> Path:
    """The file of a network, and a manifest that fits it but for ``changes``."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    path = folder / "mine.onnx"
    path.write_bytes(data)
    manifest = {
        "name": "mine", "file": "mine.onnx", "sha256": hashlib.sha256(data).hexdigest(), "network": "linear", "parameters": 2,
        "labels": LABELS, "input": {"size": SIDE, "mean": 100.0, "std": 50.0}, "accuracy": {}, "licence": "MIT",
        "training": {"command": "none", "dataset": "none", "split": "none", "epochs": 0, "seed": 0, "machine": "none"},
        "intended_use": "tests",
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps({**manifest, **changes}))
    return path


def linear(weights: Any = None, *, channels: int = 1, output: int = TensorProto.FLOAT) -> onnx.ModelProto:
    values = np.full((channels * SIDE * SIDE, len(LABELS)), 0.01, np.float32) if weights is None else weights
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["floats"]),
        helper.make_node("Cast", ["floats"], ["y"], to=output),
    ]
    return made(nodes, values, channels, output)


def made(nodes: list[Any], weights: Any, channels: int = 1, output: int = TensorProto.FLOAT) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", channels, SIDE, SIDE))],
        [helper.make_tensor_value_info("y", output, ("n", len(LABELS)))],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def endless() -> onnx.ModelProto:
    """A loop that never ends, in front of what it should compute."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still_on"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Constant", [], ["true"], value=helper.make_tensor("true", TensorProto.BOOL, (), [True])),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["first"]),
        helper.make_node("Loop", ["", "true", "first"], ["y"], body=body),
    ]
    return made(nodes, np.zeros((SIDE * SIDE, len(LABELS)), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    weights = np.full((SIDE * SIDE, len(LABELS)), 0.01, np.float32)
    weights[SIDE * SIDE // 2, 0] = value
    with pytest.raises(ModelError, match=r"model mine: .* not finite"):
        Classifier(write(tmp_path, linear(weights)))


def test_a_network_of_colour_crops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model mine: the network does not run on float32 \(5, 1, 16, 16\)") as error:
        Classifier(write(tmp_path, linear(channels=3)))
    assert "\n" not in str(error.value)


def test_scores_of_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"y must be float32 .* not tensor\(double\)"):
        Classifier(write(tmp_path, linear(output=TensorProto.DOUBLE)))


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0}, {"temperature": -1}, {"temperature": float("nan")}, {"temperature": float("inf")},
        {"input": {"size": SIDE, "mean": float("nan"), "std": 1}}, {"input": {"size": SIDE, "mean": 0, "std": 0}},
        {"input": {"size": SIDE, "mean": 0, "std": 1, "channels": 2}},
        {"input": {"size": SIDE, "mean": 0, "std": 1, "white": 2}},
        {"input": {"size": SIDE, "mean": [0, 0, 0], "std": 1}},
        {"input": {"size": SIDE, "mean": 0, "std": [1, 1, 0], "channels": 3}},
        {"input": {"size": SIDE, "mean": 0, "std": float("inf")}},
        {"labels": ["calm"]}, {"labels": ["calm", "calm"]}, {"labels": ["calm", " "]}, {"labels": ["calm", "uncertain"]},
        {"labels": ["calm", "loud\x1b[2J"]},
        {"priors": {"p": {"calm": 0.5, "loud": 0.4}}, "prior": "p"}, {"priors": {"p": {"calm": 1.0, "loud": 0}}, "prior": "p"},
        {"priors": {"p": {"calm": 1.5, "loud": -0.5}}, "prior": "p"}, {"priors": {"p": {"calm": 1.0}}, "prior": "p"},
        {"priors": {"p": {"calm": float("nan"), "loud": 0.5}}, "prior": "p"},
        {"self_test": [[float("nan"), 1.0]]}, {"accuracy": {"public": float("nan")}},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path, linear(), **change)
    with pytest.raises(ModelError, match=r"mine\.json is not a manifest: ") as error:
        Classifier(path)
    assert "\n" not in str(error.value)


NO_MANIFESTS = ("[" * 200_000, '{"name": ' * 100_000, "", "\x00", "[]", '{"name": "mine"}', " " * ((1 << 20) + 1))


@pytest.mark.parametrize("text", NO_MANIFESTS, ids=range(len(NO_MANIFESTS)))
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, linear())
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=r"mine\.json"):
        load_model(path)


def test_weights_in_another_file_are_refused_wherever_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("initialiser", "attribute", "subgraph"):
        model = linear() if place != "subgraph" else endless()
        inside = model.graph
        if place == "attribute":
            constant = helper.make_tensor("c", TensorProto.FLOAT, (2,), [1.0, 2.0])
            inside.node.append(helper.make_node("Constant", [], ["c"], value=constant))
            tensor = inside.node[-1].attribute[0].t
        elif place == "subgraph":
            body = next(node for node in inside.node if node.op_type == "Loop").attribute[0].g
            body.initializer.append(numpy_helper.from_array(np.zeros(2, np.float32), "c"))
            tensor = body.initializer[0]
        else:
            tensor = inside.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        Path("weights.bin").write_bytes(bytes(4 * SIDE * SIDE * len(LABELS)))
        with pytest.raises(ModelError, match=r"mine\.onnx keeps weights in other files"):
            load_model(write(tmp_path, model))


def test_the_fields_are_those_of_onnx() -> None:
    """Every field of ONNX's messages that leads to a tensor is followed, and no other."""
    names = {"model": "ModelProto", "graph": "GraphProto", "node": "NodeProto", "attribute": "AttributeProto",
             "function": "FunctionProto", "training": "TrainingInfoProto", "sparse": "SparseTensorProto",
             "tensor": "TensorProto"}  # fmt: skip
    short = {full: name for name, full in names.items()}
    for name, full in names.items():
        fields = getattr(onnx, full).DESCRIPTOR.fields
        leading = {field.number: short[field.message_type.name] for field in fields
                   if field.message_type is not None and field.message_type.name in short}  # fmt: skip
        assert onnx_fields.FIELDS[name] == leading, name  # type: ignore[index]


@given(st.binary(max_size=64))
def test_any_bytes_are_a_network_or_refused(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        has_external_data(data + b"location")


def test_networks_nested_without_end_are_refused() -> None:
    graph = b"location"  # behind the innermost message, as no field of it
    data = b""
    for _ in range(400):
        data = _field(1, _field(5, _field(6, data)))  # a node, its attribute, the graph in it
    with pytest.raises(ModelError, match="no ONNX file"):
        has_external_data(_field(7, data) + _field(2, graph))


def _field(number: int, value: bytes) -> bytes:
    length, size = b"", len(value)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def test_the_word_alone_is_no_reference() -> None:
    model = linear()
    model.graph.node[0].name = "location"
    assert not has_external_data(model.SerializeToString())
    with pytest.raises(ModelError, match="no ONNX file"):
        has_external_data(b"location, location")


def test_a_network_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_FIRST_RUN", 0.5)
    with pytest.raises(ModelError, match=r"model mine: the network did not finish its first batch within 0\.5 s"):
        Classifier(write(tmp_path, endless()))


def test_a_model_that_is_a_pipe_or_a_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, linear())
    path.with_suffix(".json").unlink()
    os.mkfifo(path.with_suffix(".json"))
    with pytest.raises(ModelError, match=r"mine\.json"):
        load_model(path)


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, linear(np.full((SIDE * SIDE, len(LABELS)), np.nan, np.float32)))
    command = [sys.executable, "-m", "ferengine", "run", "--source", "demo", "--max-frames", "3", "--no-display"]
    done = subprocess.run([*command, "--model", str(path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "mine: its network gives scores that are not finite" in done.stderr
    assert "Traceback" not in done.stderr


def overflowing() -> onnx.ModelProto:
    """The logarithm of the mean crop: no number where that is 0, for crops of the intensity that is subtracted."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["more"]),
        helper.make_node("Abs", ["more"], ["positive"]),
        helper.make_node("Log", ["positive"], ["y"]),
    ]
    return made(nodes, np.array([[1.0, 2.0]], np.float32))


def test_a_face_whose_scores_are_no_numbers_has_none(tmp_path: Path) -> None:
    path = write(tmp_path, overflowing(), input={"size": SIDE, "mean": 120.0, "std": 50.0})
    classifier = Classifier(path)
    scores = classifier.scores(np.stack([np.full((SIDE, SIDE), 120, np.uint8), np.full((SIDE, SIDE), 200, np.uint8)]))
    assert np.isnan(scores[0]).all()  # never a part of them: one rule for what is reported
    assert np.isfinite(scores[1]).all()


def test_all_errors_are_the_packages_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = linear().SerializeToString()
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = rng.integers(0, 256)
        try:
            Classifier(write(tmp_path, bytes(damaged))).close()
        except FerengineError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right
