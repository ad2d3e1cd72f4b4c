"""Small ONNX networks for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def linear(network: Callable[[NDArray[np.float32]], NDArray[np.float32]], row: tuple[int, ...], kind: Any = None) -> bytes:
    """A linear function of rows as an ONNX file: "input" (n, *row), of the type ``kind``, by default float32, -> "logits"."""
    size = int(np.prod(row))
    weights = network(np.eye(size, dtype=np.float32).reshape(size, *row))
    nodes = [
        helper.make_node("Cast", ["input"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input", kind or TensorProto.FLOAT, ["n", *row])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
