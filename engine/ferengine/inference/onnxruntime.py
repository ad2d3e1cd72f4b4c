"""What a detector's network runs on, whatever that is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.onnxruntime_cuda import CUDA, with_options


class NetworkRunner(Protocol):
    """Runs one network with one input and named outputs. Not thread-safe."""

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """float32 (N, channels, H, W), N >= 1 -> outputs by name, new arrays with N rows."""
        ...

    def capacity(self, row: tuple[int, ...]) -> int:
        """How many rows of shape (channels, H, W) may come at once; 0 when none may."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class OrtRunner:
    """ONNX Runtime by its CUDA provider, or on the CPU. Raises ModelError when the provider does not start."""

    def __init__(self, model: bytes, *, provider: str = CUDA, most: int = 64) -> None:
        import onnxruntime  # here: workers that do not use it need not have it in memory

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[with_options(provider)])
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise ModelError(f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {error}") from None
        if self._session.get_providers()[0] != provider:
            raise ModelError(f"ONNX Runtime {onnxruntime.__version__} cannot start {provider}: check the driver")
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._most = most

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input: batch}), strict=True))

    def capacity(self, row: tuple[int, ...]) -> int:
        return self._most

    def close(self) -> None:
        """Nothing is held beyond memory."""
