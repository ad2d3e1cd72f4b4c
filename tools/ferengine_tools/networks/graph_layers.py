"""The layers with weights of an ONNX graph: convolutions and products, in the order of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ferengine.errors import ModelError


@dataclass(frozen=True)
class Convolution:
    """A convolution; a normalisation after it is folded in.

    Attributes:
        weight: float32 (out, in / groups, height, width).
        bias: float32 (out,).
        strides: Along both axes.
        groups: How many.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strides: tuple[int, ...]
    groups: int

    @property
    def form(self) -> tuple[object, ...]:
        """What a layer of torch must have in common with it."""
        return ("convolution", self.weight.shape, self.strides, self.groups)


@dataclass(frozen=True)
class Product:
    """A matrix product.

    Attributes:
        weight: float32 (out, in).
        bias: float32 (out,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def form(self) -> tuple[object, ...]:
        """What a layer of torch must have in common with it."""
        return ("product", self.weight.shape)


@dataclass(frozen=True)
class Normalisation:
    """A batch normalisation that follows no convolution: y = scale * x + shift.

    Attributes:
        scale: float32 (channels,).
        shift: float32 (channels,).
    """

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    @property
    def form(self) -> tuple[object, ...]:
        """What a layer of torch must have in common with it."""
        return ("normalisation", self.scale.shape)


Layer = Convolution | Product | Normalisation


def read_layers(model: bytes) -> tuple[list[Layer], bool]:
    """Return the layers of an ONNX file, and whether it holds any 16-bit numbers.

    Raises:
        ModelError: The network is quantised, or weights are not in the file.
    """
    graph = onnx.load_model_from_string(model).graph
    if any(node.op_type in ("DequantizeLinear", "QLinearConv", "ConvInteger") for node in graph.node):
        raise ModelError("the network is quantised: load the fp32 or fp16 file that it was made from")
    half = any(each.data_type == onnx.TensorProto.FLOAT16 for each in graph.initializer)
    return list(_Reader(graph).layers()), half


class _Reader:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._nodes = list(graph.node)
        self._constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self._constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type in ("Identity", "Cast") and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]]
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in self._nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def layers(self) -> Iterator[Layer]:
        folded: set[str] = set()
        for node in self._nodes:
            if node.op_type == "Conv":
                layer, norm = self._convolution(node)
                folded |= norm
                yield layer
            elif node.op_type == "Gemm":
                weight = self._constant(node, 1)
                turned = weight if _attribute(node, "transB", 0) else weight.T
                yield Product(turned, self._bias(node, len(turned)))
            elif node.op_type == "MatMul":
                weight = self._constant(node, 1).T
                yield Product(weight, self._added(node, len(weight)))
            elif node.op_type == "BatchNormalization" and node.output[0] not in folded:
                yield Normalisation(*self._affine(node))

    def _convolution(self, node: onnx.NodeProto) -> tuple[Convolution, set[str]]:
        """The layer, and the output of a normalisation that was folded into it."""
        weight = self._constant(node, 1)
        bias, folded = self._bias(node, len(weight)), set()
        users = self._users.get(node.output[0], [])
        if len(users) == 1 and users[0].op_type == "BatchNormalization":
            scale, shift = self._affine(users[0])
            weight, bias = weight * scale[:, None, None, None], bias * scale + shift
            folded.add(users[0].output[0])
        strides = tuple(_attribute(node, "strides", [1] * (weight.ndim - 2)))
        return Convolution(weight, bias, strides, _attribute(node, "group", 1)), folded

    def _affine(self, node: onnx.NodeProto) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scale, shift, mean, variance = (self._constant(node, index) for index in range(1, 5))
        factor = scale / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
        return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)

    def _bias(self, node: onnx.NodeProto, outputs: int) -> NDArray[np.float32]:
        given = len(node.input) > 2 and node.input[2]
        return self._constant(node, 2) if given else np.zeros(outputs, np.float32)

    def _added(self, node: onnx.NodeProto, outputs: int) -> NDArray[np.float32]:
        for user in self._users.get(node.output[0], []):
            for name in user.input if user.op_type == "Add" else ():
                if name in self._constants and self._constants[name].shape == (outputs,):
                    return self._constants[name].astype(np.float32)
        return np.zeros(outputs, np.float32)

    def _constant(self, node: onnx.NodeProto, index: int) -> NDArray[np.float32]:
        name = node.input[index]
        if name not in self._constants:
            raise ModelError(f"the weights {name!r} of the node {node.name or node.op_type!r} are not in the file")
        return self._constants[name].astype(np.float32)


def _attribute(node: onnx.NodeProto, name: str, default: int | float | list[int]):  # type: ignore[no-untyped-def]
    for each in node.attribute:
        if each.name == name:
            return onnx.helper.get_attribute_value(each)
    return default
