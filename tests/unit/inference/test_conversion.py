"""Networks in half precision and int8: what they compute, and how they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.errors import ModelError
from ferengine.inference.conversion import is_quantised, to_fp16, to_int8
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.models.registry import load_model

INPUTS = {"dscnn": (1, 48, 48), "pnet": (3, 40, 57), "rnet": (3, 24, 24), "onet": (3, 48, 48)}


def network(name: str) -> bytes:
    return load_model(name).onnx if name == "dscnn" else {**mtcnn_networks()}[name]  # type: ignore[index]


def batch(name: str, count: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 0.6, (count, *INPUTS[name])).astype(np.float32)


def run(model: bytes, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True))


def interface(model: bytes) -> list[tuple[str, int, list[Any]]]:
    graph = onnx.load_from_string(model).graph
    tensors = [(info.name, info.type.tensor_type) for info in [*graph.input, *graph.output]]
    return [(name, kind.elem_type, [d.dim_value or d.dim_param for d in kind.shape.dim]) for name, kind in tensors]


@pytest.mark.parametrize("name", INPUTS)
def test_half_precision_computes_the_same(name: str) -> None:
    expected, found = run(network(name), batch(name)), run(to_fp16(network(name)), batch(name))
    assert found.keys() == expected.keys()
    for output, values in expected.items():
        assert found[output].dtype == np.float32
        np.testing.assert_allclose(found[output], values, atol=4e-3, err_msg=output)


@pytest.mark.parametrize("name", INPUTS)
def test_half_precision_keeps_the_interface_and_halves_the_weights(name: str) -> None:
    before, after = network(name), to_fp16(network(name))
    assert interface(after) == interface(before)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(after).graph.initializer}
    assert TensorProto.FLOAT16 in kinds
    assert TensorProto.FLOAT not in kinds
    assert len(after) < 0.56 * len(before)


def test_probabilities_stay_in_single_precision() -> None:
    graph = onnx.load_from_string(to_fp16(network("rnet"))).graph
    producers = {output: node for node in graph.node for output in node.output}
    [softmax] = [node for node in graph.node if node.op_type == "Softmax"]
    cast = producers[softmax.input[0]]
    assert cast.op_type == "Cast"
    assert cast.attribute[0].i == TensorProto.FLOAT
    node = producers["probabilities"]
    while node is not softmax:
        assert node.op_type != "Cast"  # nothing between the softmax and the output rounds
        node = producers[node.input[0]]


def linear(weights: NDArray[Any], kind: int = TensorProto.FLOAT, extra: tuple[onnx.NodeProto, ...] = ()) -> bytes:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), *extra]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", kind, ["n", len(weights)])],
        [helper.make_tensor_value_info("y", kind, ["n", weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def test_an_output_that_is_also_read_inside() -> None:
    node = helper.make_node("Add", ["y", "y"], ["unused"])
    model = linear(np.eye(4, dtype=np.float32), extra=(node,))
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(run(to_fp16(model), values)["y"], values)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (linear(np.full((2, 2), 7e4, np.float32)), "w reach 7e"),
        (linear(np.eye(2), TensorProto.DOUBLE), "double"),
        (to_fp16(linear(np.eye(2, dtype=np.float32))), "float16"),
    ],
)
def test_networks_that_cannot_be_halved(model: bytes, named: str) -> None:
    with pytest.raises(ModelError, match=named):
        to_fp16(model)


@pytest.fixture(scope="module")
def quantised() -> bytes:
    return to_int8(network("dscnn"), batch("dscnn", 64))


def test_int8_is_close_and_small(quantised: bytes) -> None:
    expected, found = run(network("dscnn"), batch("dscnn"))["logits"], run(quantised, batch("dscnn"))["logits"]
    assert np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    assert len(quantised) < 0.35 * len(network("dscnn"))
    assert interface(quantised) == interface(network("dscnn"))
    assert is_quantised(quantised)
    assert not is_quantised(network("dscnn"))


@pytest.mark.parametrize("count", [1, 31, 33])
def test_int8_takes_any_number_of_faces(count: int) -> None:
    assert is_quantised(to_int8(network("dscnn"), batch("dscnn", count)))


def test_int8_is_symmetric_with_a_scale_a_channel(quantised: bytes) -> None:
    graph = onnx.load_from_string(quantised).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantisers = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert quantisers
    for node in quantisers:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions[0].input[0] == "input"
    assert constants[convolutions[0].input[1]].dtype == np.float32  # what reads the crops is not quantised
    for node in convolutions[1:]:
        [source] = [q for q in quantisers if q.output[0] == node.input[1]]
        weights = constants[source.input[0]]
        assert weights.dtype == np.int8
        assert constants[source.input[1]].shape == (len(weights),)
        assert constants[node.input[2]].dtype == np.float32  # the bias


def test_int8_refuses_what_it_cannot_take(quantised: bytes) -> None:
    with pytest.raises(ModelError, match="already"):
        to_int8(quantised, batch("dscnn"))
    with pytest.raises(ModelError, match="cannot be converted"):
        to_fp16(quantised)
    with pytest.raises(ModelError, match=r"\(0, 1, 48, 48\)"):
        to_int8(network("dscnn"), batch("dscnn", 0))


def test_int8_leaves_the_logits_as_they_are(quantised: bytes) -> None:
    """Rounded to some 200 values they would tie, and the first of the classes would win."""
    graph = onnx.load_from_string(quantised).graph
    [last] = [node for node in graph.node if graph.output[0].name in node.output]
    assert last.op_type == "Gemm"
    assert {tensor.name: tensor.data_type for tensor in graph.initializer}[last.input[1]] == TensorProto.FLOAT
    rows = run(quantised, batch("dscnn", 64))["logits"]
    assert len(np.unique(rows)) == rows.size


def test_large_sums_of_int8_are_exact() -> None:
    """Without VNNI the sum of two products of 8 bits would saturate at 16 bits, if ONNX Runtime were not told otherwise."""
    step, large = np.float32(1 / 127), np.full((8, 16, 1, 1), 127, np.int8)
    constants = {"step": step, "none": np.int8(0), "kernel": large, "steps": np.full(8, step), "nones": np.zeros(8, np.int8),
                 "wide": np.float32(16 / 127)}  # fmt: skip
    text = """n (float[n, 16, 4, 4] x) => (float[n, 8, 4, 4] y) {
        bytes = QuantizeLinear(x, step, none)
        given = DequantizeLinear(bytes, step, none)
        weights = DequantizeLinear<axis = 0>(kernel, steps, nones)
        sums = Conv(given, weights)
        rounded = QuantizeLinear(sums, wide, none)
        y = DequantizeLinear(rounded, wide, none)
    }"""
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    sums = OrtRunner(model.SerializeToString()).run(np.ones((2, 16, 4, 4), np.float32))["y"]
    np.testing.assert_allclose(sums, 16, rtol=1e-5)


@pytest.mark.parametrize("end", ["y = Gemm(means, last, bias)", "z = MatMul(means, last)\n y = Add(z, bias)"])
def test_int8_leaves_the_logits_as_they_are_whose_bias_is_apart(end: str) -> None:
    random = np.random.default_rng(0)
    graph = onnx.parser.parse_graph(f"""n (float[n, 1, 12, 12] x) => (float[n, 7] y) {{
        a = Conv(x, first)
        b = Relu(a)
        c = Conv(b, second)
        pooled = GlobalAveragePool(c)
        means = Flatten(pooled)
        {end}
    }}""")
    shapes = {"first": (8, 1, 3, 3), "second": (16, 8, 3, 3), "last": (16, 7), "bias": (7,)}
    graph.initializer.extend(
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    crops = random.normal(size=(64, 1, 12, 12)).astype(np.float32)
    converted = to_int8(model.SerializeToString(), crops)
    assert is_quantised(converted)
    rows = run(converted, crops)["y"]
    assert all(len(np.unique(column)) == len(crops) for column in rows.T)
