"""A network in another precision: ONNX in, ONNX out, without torch.

TensorRT 11 and later take the precision of each layer from the network itself, so an engine of half precision is built
from a file of half precision, and one of int8 from a file with QuantizeLinear and DequantizeLinear nodes. Inputs and
outputs stay float32, unless the input becomes uint8 crops (``with_normalisation``).
"""

from __future__ import annotations

from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.models.manifest import Normalisation
from ferengine.models.onnx_package import TensorProto, helper, numpy_helper, onnx

_SINGLE = {"Softmax", "LogSoftmax", "ReduceMean", "ReduceSum", "GlobalAveragePool"}
"""Computed in float32: sums over many values, and probabilities whose last digits decide about thresholds."""

_TRANSPARENT = {"Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
"""Moves values and keeps the type of its first input."""

_UNSUPPORTED = {"DequantizeLinear", "If", "Loop", "QuantizeLinear", "Resize", "Scan"}

_QUANTISED = ["Conv", "Gemm", "MatMul"]

_BEHIND_LAYER = {"Add", "Cast", "Div", "Flatten", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Unsqueeze"}
"""What may stand between the layer that gives the logits and the output, such as its bias, and keeps their steps."""

_MAX_HALF = 65504.0

_FLOATING: dict[int, str] = {TensorProto.FLOAT: "_single", TensorProto.FLOAT16: "_half"}


def is_quantised(model: bytes) -> bool:
    """Whether an ONNX file has QuantizeLinear nodes."""
    return any(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(model).graph.node)


def to_fp16(model: bytes) -> bytes:
    """A float32 network with weights and layers in float16.

    Inputs and outputs keep name, shape and float32. Softmax, means and sums stay in float32.

    Args:
        model: An ONNX file.

    Returns:
        The converted ONNX file.

    Raises:
        ModelError: The network is not float32 throughout, is quantised or has control flow, or weights exceed float16's 65504.
    """
    proto = onnx.load_from_string(model)
    try:
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the network is not valid ONNX: {error}") from None
    _HalfGraph(proto.graph).convert()
    del proto.graph.value_info[:]
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the network cannot be converted to float16: {error}") from None
    return bytes(proto.SerializeToString())


class _HalfGraph:
    """A graph during the conversion: each floating tensor has one type, casts are added where a node needs another."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        known = [*graph.input, *graph.output, *graph.value_info]
        self._type = {info.name: info.type.tensor_type.elem_type for info in known}
        self._type |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = {info.name for info in graph.output}
        self._nodes: list[onnx.NodeProto] = []
        self._casts: dict[tuple[str, int], str] = {}

    def convert(self) -> None:
        wrong = {TensorProto.DataType.Name(kind) for kind in self._type.values()} & {"FLOAT16", "BFLOAT16", "DOUBLE"}
        if wrong:
            raise ModelError(f"the network is not float32 throughout: it has tensors of {', '.join(sorted(wrong)).lower()}")
        renamed: dict[str, str] = {}
        for node in self._graph.node:
            self._convert_node(node, renamed)
        for name, inner in renamed.items():
            self._nodes.append(helper.make_node("Cast", [inner], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._weights.values() if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def _convert_node(self, node: onnx.NodeProto, renamed: dict[str, str]) -> None:
        if node.op_type in _UNSUPPORTED or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise ModelError(f"a network with {node.op_type} cannot be converted to float16")
        floating = any(self._is_floating(name) for name in [*node.input, *node.output])
        if not floating:
            self._nodes.append(node)
            return
        if node.op_type in _TRANSPARENT:
            wanted = self._type.get(node.input[0], TensorProto.FLOAT)
            wanted = TensorProto.FLOAT16 if node.input[0] in self._weights else wanted
        else:
            wanted = TensorProto.FLOAT if node.op_type in _SINGLE else TensorProto.FLOAT16
        for index, name in enumerate(node.input):
            if self._is_floating(name):
                node.input[index] = self._cast(name, wanted)
        _set_constants(node, wanted)
        for index, name in enumerate(node.output):
            if not self._is_floating(name):
                continue
            self._type[name] = wanted
            if name in self._outputs and wanted == TensorProto.FLOAT16:
                self._type[name] = TensorProto.FLOAT  # what is read outside is the graph's output, cast once more
                node.output[index] = renamed[name] = f"{name}_half"
                self._casts[name, TensorProto.FLOAT16] = renamed[name]
        self._nodes.append(node)

    def _is_floating(self, name: str) -> bool:
        return self._type.get(name, TensorProto.UNDEFINED) in _FLOATING

    def _cast(self, name: str, wanted: int) -> str:
        """The name under which the tensor is there in the type ``wanted``."""
        if self._type[name] == wanted:
            return name
        if (name, wanted) not in self._casts:
            result = f"{name}{_FLOATING[wanted]}"
            self._casts[name, wanted] = result
            if name in self._weights:
                self._weights[result] = _half(self._weights[name], result)
            else:
                self._nodes.append(helper.make_node("Cast", [name], [result], name=f"{result}_cast", to=wanted))
        return self._casts[name, wanted]


def _half(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if largest > _MAX_HALF:
        raise ModelError(f"the weights {tensor.name} reach {largest:.3g}: float16 ends at {_MAX_HALF:.0f}, use fp32")
    return numpy_helper.from_array(values.astype(np.float16), name)


def _set_constants(node: onnx.NodeProto, wanted: int) -> None:
    """Types that stand in a node's attributes: the target of a Cast, the value of a Constant."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _FLOATING:
            attribute.i = wanted
        elif attribute.type == attribute.TENSOR and attribute.t.data_type == TensorProto.FLOAT and wanted != TensorProto.FLOAT:
            attribute.t.CopyFrom(_half(attribute.t, attribute.t.name))


def with_normalisation(model: bytes, normalisation: Normalisation) -> bytes:
    """A network that takes crops as they are, uint8, and normalises them itself.

    Args:
        model: An ONNX file with one input, float32 (N, C, H, W), in any precision.
        normalisation: What it expects of its input.

    Returns:
        The ONNX file with an input of the same shape, uint8, called ``NAME_crops``. It computes bit for bit what the given
        one does of ``normalisation.of(crops)``.

    Raises:
        ModelError: It is no ONNX file, or has another input.
    """
    try:
        proto = onnx.load_from_string(model)
    except Exception as error:  # protobuf's classes differ between versions
        raise ModelError(f"the network is not an ONNX file: {error}") from None
    constant = {tensor.name for tensor in proto.graph.initializer}  # old files name them among the inputs
    inputs = [info for info in proto.graph.input if info.name not in constant]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ModelError("the network must have one input, which is float32, to be normalised for")
    [given] = inputs
    wanted = given.name
    names = crops, values, mean, centred, scale = [
        f"{wanted}_{part}" for part in ("crops", "values", "mean", "centred", "scale")
    ]
    taken = constant | {name for node in proto.graph.node for name in (*node.input, *node.output)}
    if not taken.isdisjoint(names):
        raise ModelError(f"the network has tensors called {', '.join(sorted(taken & set(names)))} already")

    def by_plane(name: str, values: Any) -> onnx.NodeProto:
        tensor = numpy_helper.from_array(np.asarray(values, np.float32).reshape(1, -1, 1, 1))
        return helper.make_node("Constant", [], [name], name=name, value=tensor)

    before = [
        helper.make_node("Cast", [crops], [values], name=values, to=TensorProto.FLOAT),
        by_plane(mean, normalisation.mean),
        helper.make_node("Sub", [values, mean], [centred], name=centred),
        by_plane(scale, normalisation.scale),
        helper.make_node("Mul", [centred, scale], [wanted], name=f"{wanted}_normalised"),
    ]
    given.name = crops
    given.type.tensor_type.elem_type = TensorProto.UINT8
    nodes = [*before, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def to_int8(model: bytes, calibration: NDArray[np.float32]) -> bytes:
    """A float32 network with quantised convolutions and matrix products (QDQ), with static ranges.

    What reads the crops themselves stays float32: one channel in is too little work for int8 to gain on. So does what gives the
    logits, if there are other layers: rounded, logits tie, and the first of the classes wins. The layout is TensorRT's:
    symmetric int8 (zero point 0) throughout, one scale for each channel of the weights, biases in float32. ONNX Runtime runs it
    too. B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
    2018, section 2, with ranges of activations that hold all but 0.005 % of them.

    Args:
        model: An ONNX file.
        calibration: Some hundred normalised crops, float32 (N, 1, S, S), that set the ranges.

    Returns:
        The quantised ONNX file.

    Raises:
        ModelError: The network cannot be quantised, or there are no such crops.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if is_quantised(model):
        raise ModelError("the network is quantised already")
    if calibration.ndim != 4 or not len(calibration):
        raise ModelError(f"calibration needs normalised crops of shape (N, 1, S, S), not {calibration.shape}")
    proto = onnx.load_from_string(model)
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{index}"
    outside = {proto.graph.input[0].name, *_before_outputs(proto.graph)}
    layers = [each for each in proto.graph.node if each.op_type in _QUANTISED]
    edges = [each.name for each in layers if outside & {*each.input, *each.output}]
    helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})  # it is folded; no warning for it
    with TemporaryDirectory() as folder:
        source, result = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(proto.SerializeToString())
        try:
            with redirect_stdout(None):  # it prints its progress
                quantize_static(
                    source,
                    result,
                    _Batches(proto.graph.input[0].name, calibration),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=_QUANTISED,
                    nodes_to_exclude=edges if len(edges) < len(layers) else [],
                    calibrate_method=CalibrationMethod.Percentile,
                    extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
                                   "CalibPercentile": 99.995},
                )  # fmt: skip
        except Exception as error:  # ONNX Runtime raises plain classes of many kinds here
            raise ModelError(f"the network cannot be quantised: {error}") from None
        return result.read_bytes()


def _before_outputs(graph: onnx.GraphProto) -> set[str]:
    """The outputs of a graph, and the tensors that these are made of by _BEHIND_LAYER alone."""
    made_by = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    open_names = [output.name for output in graph.output]
    while open_names:
        name = open_names.pop()
        if name not in found:
            found.add(name)
            node = made_by.get(name)
            open_names += node.input if node is not None and node.op_type in _BEHIND_LAYER else ()
    return found


class _Batches:
    """What ONNX Runtime's calibration reads (its CalibrationDataReader asks for nothing else)."""

    def __init__(self, name: str, crops: NDArray[np.float32]) -> None:
        self._name = name
        self._crops = crops
        self._size = min(32, len(crops))
        self._at = 0

    def get_next(self) -> dict[str, Any] | None:
        batch = self._crops[self._at : self._at + self._size]
        self._at += self._size
        # a smaller batch at the end is left out: histograms are made of equal ones
        return {self._name: np.ascontiguousarray(batch)} if len(batch) == self._size else None

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch
