"""Takes a model of one's own into the user's folder, once it has been checked."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.json_text import json_text, parse_json
from ferengine.models.registry import (
    SHIPPED,
    Model,
    added_models,
    check_one_file,
    load_model,
    missing_manifest,
    parse_manifest,
    read_file,
    user_models,
)
from ferengine.models.self_test import probe_crops
from ferengine.models.settings import FILE_ON_CPU

_NAME = re.compile("[a-z0-9][a-z0-9_.-]{0,63}")
_TOLERANCE = 1e-3
"""Of the outputs, which are logits and values: what one face gives alone and among others."""


@dataclass(frozen=True, slots=True)
class Added:
    """A model that was taken in.

    Attributes:
        model: The model, where it lies now.
        notes: What the user should know, a sentence each.
    """

    model: Model
    notes: tuple[str, ...]


def add_model(file: Path, manifest: Path | None = None, *, name: str | None = None, overwrite: bool = False) -> Added:
    """Check a model, and copy it into the user's folder, where ``--model NAME`` finds it.

    The network is run on crops of all kinds: its outputs must fit the heads of the manifest, be finite, be logits where the
    manifest says so, and not depend on the other faces of a batch.

    Args:
        file: The ONNX file.
        manifest: Its manifest, by default the ``.json`` beside it. ``name``, ``file`` and ``sha256`` may be left out; a
            ``sha256`` that is there must be right.
        name: What it is to be called, by default the manifest's name, else the file's.
        overwrite: Whether it may replace an added model of that name.

    Returns:
        The model.

    Raises:
        UsageError: It is no ONNX file, or the name is taken, or none.
        ModelError: The model is not what the manifest says, or the folder cannot be written.
    """
    if file.suffix.lower() != ".onnx":
        raise UsageError(f"{file} is no .onnx file: export the network to ONNX first")
    data = read_file(file)
    if manifest is None:
        manifest = file.with_suffix(".json")
        if not manifest.exists():
            raise missing_manifest(file, manifest)
    check_one_file(file, data)
    described = _described(manifest)
    chosen = name or described.get("name") or file.stem
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen) or chosen.endswith(".onnx"):
        raise UsageError(f"a model is called by lower-case letters, digits, '-', '_' and '.', not {chosen!r}: choose a --name")
    if (SHIPPED / f"{chosen}.json").is_file():
        raise UsageError(f"a model called {chosen} ships with ferengine: choose another --name")
    if chosen in added_models() and not overwrite:
        raise UsageError(f"there is a model called {chosen} already: choose another --name, or --overwrite")
    digest = hashlib.sha256(data).hexdigest()
    if described.get("sha256", digest) != digest:
        raise ModelError(f"{file} is not the file of {manifest} (SHA-256 differs): leave sha256 out, or export it again")
    complete = {**described, "name": chosen, "file": f"{chosen}.onnx", "sha256": digest}
    parsed = parse_manifest(manifest, json.dumps(complete))
    folder = user_models()
    if folder is None:
        raise ModelError("there is no home to keep models in: set XDG_DATA_HOME, or name the .onnx file with --model")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as beside:
            network, text = Path(beside, f"{chosen}.onnx"), Path(beside, f"{chosen}.json")
            network.write_bytes(data)
            text.write_text(json_text(parsed.to_json(), indent=2) + "\n", encoding="utf-8")
            notes = _checked(network)
            for path in (network, text):
                shutil.move(path, folder / path.name)
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror or error}: set XDG_DATA_HOME, or name the .onnx file with --model"
        ) from None
    return Added(load_model(chosen), notes)


def remove_model(name: str) -> None:
    """Delete a model from the user's folder.

    Raises:
        UsageError: No added model has that name.
        ModelError: It cannot be deleted.
    """
    folder, added = user_models(), added_models()
    if folder is None or name not in added:
        raise UsageError(f"there is no added model {name!r}: there is {', '.join(added) or 'none'}")
    try:
        for path in (folder / f"{name}.json", folder / f"{name}.onnx"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{folder / name} cannot be removed: {error.strerror}") from None


def _described(path: Path) -> dict[str, Any]:
    try:
        described = parse_json(read_file(path, 1 << 20))
    except ValueError as error:
        raise ModelError(f"{path} is not a manifest: {error}") from None
    if not isinstance(described, dict):
        raise ModelError(f"{path} is not a manifest: it holds no JSON object")
    return described


def _checked(path: Path) -> tuple[str, ...]:
    """Run a network on all kinds of crops; what is worth a note."""
    classifier = Classifier(path, backend=FILE_ON_CPU)
    name, crops = classifier.manifest.name, probe_crops(classifier.crop)
    together = classifier.raw(crops)
    alone = [np.concatenate(rows) for rows in zip(*(classifier.raw(crops[i : i + 1]) for i in range(len(crops))), strict=True)]
    notes = []
    for head, one, other in zip(classifier.heads, together, alone, strict=True):
        if not np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise ModelError(
                f"model {name}: in the head {head.name} a face's numbers depend on the other faces of a batch, or on chance: "
                "export the network in evaluation mode"
            )
        if head.kind == "labels" and one.min() >= 0 and one.max() <= 1:
            notes.append(f"the head {head.name} gives numbers from 0 to 1 only: if it ends in a sigmoid, remove that")
    used = {head.output or head.name for head in classifier.heads}
    unused = [output for output in classifier.runner.output_names if output not in used]
    if unused and len(classifier.runner.output_names) > 1:
        notes.append(f"no head takes the output {', '.join(unused)}")
    classifier.close()
    return tuple(notes)
