"""The three networks of MTCNN as ONNX graphs, from weights in Keras layout.

Layers after K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
IEEE Signal Processing Letters 23(10), 2016, figure 2, in the widths of the published Caffe models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.models.onnx_package import TensorProto, helper, numpy_helper, onnx

NetworkName = Literal["pnet", "rnet", "onet"]
"""P-Net proposes, R-Net refines, O-Net decides. ``mtcnn_weights._REVISION`` counts the changes of their graphs."""

_OPSET, _IR_VERSION = 17, 8  # the oldest that hold these operators: any ONNX Runtime since 1.12 reads them


def build_network(name: NetworkName, weights: Sequence[NDArray[np.float32]]) -> bytes:
    """The ONNX file of one network; its input and outputs are described in ``mtcnn_networks``.

    Args:
        name: Which network.
        weights: Kernels (height, width, in, out), biases and PReLU slopes in the order of the layers, the heads last: boxes,
            landmarks (O-Net alone), classes.

    Raises:
        ValueError: The weights do not fit the network.
    """
    graph = _Graph(weights)
    {"pnet": _pnet, "rnet": _rnet, "onet": _onet}[name](graph)
    if graph.weights:
        raise ValueError(f"{name} has {len(graph.weights)} arrays of weights too many")
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, graph.inputs, graph.outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _pnet(graph: _Graph) -> None:
    graph.input(["n", 3, "height", "width"])
    graph.conv_prelu()
    graph.pool(2, ceil=True)
    graph.conv_prelu()
    graph.conv_prelu()
    graph.output("boxes", graph.conv(), ["n", 4, "rows", "columns"])
    graph.output("probabilities", graph.face(graph.conv(), np.array([1])), ["n", 1, "rows", "columns"])


def _rnet(graph: _Graph) -> None:
    graph.input(["n", 3, 24, 24])
    graph.conv_prelu()
    graph.pool(3, ceil=True)
    graph.conv_prelu()
    graph.pool(3, ceil=False)
    graph.conv_prelu()
    graph.flatten_dense_prelu()
    graph.output("boxes", graph.dense(), ["n", 4])
    graph.output("probabilities", graph.face(graph.dense(), np.array(1)), ["n"])


def _onet(graph: _Graph) -> None:
    graph.input(["n", 3, 48, 48])
    graph.conv_prelu()
    graph.pool(3, ceil=True)
    graph.conv_prelu()
    graph.pool(3, ceil=False)
    graph.conv_prelu()
    graph.pool(2, ceil=True)
    graph.conv_prelu()
    graph.flatten_dense_prelu()
    graph.output("boxes", graph.dense(), ["n", 4])
    graph.output("landmarks", graph.dense(), ["n", 10])
    graph.output("probabilities", graph.face(graph.dense(), np.array(1)), ["n"])


class _Graph:
    """An ONNX graph under construction; ``top`` is the tensor that the next layer reads.

    ``conv`` and ``dense`` are heads: they leave ``top`` as it is, so that several can read the same features.
    """

    def __init__(self, weights: Sequence[NDArray[np.float32]]) -> None:
        self.weights = list(weights)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.top = "input"

    def input(self, shape: list[int | str]) -> None:
        self.inputs.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, shape))

    def output(self, name: str, tensor: str, shape: list[int | str]) -> None:
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def conv(self) -> str:
        kernel, bias = self._take(), self._take()
        return self._add("Conv", self.top, self._constant(kernel.transpose(3, 2, 0, 1)), self._constant(bias))

    def dense(self) -> str:
        kernel, bias = self._take(), self._take()
        return self._add("Gemm", self.top, self._constant(kernel), self._constant(bias))

    def conv_prelu(self) -> None:
        features = self.conv()
        self.top = self._add("PRelu", features, self._constant(self._take().reshape(-1, 1, 1)))

    def flatten_dense_prelu(self) -> None:
        columns_first = self._add("Transpose", self.top, perm=[0, 3, 2, 1])  # the kernel counts x, y, channel
        self.top = self._add("Flatten", columns_first, axis=1)
        features = self.dense()
        self.top = self._add("PRelu", features, self._constant(self._take()))

    def pool(self, size: int, *, ceil: bool) -> None:
        """``ceil`` is Keras's "same": the last window may reach beyond the edge."""
        self.top = self._add("MaxPool", self.top, kernel_shape=[size, size], strides=[2, 2], ceil_mode=int(ceil))

    def face(self, logits: str, index: NDArray[np.int64]) -> str:
        """The probability of class 1; an ``index`` of one dimension keeps the axis of the classes."""
        return self._add("Gather", self._add("Softmax", logits, axis=1), self._constant(index), axis=1)

    def _take(self) -> NDArray[np.float32]:
        if not self.weights:
            raise ValueError("too few arrays of weights")
        return self.weights.pop(0)

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"tensor{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name
