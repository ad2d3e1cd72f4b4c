"""Where a network runs."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, ModelError
from ferengine.inference.onnxruntime_cuda import CUDA, with_options

OrtProvider = Literal["ort", "ort-cuda", "ort-trt-rtx"]

_PROVIDERS: dict[OrtProvider, str] = {
    "ort": "CPUExecutionProvider",
    "ort-cuda": CUDA,
    "ort-trt-rtx": "NvTensorRTRTXExecutionProvider",
}
_WHEELS: dict[OrtProvider, str] = {"ort": "onnxruntime", "ort-cuda": "onnxruntime-gpu", "ort-trt-rtx": "onnxruntime-trt-rtx"}


class InferenceBackend(Protocol):
    """Runs one network. Not thread-safe.

    A batch is either given to ``run``, or gathered into ``input()``, handed over with ``submit`` and taken with
    ``collect``, oldest first; ``depth`` of them may be on their way.
    """

    @property
    def name(self) -> str:
        """What runs it: a name that ``choose_backend`` knows."""
        ...

    @property
    def depth(self) -> int:
        """How many batches may be on their way at a time."""
        ...

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised crops, float32 (N, 1, S, S), N >= 1 -> logits, float32 (N, classes)."""
        ...

    def input(self, count: int) -> NDArray[np.float32]:
        """Where the next batch is gathered into, float32 (count, 1, S, S); on a GPU pinned memory."""
        ...

    def submit(self, count: int) -> None:
        """Begin with the first ``count`` rows of ``input``. What goes wrong may show in ``collect`` only."""
        ...

    @property
    def in_flight(self) -> int:
        """Batches submitted and not yet collected."""
        ...

    def is_done(self) -> bool:
        """Whether the oldest of them can be collected without waiting."""
        ...

    def collect(self) -> NDArray[np.float32]:
        """The logits of the oldest, float32 (count, classes), good until the next ``submit``."""
        ...

    def close(self) -> None:
        """Release the device; nothing may be asked for afterwards."""
        ...


def available_providers() -> dict[OrtProvider, bool]:
    """Which of ONNX Runtime's providers the installed wheel has."""
    installed = set(onnxruntime.get_available_providers())
    return {name: provider in installed for name, provider in _PROVIDERS.items()}


class OrtBackend:
    """ONNX Runtime, on the CPU or by another provider. Its threads do not spin: on few cores that would starve the
    other stages.

    Raises MissingDependencyError when the installed wheel lacks the provider, ModelError when the network cannot be
    loaded or the provider does not start: ONNX Runtime itself would go on on the CPU and say nothing.
    """

    depth = 1

    def __init__(self, model: bytes, *, threads: int = 1, provider: OrtProvider = "ort") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        wanted = _PROVIDERS[provider]
        if wanted not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                f"ONNX Runtime has no {wanted}: pip install {_WHEELS[provider]} in place of onnxruntime"
            )
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[with_options(wanted)])
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise ModelError(f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {error}") from None
        if self._session.get_providers()[0] != wanted:
            raise ModelError(
                f"ONNX Runtime {onnxruntime.__version__} cannot start {wanted}: check the driver and CUDA's libraries "
                "(pip install 'onnxruntime-gpu[cuda,cudnn]')"
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
            raise ModelError("the network must have one input (N, 1, S, S) and one output (N, classes)")
        self.name: str = provider
        self._input = inputs[0].name
        self._row = tuple(inputs[0].shape[1:])
        self._batch = np.empty((0, *(side if isinstance(side, int) else 1 for side in self._row)), np.float32)
        self._logits: NDArray[np.float32] | None = None

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            logits: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        except Exception as error:  # as above
            raise ModelError(f"the network does not run on {batch.dtype} {batch.shape}: {error}") from None
        return logits

    def input(self, count: int) -> NDArray[np.float32]:
        if len(self._batch) < count:
            self._batch = np.empty((count, *self._batch.shape[1:]), np.float32)
        return self._batch[:count]

    def submit(self, count: int) -> None:
        self._logits = self.run(self._batch[:count])

    @property
    def in_flight(self) -> int:
        return int(self._logits is not None)

    def is_done(self) -> bool:
        return self._logits is not None

    def collect(self) -> NDArray[np.float32]:
        assert self._logits is not None, "nothing was submitted"
        logits, self._logits = self._logits, None
        return logits

    def close(self) -> None:
        self._logits = None
