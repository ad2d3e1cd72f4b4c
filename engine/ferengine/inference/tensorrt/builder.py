"""From a network to an engine file: shapes, precision, TensorRT's builder, record.

Networks are strongly typed: the precision is what the ONNX file says (``ferengine.inference.conversion`` changes it), for
TensorRT 11 no longer has flags for it.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ferengine.errors import ModelError, UsageError
from ferengine.inference.base import Array, Shape
from ferengine.inference.conversion import is_quantised, to_fp16, to_int8, with_normalisation
from ferengine.inference.files import locked, read_code, write_atomically
from ferengine.inference.tensorrt.engine_file import (
    EngineFile,
    EngineRecord,
    ProfileRecord,
    TensorRecord,
    digest,
    engine_name,
    write_engine,
)
from ferengine.inference.tensorrt.environment import Environment, this_machine
from ferengine.inference.tensorrt.networks import Network, Profile
from ferengine.inference.tensorrt.tensorrt import TensorRT
from ferengine.inference.tensorrt.types import (
    Builder,
    BuilderConfig,
    NetworkDefinition,
    PortableConfig,
    Tensor,
    TimingConfig,
)
from ferengine.models.onnx_package import onnx
from ferengine.models.settings import Precision

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], bool]
"""Called as (phase, steps done, steps of the phase); False ends the build."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: its name, its shape (-1: dynamic), the name of its type (``FLOAT``, ``HALF``, ...)."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine and what is known of it."""

    plan: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]
    targets: tuple[str, ...]


def build_network(
    trt: TensorRT,
    network: Network,
    precision: Precision,
    profiles: Sequence[Profile],
    folder: Path,
    *,
    targets: Sequence[str] = (),
    calibration: Array | None = None,
    command: str,
    progress: Progress | None = None,
) -> EngineFile:
    """Build one engine and write it with its record, under the folder's lock. fp32 is computed without TF32.

    Args:
        trt: The runtime that the engine is for.
        network: What to build.
        precision: Of its weights and layers.
        profiles: The shapes that it is to serve, as ``choose_profiles`` gives them.
        folder: Where to write.
        targets: As of ``build_engine``.
        calibration: As of ``in_precision``.
        command: What the record names as the command that built it.
        progress: Called while it is built.

    Returns:
        The engine's file.

    Raises:
        UsageError: As ``in_precision`` and ``build_engine``.
        ModelError: As these, and where ``tensorrt`` has no GPU to build for or the folder cannot be written.
    """
    here = this_machine()
    if not trt.portable and here.gpu is None:
        raise ModelError(
            f"{trt.name} builds only on the GPU that runs the engine, and {here.unavailable_reason}: use --runtime tensorrt-rtx"
        )
    model, made = in_precision(network, precision, calibration)
    if network.normalisation is not None:
        model = with_normalisation(model, network.normalisation)
    with locked(folder):
        timing = None if trt.portable else folder / f"timing-{digest(f'{trt.version} {here.gpu}'.encode())[:10]}.cache"
        built = build_engine(trt, model, profiles, targets=targets, timing_cache=timing, progress=progress)
        record = _describe(trt, network, made, model, built, here, command)
        path = folder / engine_name(network.name, made, trt.name, _key(trt, record))
        write_engine(path, built.plan, record)
    return EngineFile(path, record)


def choose_profiles(network: Network, batches: Sequence[tuple[int, int, int]]) -> list[Profile]:
    """The shapes that an engine is to serve.

    Args:
        network: What to build; one that has profiles of its own gets these.
        batches: The smallest, best and largest batch of each profile.

    Raises:
        ModelError: More than the batch is open in the network's input, or it is not an ONNX file.
    """
    if network.profiles:
        return list(network.profiles)
    row = _input_shape(network.onnx)[1:]
    if any(side < 1 for side in row):
        raise ModelError(f"{network.name}: only the batch may be open in the network's input, which is (n, {list(row)})")
    return [Profile((low, *row), (best, *row), (high, *row)) for low, best, high in batches]


def needs_calibration(network: Network, precision: Precision) -> bool:
    """Whether ``in_precision`` needs faces to calibrate the network with."""
    return precision == "int8" and network.quantisable and not is_quantised(network.onnx)


def in_precision(network: Network, precision: Precision, calibration: Array | None = None) -> tuple[bytes, Precision]:
    """A network's ONNX file in another precision.

    Args:
        network: What to convert; one that is not quantisable is built in fp16 where int8 is requested.
        precision: The precision.
        calibration: Normalised crops, float32 (N, 1, S, S), where ``needs_calibration`` says so.

    Returns:
        The ONNX file and the precision that it has.

    Raises:
        UsageError: Calibration is needed and missing, or the network is quantised and another precision is requested.
        ModelError: The network cannot be converted.
    """
    if is_quantised(network.onnx):
        if precision != "int8":
            raise UsageError(f"{network.name} is quantised already: build it with --precision int8")
        return network.onnx, "int8"
    if precision == "fp32":
        return network.onnx, "fp32"
    if precision == "fp16" or not network.quantisable:
        return to_fp16(network.onnx), "fp16"
    if calibration is None:
        raise UsageError(f"{network.name} has no int8 file: name faces to calibrate it with (--calibration)")
    return to_int8(network.onnx, calibration), "int8"


def build_engine(
    trt: TensorRT,
    model: bytes,
    profiles: Sequence[Profile],
    *,
    targets: Sequence[str] = (),
    tf32: bool = False,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> BuiltEngine:
    """Build an engine of an ONNX file with one input.

    Args:
        trt: The runtime that it is for.
        model: The ONNX file, in the precision that is wanted.
        profiles: The shapes that it is to serve.
        targets: Compute capabilities such as ``sm_86``, for tensorrt-rtx alone (default: all since Ampere).
        tf32: Whether inner products of float32 may be computed with mantissas of 10 bits.
        timing_cache: A file that is read and written, for tensorrt alone.
        progress: Called while it is built.

    Raises:
        ModelError: TensorRT refuses the network, with its own messages.
        UsageError: The runtime does not know the targets.
    """
    trt.messages.clear()
    builder = _made(trt, trt.builder, "no builder")
    strongly_typed = 1 << int(trt.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    _parse(trt, network, model)
    config = builder.create_builder_config()
    config.max_aux_streams = 0  # small networks gain nothing from parallel layers; batches overlap already
    if not tf32:
        config.clear_flag(trt.api.BuilderFlag.TF32)
    _set_targets(trt, config, targets)
    _add_profiles(trt, builder, config, network.get_input(0), profiles)
    if progress is not None:
        config.progress_monitor = _monitor(trt.api, progress)
    caching = cast(TimingConfig, config) if timing_cache is not None and not trt.portable else None
    if caching is not None and timing_cache is not None:
        _use_timings(caching, timing_cache)
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


def _use_timings(config: TimingConfig, path: Path) -> None:
    """Set the timings of former builds, which choose the kernels; empty ones where they cannot be used."""
    try:
        stored = read_code(path, "a timing cache") or b""
    except ModelError as error:
        log.warning("%s; timing anew", error)
        stored = b""
    if not config.set_timing_cache(config.create_timing_cache(stored), False):
        log.info("%s was made by another version or GPU: timing anew", path)
        config.set_timing_cache(config.create_timing_cache(b""), False)


def known_targets(trt: TensorRT) -> list[str]:
    """The targets that the runtime can build for; empty where it builds for the GPU in the machine alone."""
    if not trt.portable:
        return []
    names = trt.api.ComputeCapability.__members__
    return sorted((f"sm_{name[2:]}" for name in names if name.startswith("SM")), key=lambda name: int(name[3:]))


def _input_shape(model: bytes) -> Shape:
    """Of the first input, -1 where it is open."""
    try:
        graph = onnx.load_from_string(model).graph
        return tuple(d.dim_value or -1 for d in graph.input[0].type.tensor_type.shape.dim)
    except Exception as error:  # protobuf's classes differ between versions
        raise ModelError(f"the network is not an ONNX file: {error}") from None


def _describe(
    trt: TensorRT, network: Network, precision: Precision, model: bytes, built: BuiltEngine, here: Environment, command: str
) -> EngineRecord:
    return EngineRecord(
        model=network.name,
        source_sha256=digest(network.onnx),
        onnx_sha256=digest(model),
        engine_sha256=digest(built.plan),
        normalisation=network.normalisation,
        precision=precision,
        tf32=False,
        runtime=trt.name,
        runtime_version=trt.version,
        cuda=trt.cuda,
        driver=here.driver,
        gpu=here.gpu.name if here.gpu else None,
        capability=here.gpu.capability if here.gpu else None,
        targets=built.targets,
        os=here.os,
        inputs=tuple(TensorRecord(name=t.name, shape=t.shape, dtype=t.dtype) for t in built.inputs),
        outputs=tuple(TensorRecord(name=t.name, shape=t.shape, dtype=t.dtype) for t in built.outputs),
        profiles=tuple(ProfileRecord(low=p.low, best=p.best, high=p.high) for p in built.profiles),
        command=command,
        built=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _key(trt: TensorRT, record: EngineRecord) -> str:
    """What distinguishes engines of one network and precision."""
    machine = None if trt.portable else (record.gpu, record.capability)
    return repr((record.source_sha256, record.normalisation, record.runtime_version, record.targets, machine, record.profiles))


def _made(trt: TensorRT, make: Callable[[], Builder], what: str) -> Builder:
    try:
        return make()
    except (RuntimeError, TypeError) as error:  # tensorrt's constructors give nullptr without a GPU or with an old driver
        raise ModelError(f"{trt.name} {trt.version} has {what}: {error}\n{trt.messages.errors()}") from None


def _parse(trt: TensorRT, network: NetworkDefinition, model: bytes) -> None:
    parser = trt.parser(network)
    if not parser.parse(model):
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
        raise UsageError(f"{trt.name} {trt.version} has no target {', '.join(unknown)}: choose one of {', '.join(known)}")
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
