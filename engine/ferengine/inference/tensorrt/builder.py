"""From ONNX to a serialised TensorRT engine.

Networks are strongly typed: the precision is what the ONNX file says (``ferengine_tools.precision`` changes it), for
TensorRT 11 no longer has flags for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ferengine.errors import ModelError, UsageError
from ferengine.inference.tensorrt.files import read_if_there, write_atomically
from ferengine.inference.tensorrt.tensorrt import TensorRT
from ferengine.inference.tensorrt.types import (
    Builder,
    BuilderConfig,
    NetworkDefinition,
    PortableConfig,
    Shape,
    Tensor,
    TimingConfig,
)

Progress = Callable[[str, int, int], bool]
"""Called as (phase, steps done, steps of the phase); False ends the build."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: its name, its shape (-1: dynamic), the name of its type (``FLOAT``, ``HALF``, ...)."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The smallest, the best and the largest shape of the network's input."""

    low: Shape
    best: Shape
    high: Shape


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine and what is known of it."""

    plan: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]
    targets: tuple[str, ...]


def build_engine(
    trt: TensorRT,
    onnx: bytes,
    profiles: Sequence[Profile],
    *,
    targets: Sequence[str] = (),
    tf32: bool = False,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> BuiltEngine:
    """Build ``onnx``, a network with one input, for the shapes of ``profiles``.

    ``targets``: compute capabilities such as ``sm_86``, for tensorrt-rtx alone (default: all since Ampere). ``tf32``:
    allow inner products of float32 with mantissas of 10 bits. ``timing_cache``: a file that is read and written, for
    tensorrt alone. Raises ModelError with TensorRT's own messages when it refuses the network, UsageError for targets
    that the runtime does not know.
    """
    trt.messages.clear()
    builder = _made(trt, trt.builder, "no builder")
    strongly_typed = 1 << int(trt.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    _parse(trt, network, onnx)
    config = builder.create_builder_config()
    if not tf32:
        config.clear_flag(trt.api.BuilderFlag.TF32)
    _set_targets(trt, config, targets)
    _add_profiles(trt, builder, config, network.get_input(0), profiles)
    if progress is not None:
        config.progress_monitor = _monitor(trt.api, progress)
    caching = cast(TimingConfig, config) if timing_cache is not None and not trt.portable else None
    if caching is not None and timing_cache is not None:
        caching.set_timing_cache(caching.create_timing_cache(read_if_there(timing_cache) or b""), False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"{trt.name} {trt.version} cannot build the network:\n{trt.messages.errors()}")
    if caching is not None and timing_cache is not None:
        write_atomically(timing_cache, bytes(caching.get_timing_cache().serialize()))
    return BuiltEngine(
        bytes(plan),
        tuple(_spec(network.get_input(index)) for index in range(network.num_inputs)),
        tuple(_spec(network.get_output(index)) for index in range(network.num_outputs)),
        tuple(profiles),
        tuple(targets),
    )


def known_targets(trt: TensorRT) -> list[str]:
    """The targets that the runtime can build for; empty when it builds for the GPU in the machine alone."""
    if not trt.portable:
        return []
    names = trt.api.ComputeCapability.__members__
    return sorted((f"sm_{name[2:]}" for name in names if name.startswith("SM")), key=lambda name: int(name[3:]))


def _made(trt: TensorRT, make: Callable[[], Builder], what: str) -> Builder:
    try:
        return make()
    except (RuntimeError, TypeError) as error:  # tensorrt's constructors give nullptr without a GPU or with an old driver
        raise ModelError(f"{trt.name} {trt.version} has {what}: {error}\n{trt.messages.errors()}") from None


def _parse(trt: TensorRT, network: NetworkDefinition, onnx: bytes) -> None:
    parser = trt.parser(network)
    if not parser.parse(onnx):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        found = "\n".join(f"  node {e.node_name() or '?'} ({e.node_operator() or '?'}): {e.desc()}" for e in errors)
        raise ModelError(f"{trt.name} {trt.version} cannot read the network:\n{found or trt.messages.errors()}")
    if network.num_inputs != 1:
        raise ModelError(f"the network must have one input, not {network.num_inputs}")


def _set_targets(trt: TensorRT, config: BuilderConfig, targets: Sequence[str]) -> None:
    if not targets:
        return
    known = known_targets(trt)
    if not known:
        raise UsageError(f"{trt.name} builds for the GPU in this machine: targets need --runtime tensorrt-rtx")
    unknown = [target for target in targets if target not in known]
    if unknown:
        raise UsageError(f"{trt.name} {trt.version} has no target {', '.join(unknown)}: choose of {', '.join(known)}")
    portable = cast(PortableConfig, config)
    portable.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = trt.api.ComputeCapability.__members__[f"SM{target[3:]}"]
        if not portable.set_compute_capability(capability, index):
            raise UsageError(f"{trt.name} refuses the target {target}:\n{trt.messages.errors()}")


def _add_profiles(trt: TensorRT, builder: Builder, config: BuilderConfig, tensor: Tensor, profiles: Sequence[Profile]) -> None:
    shape = tuple(tensor.shape)
    for wanted in profiles:
        for given in (wanted.low, wanted.best, wanted.high):
            if len(given) != len(shape) or any(s not in (-1, g) for s, g in zip(shape, given, strict=True)):
                raise ModelError(f"the network's input {tensor.name} has the shape {shape}: {given} does not fit it")
        profile = builder.create_optimization_profile()
        profile.set_shape(tensor.name, wanted.low, wanted.best, wanted.high)
        if config.add_optimization_profile(profile) < 0:
            raise ModelError(f"{trt.name} refuses the profile {wanted}:\n{trt.messages.errors()}")


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.name, tuple(int(side) for side in tensor.shape), str(tensor.dtype.name))


def _monitor(api: Any, progress: Progress) -> Any:
    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        """Called from the builder's threads; must not raise."""

        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self._steps[name] = steps
            progress(name, 0, steps)

        def step_complete(self, name: str, step: int) -> bool:
            return progress(name, step + 1, self._steps.get(name, step + 1))

        def phase_finish(self, name: str) -> None:
            progress(name, self._steps.get(name, 1), self._steps.get(name, 1))

    return Monitor()
