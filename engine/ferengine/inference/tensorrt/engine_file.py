"""Engine files and the JSON beside each: what the engine was made of, by what and for what.

An engine is code that runs in this process. One is read only if it lies in the user's own cache or in a folder that the
user named, if no other user can write it, and if its hash is the one of its record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferengine.errors import ModelError
from ferengine.inference.files import read_code, read_if_there, write_atomically
from ferengine.inference.tensorrt.environment import Environment
from ferengine.inference.tensorrt.tensorrt import rtx_supports
from ferengine.models.manifest import Normalisation
from ferengine.models.settings import Precision
from ferengine.pip_hint import pip_install

_Digest = Field(pattern="^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorRecord(_Part):
    """An input or output: -1 marks what a profile leaves open."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class ProfileRecord(_Part):
    """The smallest, best and largest shape of the input."""

    low: tuple[int, ...]
    best: tuple[int, ...]
    high: tuple[int, ...]


class EngineRecord(_Part):
    """The JSON file beside an engine.

    Attributes:
        source_sha256: Of the network that was to be built.
        onnx_sha256: Of what the builder read, which is that network in ``precision`` and with ``normalisation``.
        normalisation: What it does to the uint8 crops that it takes; None where it takes float32.
        cuda: The major version that the runtime is made for.
        driver: Of the machine that built it; None without a GPU, as are ``gpu`` and ``capability``.
        targets: The compute capabilities of a portable engine.
    """

    format: Literal[1] = 1
    model: str
    source_sha256: str = _Digest
    onnx_sha256: str = _Digest
    engine_sha256: str = _Digest
    normalisation: Normalisation | None = None
    precision: Precision
    tf32: bool
    runtime: Literal["tensorrt", "tensorrt-rtx"]
    runtime_version: str
    cuda: str | None
    driver: str | None
    gpu: str | None
    capability: str | None
    targets: tuple[str, ...]
    os: str
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    profiles: tuple[ProfileRecord, ...] = Field(min_length=1)
    command: str
    built: str

    @property
    def max_batch(self) -> int:
        """The largest batch that any profile takes."""
        return max(profile.high[0] for profile in self.profiles)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One reason why an engine cannot be used here, and what to do."""

    what: str
    built: str
    here: str
    hint: str

    def __str__(self) -> str:
        return f"{self.what} is {self.here}, the engine's {self.built}: {self.hint}"


@dataclass(frozen=True, slots=True)
class EngineFile:
    """A record and where it and its engine lie."""

    path: Path
    record: EngineRecord


def digest(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def engine_name(model: str, precision: str, runtime: str, key: str) -> str:
    """The file name of an engine; ``key`` distinguishes those that differ in shapes, targets, version or GPU."""
    return f"{model}-{precision}-{runtime}-{digest(key.encode())[:10]}.engine"


def write_engine(path: Path, plan: bytes, record: EngineRecord) -> None:
    """Write an engine and its record, which comes last and makes the engine valid.

    Args:
        path: Of the engine. The caller holds the lock of its folder.
        plan: The serialised engine.
        record: What is known of it.

    Raises:
        ModelError: A file cannot be written.
    """
    write_atomically(path, plan)
    write_atomically(path.with_suffix(".json"), (record.model_dump_json(indent=2) + "\n").encode())


def list_engines(folder: Path) -> Iterator[EngineFile]:
    """The engines of a folder by name; files that are no record of an engine are skipped."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield EngineFile(path.with_suffix(".engine"), read_record(path))
        except ModelError:
            continue


def read_record(path: Path) -> EngineRecord:
    """The record in a JSON file.

    Raises:
        ModelError: The file is missing, or no record of an engine.
    """
    data = read_if_there(path)
    if data is None:
        raise ModelError(f"{path} does not exist: an engine is loaded only with its record (ferengine build-trt)")
    try:
        return EngineRecord.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(f"{path} is not the record of an engine: {where}: {first['msg']}") from None


def load_engine(file: EngineFile) -> bytes:
    """The serialised engine.

    Raises:
        ModelError: Another user could have written it, or its hash is not the record's.
    """
    rebuild = "build it again (ferengine build-trt)"
    read_code(file.path.with_suffix(".json"), "an engine")
    plan = read_code(file.path, "an engine")
    if plan is None:
        raise ModelError(f"{file.path} does not exist: {rebuild}")
    if digest(plan) != file.record.engine_sha256:
        raise ModelError(f"{file.path} is not the file of its record (SHA-256 differs) and was not loaded: {rebuild}")
    return plan


def find_mismatches(
    record: EngineRecord,
    *,
    source_sha256: str,
    normalisation: Normalisation | None,
    precision: Precision,
    runtime: str,
    runtime_version: str,
    max_batch: int,
    here: Environment,
) -> list[Mismatch]:
    """Why an engine does not serve here. The engine file itself is not read.

    Args:
        record: The engine's.
        source_sha256: Of the network that is to run.
        normalisation: Of the crops that it is to take.
        precision: That it is to run in.
        runtime: The TensorRT that is to run it.
        runtime_version: Its version.
        max_batch: The largest batch that is to run.
        here: This machine.

    Returns:
        One item a reason; empty where the engine serves.
    """
    rebuild = "build it again (ferengine build-trt, or run --build-engines)"
    found = []

    def compare(what: str, built: str | None, now: str | None, hint: str = rebuild) -> None:
        if built != now:
            found.append(Mismatch(what, built or "unknown", now or "none", hint))

    compare("the network's SHA-256", record.source_sha256[:12], source_sha256[:12])
    compare("the input", _input(record.normalisation), _input(normalisation))
    compare("the precision", record.precision, precision)
    compare("the runtime", record.runtime, runtime, f"install {record.runtime}, or {rebuild}")
    if record.runtime == runtime:
        pinned = f"{pip_install(f'{runtime}=={record.runtime_version}')}, or {rebuild}"
        compare(f"the version of {runtime}", record.runtime_version, runtime_version, pinned)
    compare("the operating system", record.os, here.os)
    if record.max_batch < max_batch:
        wider = f"build it with --batch 1:{max_batch}:{max_batch}, or run with --max-batch {record.max_batch}"
        found.append(Mismatch("the largest batch", str(record.max_batch), str(max_batch), wider))
    if here.gpu is None:
        found.append(Mismatch("the GPU", record.gpu or ", ".join(record.targets), "missing", here.unavailable_reason or ""))
        return found
    if record.cuda and here.cuda and int(here.cuda.split(".")[0]) < int(record.cuda):
        newer = f"install a driver for CUDA {record.cuda}, or {runtime} for CUDA {here.cuda.split('.')[0]}"
        found.append(Mismatch("the driver's CUDA", record.cuda, here.cuda, newer))
    if record.runtime == "tensorrt":
        compare("the compute capability", record.capability, here.gpu.capability)
        compare("the GPU", record.gpu, here.gpu.name)
    elif not _serves(record.targets, here.gpu.capability):
        if rtx_supports(here.gpu.capability):
            add = f"build it with --target sm_{here.gpu.capability.replace('.', '')}"
        else:
            add = f"tensorrt-rtx is not made for this GPU: {pip_install('tensorrt')}"
        built = ", ".join(record.targets) or "8.6, 8.9 and from 12.0 on"
        found.append(Mismatch("the compute capability", built, here.gpu.capability, add))
    return found


def _input(normalisation: Normalisation | None) -> str:
    """What a network takes, in words."""
    if normalisation is None:
        return "float32"
    return f"uint8 crops, mean {_shown(normalisation.mean)} and std {_shown(normalisation.std)}"


def _serves(targets: tuple[str, ...], capability: str) -> bool:
    """Whether a portable engine may be tried: named, or one of the same major version that is older.

    An engine without targets is for all since 8.6 that tensorrt-rtx supports.
    """
    major, minor = map(int, capability.split("."))
    if not targets:
        return major >= 8 and rtx_supports(capability)
    known = [divmod(int(target.removeprefix("sm_")), 10) for target in targets]
    return any(target_major == major and target_minor <= minor for target_major, target_minor in known)


def _shown(numbers: float | tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in (numbers if isinstance(numbers, tuple) else (numbers,)))
