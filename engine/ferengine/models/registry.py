"""Finds models by name or path and refuses files that are not what their manifest says.

A name is that of a model that ships with the package, or of one that ``ferengine models add`` has put into the user's folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ferengine.errors import ModelError, UsageError, describe_invalid
from ferengine.json_text import parse_json
from ferengine.models.manifest import Manifest
from ferengine.models.onnx_fields import has_external_data

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT = "standard"
GENDER = "gender"
"""The shipped network that reads perceived gender presentation."""

_MAX_MANIFEST = 1 << 20
_MAX_MODEL = (1 << 31) - 1
"""Bytes. A protocol buffer, which an ONNX file is, holds less than 2 GiB."""


@dataclass(frozen=True, slots=True)
class Model:
    """A manifest and the ONNX file that it describes, its hash checked.

    Attributes:
        manifest: What is known of it.
        path: Where the ONNX file lies.
        onnx: What it holds.
    """

    manifest: Manifest
    path: Path
    onnx: bytes = field(repr=False)

    @property
    def ships(self) -> bool:
        """Whether it came with the package."""
        return self.path.parent == SHIPPED

    @property
    def is_added(self) -> bool:
        """Whether it lies in the user's folder of models."""
        return self.path.parent == user_models()

    @property
    def called(self) -> str:
        """What ``--model`` takes: the name of a shipped or added model, else the path."""
        return self.path.stem if self.ships or self.is_added else str(self.path)


def user_models() -> Path | None:
    """The user's folder of models (XDG Base Directory Specification); None where there is no home."""
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".local" / "share"
    except RuntimeError:  # no HOME, and no such user either
        return None
    return base / "ferengine" / "models"


def added_models() -> list[str]:
    """The names of the models in the user's folder."""
    folder = user_models()
    try:
        return [] if folder is None else sorted(path.stem for path in folder.glob("*.json"))
    except OSError:  # a folder that may not be read holds no model that could be loaded
        return []


def model_names() -> list[str]:
    """The names of all models: those that ship with the package, then those of the user's folder."""
    return [*_shipped_names(), *added_models()]


def _shipped_names() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def list_models() -> list[Manifest]:
    """Manifests of the models that ship with the package, by name."""
    return [_read_manifest(path) for path in sorted(SHIPPED.glob("*.json"), key=lambda path: path.stem)]


def load_model(name: str | Path, task: str | None = None) -> Model:
    """A model, by name or path.

    Args:
        name: The name of a shipped or added model, or the path of an ``.onnx`` file with its ``.json`` beside it.
        task: ``expression`` or ``gender``, where no other will do.

    Raises:
        UsageError: There is no model of that name.
        ModelError: A file is missing, the manifest is wrong, the SHA-256 of the ONNX file differs, weights of it lie in
            other files, which that does not cover, or the model has another task.

    Example:
        >>> load_model("standard").manifest.task
        'expression'
    """
    beside = str(name).endswith(".onnx")
    if beside:
        path = Path(name)
        manifest_path = path.with_suffix(".json")
        try:
            exists, has_manifest = path.is_file(), manifest_path.is_file()
        except OSError as error:  # too long, or below a folder that may not be entered
            raise ModelError(f"{path} cannot be read: {error.strerror}") from None
        if not exists:
            raise ModelError(f"{path} does not exist")
        if not has_manifest:
            raise missing_manifest(path, manifest_path)
    else:
        if str(name) not in (known := model_names()):
            raise UsageError(f"there is no model {str(name)!r}: choose one of {', '.join(known)}, or a .onnx file")
        folder = SHIPPED if str(name) in _shipped_names() else user_models() or SHIPPED
        manifest_path = folder / f"{name}.json"
    manifest = _read_manifest(manifest_path)
    if task is not None and manifest.task != task:
        raise ModelError(f"the model {name} reads {manifest.task}, not {task}")
    if not beside:
        path = folder / manifest.file
    data = read_file(path)
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise ModelError(f"{path} is not the file of its manifest (SHA-256 differs): reinstall or export it again")
    check_one_file(path, data)
    return Model(manifest, path, data)


def missing_manifest(network: Path, manifest: Path) -> ModelError:
    """What to say of a network without a manifest: the shortest that is one."""
    shortest = '{"labels": [...], "input": {"size": 48, "mean": 0, "std": 255}, "licence": "...", "intended_use": "..."}'
    return ModelError(f"{network} has no manifest: write {manifest}, such as {shortest} (see Add a model in the documentation)")


def check_one_file(path: Path, data: bytes) -> None:
    """ModelError where an ONNX file keeps weights in other files."""
    if has_external_data(data):
        raise ModelError(
            f"{path} keeps weights in other files, which its SHA-256 does not cover: save it as one file "
            "(onnx.save_model(onnx.load(PATH), PATH))"
        )


def read_file(path: Path, limit: int = _MAX_MODEL) -> bytes:
    """The bytes of a file, opened once and without waiting for one that is none."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - of a descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path} is no file")
            if status.st_size > limit:
                raise ModelError(f"{path} has {status.st_size:,} bytes, and {limit:,} are the maximum")
            return file.read(limit)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def _read_manifest(path: Path) -> Manifest:
    return parse_manifest(path, read_file(path, _MAX_MANIFEST))


def parse_manifest(path: Path, data: bytes | str) -> Manifest:
    """The manifest that ``data`` holds, which comes from ``path``.

    Raises:
        ModelError: It is none; the message names the field.
    """
    try:
        value = parse_json(data)
    except ValueError as error:
        raise ModelError(f"{path} is not a manifest: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a manifest: it holds no JSON object")
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _place(first["loc"], value) if first["type"] != "missing" else first["loc"]
        said = describe_invalid(first, ".".join(map(str, where)), model=Manifest)
        raise ModelError(f"{path} is not a manifest: {said}") from None


def _place(names: tuple[int | str, ...], value: Any) -> tuple[int | str, ...]:
    """The part of a place that ``value`` has: behind it pydantic names the types that a value might have had."""
    for depth, name in enumerate(names):
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):
            return names[:depth]
    return names
