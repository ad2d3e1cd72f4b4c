"""Where a network runs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ferengine.errors import ModelError


class InferenceBackend(Protocol):
    """Runs one network. Not thread-safe."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised crops, float32 (N, 1, S, S), N >= 1 -> logits, float32 (N, classes)."""
        ...


class OrtBackend:
    """ONNX Runtime on the CPU. Its threads do not spin: on few cores that would starve the other stages."""

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise ModelError(f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {error}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
            raise ModelError("the network must have one input (N, 1, S, S) and one output (N, classes)")
        self._input = inputs[0].name

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            logits: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        except Exception as error:  # as above
            raise ModelError(f"the network does not run on {batch.dtype} {batch.shape}: {error}") from None
        return logits
