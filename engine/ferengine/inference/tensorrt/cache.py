"""Where engines are kept, and how the one for a network is found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ferengine.errors import ModelError
from ferengine.inference.files import user_cache
from ferengine.inference.tensorrt.engine_file import (
    EngineFile,
    Mismatch,
    digest,
    find_mismatches,
    list_engines,
    load_engine,
)
from ferengine.inference.tensorrt.environment import Environment
from ferengine.inference.tensorrt.networks import Network
from ferengine.inference.tensorrt.tensorrt import TensorRT
from ferengine.models.settings import Precision


@dataclass(frozen=True, slots=True)
class Search:
    """The engine that serves, or why none does.

    Attributes:
        file: The engine; None where none serves.
        reason: Why, in one line with the hint.
    """

    file: EngineFile | None
    reason: str


def engines_folder() -> Path:
    """The user's cache of engines.

    Raises:
        ModelError: There is no home to keep it in.
    """
    cache = user_cache()
    if cache is None:
        raise ModelError("there is no home folder to keep engines in: set XDG_CACHE_HOME, or name a folder with --out")
    return cache / "engines"


def find_engine(
    folders: list[Path], network: Network, precision: Precision, trt: TensorRT, max_batch: int, here: Environment
) -> Search:
    """The first engine that was built of a network and serves here.

    Args:
        folders: Where to look, in this order.
        network: What is to run.
        precision: That it is to run in.
        trt: What is to run it.
        max_batch: The largest batch that is to run.
        here: This machine.

    Returns:
        The engine; else why the one that fits best cannot be used, or the command that builds one.
    """
    nearest: tuple[EngineFile, list[Mismatch]] | None = None
    source = digest(network.onnx)
    for file in (file for folder in folders for file in list_engines(folder)):
        if file.record.source_sha256 != source and file.record.model != network.name:
            continue
        mismatches = find_mismatches(
            file.record, source_sha256=source, normalisation=network.normalisation, precision=precision, runtime=trt.name,
            runtime_version=trt.version, max_batch=max_batch, here=here,
        )  # fmt: skip
        if not mismatches:
            return Search(file, f"{file.path} serves")
        if nearest is None or len(mismatches) < len(nearest[1]):
            nearest = file, mismatches
    if nearest is None:
        where = ", ".join(map(str, folders))
        words = ["ferengine", "build-trt", "--model", network.argument]
        command = shlex.join(words if precision == "fp16" else [*words, "--precision", precision])
        return Search(None, f"there is no TensorRT engine of {network.name} in {where}: {command}")
    return Search(None, f"{nearest[0].path.name} cannot be used: " + "; ".join(map(str, nearest[1])))


def read_engine(search: Search) -> bytes:
    """The serialised engine that was found.

    Raises:
        ModelError: None was found, or it cannot be trusted.
    """
    if search.file is None:
        raise ModelError(search.reason)
    return load_engine(search.file)
