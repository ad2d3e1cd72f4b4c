"""RetinaFace on MobileNet 0.25 as an ONNX graph, from the weights of an exported one.

Layers after J. Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020: a backbone
(A. Howard et al., "MobileNets", 2017), a feature pyramid, and the context module of SSH (M. Najibi et al., ICCV 2017) at
strides 8, 16 and 32. The graph is made anew, because the exported one computes a layer twice, the probabilities of all priors
although few matter, and everything in float32. The first stage of the backbone is not in it: that runs in C++
(``csrc/retinaface/stem.hpp``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.retinaface_weights import STEM_STRIDES, STRIDES
from ferengine.models.onnx_package import TensorProto, helper, numpy_helper, onnx

Array = NDArray[np.float32]
Range = tuple[float, float]
Layer = tuple[Array, Array]

_OPSET, _IR_VERSION = 13, 7
_SLOPE = 0.1  # of every LeakyReLU
_CHANNELS = 64  # of what the first stage gives
_IN_STEM = 1 + 2 * len(STEM_STRIDES)  # layers
_STAGES = ((2, 1, 1, 1, 1, 1), (2, 1))  # strides of the depthwise layers of the stages that follow it

_RANGES: dict[str, tuple[Range, Range]] = {
    "merge16": ((-0.91, 10.74), (-4.5, 4.33)),
    "merge8": ((-0.73, 6.45), (-6.84, 7.82)),
    "context8": ((-0.7, 7.78), (0.0, 9.98)),
    "context8.1": ((-0.7, 7.78), (-4.84, 4.96)),
    "context8.2": ((-0.49, 4.95), (0.0, 9.98)),
    "context8.3": ((-0.49, 4.95), (-5.51, 4.89)),
    "context8.4": ((-0.55, 4.89), (0.0, 9.98)),
    "context16": ((-0.45, 4.32), (0.0, 9.55)),
    "context16.1": ((-0.45, 4.32), (-4.04, 4.4)),
    "context16.2": ((-0.41, 4.38), (0.0, 9.55)),
    "context16.3": ((-0.41, 4.38), (-4.43, 4.26)),
    "context16.4": ((-0.44, 4.26), (0.0, 9.55)),
    "context32": ((-0.61, 4.75), (0.0, 8.83)),
    "context32.1": ((-0.61, 4.75), (-3.97, 4.46)),
    "context32.2": ((-0.4, 4.47), (0.0, 8.83)),
    "context32.3": ((-0.4, 4.47), (-5.65, 3.59)),
    "context32.4": ((-0.57, 3.58), (0.0, 8.83)),
}
"""Of the convolutions that take integers, what goes in and comes out, as found on 30 photographs of crowds. What is joined to
one map has one range, without what is below 0."""


def stem_layers(exported: bytes) -> list[Layer]:
    """The layers of the first stage, which are not in the graph: the first one, then of each block two.

    Args:
        exported: The ONNX file of yakhyo/retinaface-pytorch, whose batch normalisations are folded into the convolutions.

    Returns:
        Kernels (height, width, in, out) and biases (out,).

    Raises:
        ValueError: The file is of another network.
    """
    return [(kernel.transpose(2, 3, 1, 0), bias) for kernel, bias in _convolutions(_weights(exported))[:_IN_STEM]]


def build_network(exported: bytes, precision: Literal["fp32", "int8"]) -> bytes:
    """The graph as ``retinaface.retinaface_network`` describes it.

    Args:
        exported: As of ``stem_layers``.
        precision: With int8 the convolutions of the feature pyramid and of the context modules take integers. The backbone
            stays: in integers it loses one face in 15.

    Raises:
        ValueError: The file is of another network.
    """
    graph = _Graph(_weights(exported), quantise=precision == "int8")
    tops = _backbone(graph)
    lateral = {stride: graph.convolve(top) for stride, top in tops.items()}
    graph.activate(lateral)
    merged = {32: lateral[32]}
    for stride in (16, 8):
        merged[stride] = graph.merge(f"merge{stride}", lateral[stride], merged[2 * stride])
    for index, stride in enumerate(STRIDES):
        graph.output(f"stride{stride}", graph.head(graph.context(f"context{stride}", merged[stride]), index))
    return graph.finish()


def _backbone(graph: _Graph) -> dict[int, str]:
    """What the three stages give, by stride."""
    top = graph.stem()
    tops = [top]
    for strides in _STAGES:
        for stride in strides:
            top = graph.leaky(graph.convolve(top, stride=stride))
            top = graph.leaky(graph.convolve(top))
        tops.append(top)
    return dict(zip(STRIDES, tops, strict=True))


def _weights(exported: bytes) -> dict[str, Array]:
    return {each.name: numpy_helper.to_array(each) for each in onnx.load_from_string(exported).graph.initializer}


def _convolutions(weights: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """Kernels (out, in, height, width) and biases, in the order in which they were exported."""
    numbers = sorted(int(match[1]) for name in weights if (match := re.fullmatch(r"onnx::Conv_(\d+)", name)))
    if len(numbers) != 2 * 47:
        raise ValueError(f"the network has {len(numbers) / 2:g} convolutions with folded normalisation, not 47")
    return [(weights[f"onnx::Conv_{a}"], weights[f"onnx::Conv_{b}"]) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]


class _Graph:
    """An ONNX graph under construction. Convolutions take the weights in the order in which they were exported."""

    def __init__(self, weights: Mapping[str, Array], *, quantise: bool) -> None:
        self._layers = iter(_convolutions(weights)[_IN_STEM:])
        self._weights = weights
        self._quantise = quantise
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._outputs: list[onnx.ValueInfoProto] = []
        self._integers: dict[str, str] = {}

    def stem(self) -> str:
        """What the first stage gives, whose channels come last: ONNX Runtime reorders them once in any case."""
        return self._add("Transpose", "input", perm=[0, 3, 1, 2])

    def convolve(self, top: str, *, stride: int = 1) -> str:
        kernel, bias = next(self._layers)
        return self._convolution(top, self._constant(kernel), self._constant(bias), kernel, stride)

    def leaky(self, top: str) -> str:
        return self._add("LeakyRelu", top, alpha=_SLOPE)

    def activate(self, tops: dict[int, str]) -> None:
        tops.update({key: self.leaky(top) for key, top in tops.items()})

    def merge(self, name: str, lateral: str, coarse: str) -> str:
        size = self._add("Shape", lateral)  # both have as many channels
        none = self._constant(np.empty(0, np.float32))
        raised = self._add(
            "Resize", coarse, none, none, size,
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return self.leaky(self._integer_convolution(name, self._add("Add", lateral, raised)))

    def context(self, name: str, top: str) -> str:
        """Windows of 3, 5 and 7 pixels, the larger ones by several convolutions of 3."""
        three = self._integer_convolution(name, top)
        stem = self.leaky(self._integer_convolution(f"{name}.1", top))
        five = self._integer_convolution(f"{name}.2", stem)
        deeper = self.leaky(self._integer_convolution(f"{name}.3", stem))
        seven = self._integer_convolution(f"{name}.4", deeper)
        together = self._add("Concat", three, five, seven, axis=1)
        if self._quantise:  # the convolutions make no bytes for what is below 0: that is the Relu
            return self._quantised(together, _RANGES[name][1])
        return self._add("Relu", together)

    def head(self, top: str, index: int) -> str:
        """All predictions of a stride by one convolution; see csrc/retinaface/decode.hpp for the order of its channels."""
        heads = [self._head_weights(name, index) for name in ("class_head", "bbox_head", "landmark_head")]
        kernel, bias = (np.concatenate([part[i] for part in heads], axis=1) for i in (0, 1))
        kernel = kernel.reshape(-1, *kernel.shape[2:])
        return self._convolution(top, self._constant(kernel), self._constant(bias.reshape(-1)), kernel, 1)

    def output(self, name: str, tensor: str) -> None:
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        shape: list[int | str | None] = ["n", 30, f"rows_{name}", f"columns_{name}"]
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def finish(self) -> bytes:
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", "rows", "columns", _CHANNELS])
        model = helper.make_model(
            helper.make_graph(self._nodes, "retinaface", [given], self._outputs, list(self._constants.values())),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _head_weights(self, name: str, index: int) -> tuple[Array, Array]:
        """Kernel (2, channels of a prior, 64, 1, 1) and bias (2, channels of a prior); of the classes their difference."""
        kernel, bias = (self._weights[f"{name}.{name}.{index}.{part}"] for part in ("weight", "bias"))
        kernel, bias = kernel.reshape(2, -1, *kernel.shape[1:]), bias.reshape(2, -1)
        return (kernel[:, 1:] - kernel[:, :1], bias[:, 1:] - bias[:, :1]) if name == "class_head" else (kernel, bias)

    def _integer_convolution(self, name: str, top: str) -> str:
        """A convolution in integers where the graph is quantised: one scale an output channel, and weights of 7 bits, from -64
        to 64. The sum of two of their products with bytes fits into 16 bits: without VNNI processors sum them so, and ONNX
        Runtime takes a quarter more time for wider weights. The same faces are found.
        """
        if not self._quantise:
            return self.convolve(top)
        kernel, bias = next(self._layers)
        (given, made) = _RANGES[name]
        scales = (np.abs(kernel).max(axis=(1, 2, 3)) / 64).astype(np.float32)
        integers = np.round(kernel / scales[:, None, None, None]).astype(np.int8)
        scale, _ = _quantisation(given)
        weight = self._add(
            "DequantizeLinear", self._constant(integers), self._constant(scales),
            self._constant(np.zeros(len(scales), np.int8)), axis=0,
        )  # fmt: skip
        steps = (scales * scale).astype(np.float32)
        sums = self._add(
            "DequantizeLinear", self._constant(np.round(bias / steps).astype(np.int32)), self._constant(steps),
            self._constant(np.zeros(len(scales), np.int32)), axis=0,
        )  # fmt: skip
        return self._quantised(self._convolution(self._quantised(top, given), weight, sums, kernel, 1), made)

    def _quantised(self, top: str, values: Range) -> str:
        """``top`` in integers and back: ONNX Runtime joins what lies between two of these."""
        if top not in self._integers:
            scale, zero = (self._constant(value) for value in _quantisation(values))
            self._integers[top] = self._add("DequantizeLinear", self._add("QuantizeLinear", top, scale, zero), scale, zero)
        return self._integers[top]

    def _convolution(self, top: str, weight: str, bias: str, kernel: Array, stride: int) -> str:
        side = kernel.shape[2]
        return self._add(
            "Conv", top, weight, bias, kernel_shape=[side, side], strides=[stride, stride], pads=[side // 2] * 4,
            group=kernel.shape[0] if kernel.shape[1] == 1 else 1,
        )  # fmt: skip

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"tensor{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _quantisation(values: Range) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The scale and the zero point of bytes for these values."""
    low, high = values
    scale = (high - low) / 255
    return np.array(scale, np.float32), np.array(round(-low / scale), np.uint8)
