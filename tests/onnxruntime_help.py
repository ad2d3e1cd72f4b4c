"""ONNX Runtime with its CUDA provider, as far as tests need it without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


def with_cuda(monkeypatch: pytest.MonkeyPatch, compute: Callable[[NDArray[np.float32]], list[Any]]) -> None:
    """Sessions have the CUDA provider, take rows (n, 1, 2, 2) and give what ``compute`` makes of them, under the name "sum"."""

    class Session:
        def __init__(self, *arguments: Any, **named: Any) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="input", type="tensor(float)", shape=["n", 1, 2, 2])]

        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="sum", type="tensor(float)")]

        def run(self, names: None, inputs: dict[str, Any], options: Any = None) -> list[Any]:
            return compute(inputs["input"])

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
