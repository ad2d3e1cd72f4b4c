"""Models that were trained without a prior, moved to a uniform one without training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.inference.base import only_output
from ferengine.inference.conversion import to_int8
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.registry import load_model
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.evaluation.metrics import softmax
from ferengine_tools.evaluation.priors import log_frequencies, log_prior
from ferengine_tools.evaluation.sets import fer2013_faces
from ferengine_tools.exporting.fold_prior import convert, fold_prior, main

SHIFT = np.array([0.5, -1.25, 2.0])


def small_network(*, outputs: int = 1) -> bytes:
    """(N, 1, 6, 6) -> convolution -> ReLU -> mean -> Gemm -> (N, 3)."""
    rng = np.random.default_rng(0)
    shapes = {"k": (4, 1, 3, 3), "c": (4,), "w": (3, 4), "b": (3,)}
    nodes = [
        helper.make_node("Conv", ["x", "k", "c"], ["map"]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("ReduceMean", ["positive"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "w", "b"], ["y"], transB=1),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 3)) for name in ("y", "z")[:outputs]]
    if outputs > 1:
        nodes.append(helper.make_node("Relu", ["y"], ["z"]))
    constants = [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, 6, 6))]
    graph = helper.make_graph(nodes, "small", given, values, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def crops(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).normal(size=(count, 1, 6, 6)).astype(np.float32)


def with_quantised_output(model: bytes) -> bytes:
    proto = onnx.load_from_string(model)
    graph = proto.graph
    next(node for node in graph.node if "y" in node.output).output[0] = "plain"
    graph.node.append(helper.make_node("QuantizeLinear", ["plain", "step", "none"], ["integers"]))
    graph.node.append(helper.make_node("DequantizeLinear", ["integers", "step", "none"], ["y"]))
    graph.initializer.append(numpy_helper.from_array(np.float32(0.07), "step"))
    graph.initializer.append(numpy_helper.from_array(np.int8(0), "none"))
    return proto.SerializeToString()


def run(model: bytes, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return only_output(OrtRunner(model).run(batch))


def test_shift_goes_into_the_last_bias() -> None:
    before = small_network()
    after = fold_prior(before, SHIFT)
    np.testing.assert_allclose(run(after, crops(50)), run(before, crops(50)) + SHIFT, atol=1e-5)
    assert [node.op_type for node in onnx.load_from_string(after).graph.node] == ["Conv", "Relu", "ReduceMean", "Gemm"]


def test_shift_of_an_int8_model_is_exact() -> None:
    """A quantised output keeps its steps; a shift that is no multiple of them is added in float."""
    before = with_quantised_output(to_int8(small_network(), crops(64)))
    after = fold_prior(before, SHIFT)
    batch = crops(200)
    assert np.array_equal(run(after, batch), run(before, batch) + SHIFT.astype(np.float32))


def test_shift_of_a_network_without_a_last_bias(bar_models: Any) -> None:
    before = bar_models.linear(np.random.default_rng(0).normal(size=(48 * 48, 3)).astype(np.float32))
    batch = np.random.default_rng(1).normal(size=(9, 1, 48, 48)).astype(np.float32)
    np.testing.assert_allclose(run(fold_prior(before, SHIFT), batch), run(before, batch) + SHIFT, atol=1e-4)


def test_several_outputs_are_refused() -> None:
    with pytest.raises(ModelError, match="2 outputs"):
        fold_prior(small_network(outputs=2), SHIFT)


def test_converted_model_answers_as_before_under_its_training_data(
    bar_models: Any, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = fer2013_faces(bars, "public")
    ordinary = replace(faces, prior="everyday")
    monkeypatch.setattr("ferengine_tools.exporting.metrics.wild_faces", lambda path, split: ordinary)
    old = bar_models.write(tmp_path, gain=0.5, temperature=0.8)
    (tmp_path / "new").mkdir()
    new = tmp_path / "new" / "bars.onnx"
    convert(old, new, bars, tmp_path)
    manifest = load_model(new).manifest
    assert (list(manifest.priors), manifest.prior) == (["uniform", "fer2013", "everyday"], "everyday")
    assert list(manifest.temperatures) == ["fer2013", "everyday"]
    before = Classifier(old, backend=FILE_ON_CPU).logits(faces.images)
    after = Classifier(new, backend=FILE_ON_CPU).logits(faces.images)
    expected = softmax(before, 0.8)
    np.testing.assert_allclose(softmax(after, 0.8, log_prior("fer2013", manifest.labels)), expected, atol=1e-4)
    moved = expected / np.exp(log_frequencies("fer2013", manifest.labels))
    np.testing.assert_allclose(softmax(after, 0.8), moved / moved.sum(axis=1, keepdims=True), atol=1e-4)
    stored = json.loads(new.with_suffix(".json").read_text())["accuracy"]
    assert stored["public"] == 1
    with pytest.raises(UsageError, match="answers under a uniform one already"):
        convert(new, tmp_path / "again.onnx", bars, tmp_path)


def test_the_command_names_what_it_needs(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = str(bar_models.write(tmp_path)), str(tmp_path / "new.onnx")
    assert main([old, new]) == 2
    assert "Missing option '--data'" in capsys.readouterr().err
    assert main([old, new, "--data", str(bars)]) == 2
    assert "--everyday is needed for a model of expression" in capsys.readouterr().err
    assert main([old, str(tmp_path / "new"), "--data", str(bars), "--everyday", str(tmp_path)]) == 2
    assert "must end in .onnx" in capsys.readouterr().err


def test_what_is_there_stays_where_converting_fails(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model is measured before it takes the place of another."""
    old, new = bar_models.write(tmp_path, name="old"), bar_models.write(tmp_path, name="new", gain=2.0)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([str(old), str(new), "--data", str(tmp_path / "absent"), "--everyday", str(tmp_path)]) == 2
    assert "absent is neither fer2013.csv" in capsys.readouterr().err
    variant = bar_models.write(tmp_path, name="old-int8", precision="int8", source_sha256="0" * 64)
    before |= {path: path.read_bytes() for path in (variant, variant.with_suffix(".json"))}
    out = tmp_path / "other-int8.onnx"
    assert main([str(variant), str(out), "--data", str(bars), "--everyday", str(tmp_path)]) == 2
    assert "other.onnx is no fp32 model: convert that first" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
