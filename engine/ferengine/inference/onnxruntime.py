"""Networks in ONNX Runtime, on the CPU or by one of its GPU providers."""

from __future__ import annotations

import io
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Literal

import numpy as np

from ferengine.errors import DeviceError, MissingDependencyError, ModelError
from ferengine.inference.base import (
    BATCH_SIZES,
    Array,
    Batch,
    Outputs,
    Shape,
    check_dtype,
    fixed_sizes,
    joined,
    padded_size,
)
from ferengine.inference.tensorrt.device import is_lost
from ferengine.models.manifest import Normalisation
from ferengine.pip_hint import pip_install, pip_replace


def explain_import_error(error: ImportError | AttributeError) -> str:
    """Say what to install after ``import onnxruntime`` failed with ``error``."""
    if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
        return f"ONNX Runtime is not installed: {pip_install('onnxruntime')}"
    install = pip_install("--force-reinstall", "--no-deps", "onnxruntime")
    return f"ONNX Runtime is not complete ({error}): install it again, or what you have in its place: {install}"


os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded
try:
    import onnxruntime

    VERSION: str = onnxruntime.__version__
except (ImportError, AttributeError) as error:  # the latter of a folder that is left where one of two was removed
    raise MissingDependencyError(explain_import_error(error)) from error

OrtProvider = Literal["ort", "ort-cuda", "ort-trt-rtx"]
"""The backends that are providers of ONNX Runtime."""

_CUDA = "CUDAExecutionProvider"
_PROVIDERS: dict[OrtProvider, str] = {
    "ort": "CPUExecutionProvider",
    "ort-cuda": _CUDA,
    "ort-trt-rtx": "NvTensorRTRTXExecutionProvider",
}
_WHEELS: dict[OrtProvider, str] = {
    "ort": "onnxruntime",
    "ort-cuda": "onnxruntime-gpu[cuda,cudnn]",
    "ort-trt-rtx": "onnxruntime-trt-rtx",
}

_CUDA_CODE = re.compile(r"CUDA failure (\d+)")
"""How the CUDA provider names the code of what failed (its ``CudaCall``)."""

_ORIGIN = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (/onnxruntime_src/.*?\) (?=[A-Z]))?")
"""Where an error came about in ONNX Runtime: a code, its name, and now and then file and signature of a function."""

_OPSET = re.compile(r"Opset (\d+) .* till opset (\d+)")
_IR_VERSION = re.compile(r"IR version: (\d+), .* IR version: (\d+)")
"""What a network needs and what is known, where that is older."""

_FIRST_RUN = 60.0
"""Seconds that a network gets for its first batch. One that is not done by then, such as a loop without end, is cut off."""
_WARM_VALUES = 1 << 20
"""Intensities of the largest batch that a CPU warms up with: 455 crops of 48 x 48, 6 in colour of 224 x 224."""
_FLOAT32 = "tensor(float)"

log = logging.getLogger(__name__)


def available_providers() -> dict[OrtProvider, bool]:
    """Which providers the installed wheel has, by backend. Whether they start on this machine is another question."""
    installed = set(onnxruntime.get_available_providers())
    return {name: provider in installed for name, provider in _PROVIDERS.items()}


class OrtRunner:
    """A network in ONNX Runtime; implements ``ferengine.inference.base.Runner``.

    ``submit`` computes at once, so that one batch may be in flight. The session's threads do not spin while they wait: on few
    cores that would starve the other stages.

    Args:
        model: An ONNX file with one input of four dimensions.
        threads: How many compute one batch.
        provider: The CPU, or a GPU.
        max_batch: The largest batch that is computed at once; without it any on the CPU, 512 on a GPU.
        provider_options: Instead of those that the provider gets, by their names in ONNX Runtime.
        normalisation: Where it is given, the input is uint8 crops, which are normalised in the graph.

    On a GPU batches are padded to a few fixed sizes (``ferengine.inference.base.BATCH_SIZES`` and ``max_batch``): every new
    shape costs a search for algorithms and new memory.

    Raises:
        MissingDependencyError: The installed wheel lacks the provider.
        ModelError: The network cannot be loaded, has other inputs, or the provider does not start. ONNX Runtime itself would
            go on on the CPU without a word.

    Example:
        >>> from ferengine.models.registry import load_model
        >>> runner = OrtRunner(load_model("dscnn").onnx)
        >>> runner.run(np.zeros((2, 1, 48, 48), np.float32))["logits"].shape
        (2, 7)
    """

    depth = 1

    def __init__(
        self,
        model: bytes,
        *,
        threads: int = 1,
        provider: OrtProvider = "ort",
        max_batch: int | None = None,
        provider_options: Mapping[str, str] | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        wanted = _PROVIDERS[provider]
        if not available_providers()[provider]:
            raise MissingDependencyError(f"ONNX Runtime has no {wanted}: {pip_replace('onnxruntime', _WHEELS[provider])}")
        if normalisation is not None:
            from ferengine.inference.conversion import with_normalisation  # here: imports onnx

            model = with_normalisation(model, normalisation)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # without VNNI sums of 8-bit products may saturate: then exact instructions are taken, which are slower
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=[_with_options(wanted, provider_options or {})]
            )
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise ModelError(f"ONNX Runtime {VERSION} cannot load the network: {_why_not_loaded(error)}") from None
        if self._session.get_providers()[0] != wanted:
            raise ModelError(
                f"ONNX Runtime {VERSION} cannot start {wanted}: check the driver and CUDA's libraries "
                f"({pip_install('onnxruntime-gpu[cuda,cudnn]')})"
            )
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ModelError("the network must have one input of four dimensions: (N, channels, height, width)")
        for each in (*(inputs if normalisation is None else ()), *self._session.get_outputs()):
            if each.type != _FLOAT32:
                raise ModelError(f"the network's {each.name} must be float32 ({_FLOAT32}), not {each.type}")
        self.input_dtype: np.dtype[Any] = np.dtype(np.float32 if normalisation is None else np.uint8)
        self._first = True
        self.name: str = provider
        self.output_names = tuple(output.name for output in self._session.get_outputs())
        self._input_name, self._declared = inputs[0].name, tuple(inputs[0].shape)
        self._on_gpu = provider != "ort"
        self._max_batch = max_batch or (BATCH_SIZES[-1] if self._on_gpu else sys.maxsize)
        self._memory: Batch = np.empty((0, 1, 1, 1), self.input_dtype)
        self._rows: Batch | None = None
        self._outputs: Outputs | None = None

    @property
    def in_flight(self) -> int:
        return int(self._outputs is not None)

    def capacity(self, row: Shape) -> int:
        return self._max_batch

    def warm_up(self, row: Shape, largest: int) -> None:
        largest = min(largest, self._max_batch)
        # one size on a CPU: the memory that the busiest moment needs is there from the beginning
        for size in fixed_sizes(largest) if self._on_gpu else (min(largest, max(1, _WARM_VALUES // math.prod(row))),):
            self.input((size, *row))[:] = 0  # written to: only then the system has given the memory
            self.submit(size)
            self.collect()

    def input(self, shape: Shape) -> Batch:
        if shape[0] > self._max_batch:
            raise ModelError(f"the network takes batches of {self._max_batch} at most, not {shape[0]}")
        if len(self._memory) < shape[0] or self._memory.shape[1:] != shape[1:]:
            self._memory = np.zeros((self._padded(shape[0]), *shape[1:]), self.input_dtype)
        self._rows = self._memory[: shape[0]]
        return self._rows

    def submit(self, count: int) -> None:
        if self._outputs is not None:
            raise RuntimeError("a batch is in flight: collect it first")
        if self._rows is None:
            raise RuntimeError("submit before input")
        values = self._compute(self._memory[: self._padded(count)])
        self._outputs = {name: rows[:count] for name, rows in values.items()}

    def is_done(self) -> bool:
        return self._outputs is not None

    def collect(self) -> Outputs:
        if self._outputs is None:
            raise RuntimeError("no batch is in flight")
        outputs, self._outputs = self._outputs, None
        return outputs

    def run(self, batch: Batch) -> Outputs:
        if self._outputs is not None:
            raise RuntimeError("a batch is in flight: collect it first")
        check_dtype(batch, self)
        size = min(len(batch), self._max_batch)
        return joined([self._run_one(batch[start : start + size]) for start in range(0, len(batch), size)])

    def close(self) -> None:
        self._rows = self._outputs = None

    def _run_one(self, rows: Batch) -> Outputs:
        missing = self._padded(len(rows)) - len(rows)
        if not missing:
            return self._compute(rows)
        padded = np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
        return {name: values[: len(rows)] for name, values in self._compute(padded).items()}

    def _padded(self, count: int) -> int:
        """The batch that is run for ``count`` rows: what lies behind them is computed and dropped."""
        return padded_size(count, self._max_batch) if self._on_gpu else count

    def _compute(self, rows: Batch) -> Outputs:
        try:
            values = self._run_first(rows) if self._first else self._session.run(None, {self._input_name: rows})
        except ModelError:
            raise
        except Exception as error:  # as above
            reason = _misfit(self._declared, rows.shape) or _one_line(error)
            text = f"the network does not run on {rows.dtype} {rows.shape}: {reason}"
            if not self._on_gpu:
                raise ModelError(text) from None
            code = _CUDA_CODE.search(str(error))
            raise DeviceError(text, lost=code is not None and is_lost(int(code[1]))) from None
        return dict(zip(self.output_names, values, strict=True))

    def _run_first(self, rows: Batch) -> list[Array]:
        options, over = onnxruntime.RunOptions(), threading.Event()
        options.log_severity_level = 4  # what is cut off is reported below

        def cut_off() -> None:
            if not over.wait(_FIRST_RUN):
                options.terminate = True

        watch = threading.Thread(target=cut_off, name="ferengine-first-batch", daemon=True)
        watch.start()
        try:
            values: list[Array] = self._session.run(None, {self._input_name: rows}, options)
        except Exception:
            if options.terminate:
                raise ModelError(f"the network did not finish its first batch within {_FIRST_RUN:g} s") from None
            raise
        finally:
            over.set()
            watch.join()
        self._first = False
        return values


def _one_line(error: Exception) -> str:
    """What ONNX Runtime says of an error goes over several lines, and begins with a code and a function of its own."""
    return _ORIGIN.sub("", " ".join(str(error).split()))


def _why_not_loaded(error: Exception) -> str:
    text = _one_line(error)
    if any(words in str(error) for words in ("INVALID_PROTOBUF", "No graph was found")):
        return "it is no ONNX file, or it is damaged"
    if found := _OPSET.search(text) or _IR_VERSION.search(text):
        what = "opset" if found.re is _OPSET else "IR version"
        return f"it has {what} {found[1]}, and the newest known is {found[2]}: export it for that, or upgrade onnxruntime"
    return text


def _misfit(declared: Sequence[int | str | None], given: tuple[int, ...]) -> str | None:
    """In which way a batch is not what the network declares; None where it is. Its dynamic sizes are no numbers."""
    fits = [not isinstance(size, int) or size == there for size, there in zip(declared, given, strict=True)]
    if all(fits):
        return None
    if not fits[0]:
        hint = "export it with a dynamic batch"
    elif declared[3] in (1, 3) and declared[1] not in (1, 3):
        hint = "export it with the channels before height and width"
    else:
        hint = "correct size and channels in the manifest, or export it for them"
    takes = ", ".join(str(size) if isinstance(size, int) else "N" for size in declared)
    return f"it takes ({takes}): {hint}"


_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def _with_options(provider: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What a session's ``providers`` takes for ``provider``.

    CUDA's computes float32 as such, not with the 10 bits of TF32's mantissas that are its default, and takes the convolutions
    that cuDNN's heuristics name: its default tries all of them for every new shape, which takes hundreds of milliseconds. Its
    libraries are loaded first from their wheels (``onnxruntime-gpu[cuda,cudnn]``), where they are installed.
    """
    if provider != _CUDA:
        return provider, dict(options)
    printed = io.StringIO()
    with redirect_stdout(printed):  # it prints what it does not find, which is not for the standard output
        onnxruntime.preload_dlls()
    if printed.getvalue():
        log.debug("ONNX Runtime: %s", printed.getvalue().strip())
    return provider, {**_CUDA_OPTIONS, **options}
