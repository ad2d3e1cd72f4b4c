"""What a network costs, read from its ONNX graph."""

from __future__ import annotations

from math import prod

import onnx
from onnx import shape_inference

from ferengine.errors import ModelError

_BY_WEIGHT = {"Conv": 1, "ConvTranspose": 1, "QLinearConv": 3, "ConvInteger": 1}


def multiply_adds(model: bytes) -> int:
    """Count the multiply-adds of convolutions and matrix products for one face; additions, activations and means do not count.

    Args:
        model: An ONNX file.

    Raises:
        ModelError: The graph does not say its shapes.
    """
    graph = onnx.load_model_from_string(model)
    for value in (*graph.graph.input, *graph.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        first.Clear()
        first.dim_value = 1
    del graph.graph.value_info[:]  # of a free batch
    inferred = shape_inference.infer_shapes(graph, data_prop=True).graph
    shapes = {each.name: tuple(each.dims) for each in inferred.initializer}
    for value in (*inferred.input, *inferred.output, *inferred.value_info):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sum(_count(node, shapes) for node in inferred.node)


def _count(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type in _BY_WEIGHT:
        weight = _shape(node.input[_BY_WEIGHT[node.op_type]], node, shapes)
        if node.op_type == "ConvTranspose":
            return prod(_shape(node.input[0], node, shapes)) * prod(weight[1:])
        return prod(_shape(node.output[0], node, shapes)) * prod(weight[1:])
    if node.op_type in ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul"):
        inputs = _shape(node.input[0], node, shapes)
        turned = any(each.name == "transA" and each.i for each in node.attribute)
        return prod(_shape(node.output[0], node, shapes)) * inputs[0 if turned else -1]
    return 0


def _shape(name: str, node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    shape = shapes.get(name, ())
    if not shape or not all(shape):
        raise ModelError(f"the shape of {name!r} at the node {node.name or node.op_type!r} is not in the graph")
    return shape
