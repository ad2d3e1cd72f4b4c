"""A deserialised engine: its tensors, its profiles, and contexts to run it in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.base import Shape
from ferengine.inference.files import locked, read_code, write_atomically
from ferengine.inference.tensorrt.engine_file import digest
from ferengine.inference.tensorrt.tensorrt import TensorRT
from ferengine.inference.tensorrt.types import Engine, ExecutionContext, JitEngine

log = logging.getLogger(__name__)

_DIGEST = 64  # characters of a SHA-256 in hexadecimal, which lead a file of compiled kernels


class LoadedEngine:
    """An engine with one input, float32 or uint8, and any float32 outputs.

    Args:
        trt: The runtime.
        plan: A serialised engine that may be trusted.
        kernels: A file for what tensorrt-rtx compiles on this GPU.
        graphs: Whether tensorrt-rtx may make CUDA graphs by itself.

    For batches of rows of one shape tensorrt-rtx compiles the kernels of each size before it first runs it: they come in few
    sizes, which are warmed up. For rows of any shape, which a detector's pyramids make, it compiles none: they would never
    end.

    Raises:
        ModelError: The runtime refuses the engine, or it has other tensors.
        DeviceError: The runtime does not start.
    """

    def __init__(self, trt: TensorRT, plan: bytes, kernels: Path | None = None, *, graphs: bool = True) -> None:
        trt.messages.clear()
        self._trt = trt
        self._kernels = kernels if trt.portable else None
        self._graphs = graphs
        try:
            self._runtime = trt.runtime()
        except (RuntimeError, TypeError) as error:  # without a GPU or with an old driver its constructor gives nullptr
            raise self.failure(f"has no runtime: {error}") from None
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(f"{trt.name} {trt.version} cannot load the engine:\n{trt.messages.errors()}")
        self._engine: Engine = engine
        self._config: Any = None
        self._cache: Any = None
        self._kept = ""
        self.input_name, self.input_dtype, self.output_names = self._tensors()
        self.profiles: list[tuple[Shape, Shape, Shape]] = [
            self._profile(index) for index in range(engine.num_optimization_profiles)
        ]
        self.fixed_row = all(low[1:] == high[1:] for low, _, high in self.profiles)
        """Whether all rows have one shape."""
        self.scratch = 0 if trt.portable else max(1, int(engine.device_memory_size_v2))
        """Bytes that each context needs from its user (``set_device_memory``); 0 where contexts allocate them."""
        if trt.portable:
            self._configure_jit()

    def failure(self, what: str) -> DeviceError:
        """An error with TensorRT's own messages."""
        return DeviceError(f"{self._trt.name} {self._trt.version}: {what}\n{self._trt.messages.errors()}")

    def make_context(self) -> ExecutionContext:
        """A context without profile, addresses or, where ``scratch`` says so, memory.

        Raises:
            DeviceError: It cannot be made.
        """
        if self._config is not None:
            context = cast(JitEngine, self._engine).create_execution_context(self._config)
        else:
            strategy = self._trt.api.ExecutionContextAllocationStrategy.USER_MANAGED
            context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self.failure("no context can be made")
        return context

    @property
    def captures_itself(self) -> bool:
        """Whether the runtime makes CUDA graphs on its own (tensorrt-rtx, once its kernels are compiled)."""
        return self._trt.portable

    def keep_kernels(self) -> None:
        """Write the kernels that were compiled into their file, if there is one and it lacks any. A failure is logged."""
        serialised = self._cache.serialize() if self._cache is not None and self._kernels is not None else None
        if serialised is None or self._kernels is None:
            return
        data = bytes(serialised)
        if digest(data) == self._kept:
            return
        try:
            with locked(self._kernels.parent):
                write_atomically(self._kernels, digest(data).encode() + data)
            self._kept = digest(data)
        except ModelError as error:
            log.info("%s: the kernels are compiled again next time", str(error))

    def close(self) -> None:
        """Keep the compiled kernels and release the engine. All contexts must be gone."""
        self.keep_kernels()
        self._cache = self._config = None
        del self._engine, self._runtime

    def _tensors(self) -> tuple[str, np.dtype[Any], tuple[str, ...]]:
        engine, modes, types = self._engine, self._trt.api.TensorIOMode, self._trt.api.DataType
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == modes.INPUT]
        other = [name for name in names if engine.get_tensor_dtype(name) != types.FLOAT]
        crops = [name for name in other if name in inputs and engine.get_tensor_dtype(name) == types.UINT8]
        if len(inputs) != 1 or other != crops:
            raise ModelError(
                f"an engine must have one input, of float32 or uint8, and float32 outputs: it has the inputs {inputs}, not "
                f"float32 {other}"
            )
        return inputs[0], np.dtype(np.uint8 if crops else np.float32), tuple(name for name in names if name not in inputs)

    def _profile(self, index: int) -> tuple[Shape, Shape, Shape]:
        low, best, high = self._engine.get_tensor_profile_shape(self.input_name, index)
        return tuple(low), tuple(best), tuple(high)

    def _configure_jit(self) -> None:
        config = cast(JitEngine, self._engine).create_runtime_config()
        if self._graphs:
            config.cuda_graph_strategy = self._trt.api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        strategies = self._trt.api.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER if self.fixed_row else strategies.NONE
        cache = config.create_runtime_cache()
        stored = _checked(self._kernels)
        if stored and not cache.deserialize(stored):
            log.info("%s was made by another driver, GPU or version: the kernels are compiled again", self._kernels)
        config.set_runtime_cache(cache)
        self._config, self._cache = config, cache


def _checked(path: Path | None) -> bytes:
    """What the file holds, if it is whole and may be trusted."""
    try:
        data = (read_code(path, "a compiled kernel") if path else None) or b""
    except ModelError as error:
        log.warning("%s; the kernels are compiled again", str(error))  # no reference to the frames, which hold the engine
        return b""
    return data[_DIGEST:] if digest(data[_DIGEST:]).encode() == data[:_DIGEST] else b""
