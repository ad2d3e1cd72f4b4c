"""Where engines are kept, and how the one for a network is found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ferengine.detection.mtcnn_weights import cache_folder
from ferengine.errors import ModelError
from ferengine.inference.tensorrt.engine_file import (
    EngineFile,
    Mismatch,
    Precision,
    digest,
    find_mismatches,
    list_engines,
    load_engine,
)
from ferengine.inference.tensorrt.environment import Environment
from ferengine.inference.tensorrt.tensorrt import TensorRT


@dataclass(frozen=True, slots=True)
class Search:
    """The engine that serves, or why none does: ``reason`` says it in one line."""

    file: EngineFile | None
    reason: str


def engines_folder() -> Path:
    """The user's cache of engines. Raises ModelError when there is no home to keep it in."""
    networks = cache_folder()
    if networks is None:
        raise ModelError("there is no home folder to keep engines in: set XDG_CACHE_HOME, or name a folder with --out")
    return networks.parent / "engines"


def find_engine(
    folders: list[Path],
    model: str,
    onnx: bytes,
    precision: Precision,
    trt: TensorRT,
    max_batch: int,
    here: Environment,
    named: str | None = None,
) -> Search:
    """The first engine in ``folders`` that was built from ``onnx`` and serves here. ``named``: what build-trt calls the
    network, where that is not ``model``."""
    nearest: tuple[EngineFile, list[Mismatch]] | None = None
    source = digest(onnx)
    for file in (file for folder in folders for file in list_engines(folder)):
        if file.record.source_sha256 != source and file.record.model != model:
            continue
        mismatches = find_mismatches(
            file.record, source_sha256=source, precision=precision, runtime=trt.name,
            runtime_version=trt.version, max_batch=max_batch, here=here,
        )  # fmt: skip
        if not mismatches:
            return Search(file, f"{file.path} serves")
        if nearest is None or len(mismatches) < len(nearest[1]):
            nearest = file, mismatches
    if nearest is None:
        where = ", ".join(map(str, folders))
        words = ["ferengine", "build-trt", "--model", named or model]
        command = shlex.join(words if precision == "fp16" else [*words, "--precision", precision])
        return Search(None, f"there is no engine of {model} in {where}: {command}")
    return Search(None, f"{nearest[0].path.name} cannot be used: " + "; ".join(map(str, nearest[1])))


def read_engine(search: Search) -> bytes:
    """The serialised engine that was found. Raises ModelError when there is none, or it cannot be trusted."""
    if search.file is None:
        raise ModelError(search.reason)
    return load_engine(search.file)
