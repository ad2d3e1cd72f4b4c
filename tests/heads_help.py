"""Tiny models of several heads, built by hand: each output is linear in the mean of each plane of the crop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EXPRESSION = {"name": "expression", "kind": "classes", "labels": ["dim", "bright"], "temperature": 0.5}
COLOUR = {
    "name": "colour", "kind": "values", "labels": ["red", "green", "blue"],
    "ranges": {"red": [0, 255], "green": [0, 255], "blue": [0, 255]},
}  # fmt: skip
UNITS = {"name": "action_units", "kind": "labels", "labels": ["AU1", "AU12"], "temperature": 2.0}
AGE_GROUP = {"name": "age_group", "kind": "classes", "labels": ["child", "adult", "old"], "smoothing": 10.0}

WEIGHTS: Mapping[str, Any] = {  # by output: (planes, labels) of a colour crop, and the bias
    "expression": ([[-0.01, 0.01]] * 3, [1.0, -1.0]),
    "colour": (np.eye(3), [0.0, 0.0, 0.0]),
    "action_units": ([[0.02, -0.02], [0, 0], [0, 0]], [0.0, 1.0]),
    "age_group": ([[0.01, 0, 0], [0, 0.01, 0], [0, 0, 0.01]], [0.0, 0.0, 0.0]),
}


def network(size: int, channels: int, outputs: Mapping[str, Any]) -> bytes:
    """An ONNX file with an output for each of ``outputs``: weights (channels, labels) and bias."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["crops"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
    ]
    tensors, infos = [], []
    for name, (weights, bias) in outputs.items():
        columns = np.asarray(weights, np.float32)[:channels]
        tensors += [numpy_helper.from_array(columns, f"{name}_w"), numpy_helper.from_array(np.float32(bias), f"{name}_b")]
        nodes.append(helper.make_node("Gemm", ["means", f"{name}_w", f"{name}_b"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", columns.shape[1])))
    given = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ("n", channels, size, size))
    graph = helper.make_graph(nodes, "tiny", [given], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_heads(
    folder: Path,
    heads: Sequence[Mapping[str, Any]],
    /,
    *,
    name: str = "mine",
    size: int = 24,
    channels: int = 3,
    order: str = "rgb",
    data: bytes | None = None,
    **changes: Any,
) -> Path:
    """A model of these heads with its manifest; returns the ONNX file."""
    made = data or network(size, channels, {head["name"]: WEIGHTS[head["name"]] for head in heads})
    path = folder / f"{name}.onnx"
    path.write_bytes(made)
    manifest = {
        "name": name, "file": path.name, "sha256": hashlib.sha256(made).hexdigest(), "heads": list(heads),
        "input": {"size": size, "channels": channels, "order": order, "mean": 0.0, "std": 1.0},
        "licence": "MIT", "intended_use": "tests",
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps({**manifest, **changes}))
    return path
