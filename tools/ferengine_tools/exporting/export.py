"""A checkpoint, or a model in another precision, becomes an ONNX file and its manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import FerengineError, UsageError
from ferengine.inference.base import only_output
from ferengine.inference.conversion import is_quantised, to_fp16, to_int8
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.json_text import json_text, parse_json
from ferengine.models.manifest import Accuracy, InputSpec, Manifest, Training
from ferengine.models.registry import load_model
from ferengine.models.self_test import self_test_crops
from ferengine.models.settings import Precision
from ferengine_tools.data.fer2013 import NAME as FER2013
from ferengine_tools.data.fer2013 import Split, load_fer2013
from ferengine_tools.data.utkface import load_utkface, user_cache
from ferengine_tools.evaluation.faces import resize
from ferengine_tools.evaluation.priors import default_prior, known_priors
from ferengine_tools.exporting.check import Agreement, compare
from ferengine_tools.exporting.metrics import measured
from ferengine_tools.files import make_folder
from ferengine_tools.training.config import Prior

INTENDED_USE = {
    "expression": "Perceived facial expression in video, for research and interaction. It reads what a face shows, not what a "
    "person feels, and must not be used to infer emotions at work or in education (EU AI Act, article 5).",
    "gender": "Perceived gender presentation, for research on groups. It reads how a face looks to others, not who a person "
    "is, knows two classes only, and must not decide anything about a person.",
}
_KNOWN_SETS = frozenset({FER2013, "FER+ votes", "UTKFace", "wild_faces"})
"""What training calls the data sets whose licences are known: for research."""
_CHECKED, _CALIBRATED = 2000, 512
"""Faces of the validation split that the file is checked on, of the training split that set int8's ranges."""


@dataclass(frozen=True)
class _Source:
    """A network in fp32: the file, what its origin answers to normalised crops, and its manifest."""

    onnx: bytes
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    manifest: Manifest


def export(
    source: Path | str,
    out: Path,
    *,
    precision: Precision = "fp32",
    data: Path | None = None,
    private: bool = False,
    notes: str = "",
    cache: Path | None = None,
    everyday: Path | None = None,
    prior: Prior = "uniform",
) -> tuple[Manifest, Agreement]:
    """Write a model and its manifest.

    The file is compared with its source on real faces of ``data``, or on noise where fp32 is written without data. fp16 and
    int8 keep float32 inputs and outputs; int8 is static, in the QDQ format, calibrated on training faces. A model that is
    converted keeps its temperatures under the priors that no data is given for.

    Args:
        source: A checkpoint (``.safetensors``), the name of a model, or a ``.onnx`` file.
        out: The ``.onnx`` file; the manifest lies beside it.
        precision: Of the weights.
        data: FER-2013, or UTKFace for gender. With data the metrics of the manifest are measured.
        private: Whether to measure on the final split as well.
        notes: Notes for the manifest; behind those of a model.
        cache: Folder of UTKFace's crops; the user's cache if None.
        everyday: wild_faces, for a model of expression under a uniform prior: a temperature under their prior is fitted on its
            validation faces, beside that of ``data``.
        prior: Whether the export of a checkpoint answers under a uniform prior, and names the priors that it knows, or under
            the class frequencies of its data (of several sets the first). The difference goes into the bias of the last layer.
            For a model "uniform".

    Returns:
        The manifest, and how well the file agrees with its source.

    Raises:
        ModelError: The file disagrees with its source; what was there stays.
        UsageError: fp16 or int8 without data, or settings that do not fit the source.
        FerengineError: The file cannot be written.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"{out} must end in .onnx; its manifest is written beside it, as .json")
    if precision != "fp32" and data is None:
        raise UsageError(f"--precision {precision} needs --data: the file is checked on real faces before it is kept")
    if everyday is not None and data is None:
        raise UsageError("--everyday needs --data: a temperature is fitted on each")
    if str(source).endswith(".safetensors"):
        origin = _of_checkpoint(Path(source), notes, prior)
    elif prior != "uniform":
        raise UsageError(f"--prior {prior} is for checkpoints: a model answers under the prior that it was exported with")
    else:
        origin = _of_model(source, notes)
    manifest, onnx = origin.manifest, origin.onnx
    if everyday is not None and (manifest.task != "expression" or not manifest.priors):
        raise UsageError("--everyday is for models of expression that answer under a uniform prior")
    if precision == "fp16":
        onnx = to_fp16(onnx)
    elif precision == "int8":
        assert data is not None
        onnx = to_int8(onnx, _faces(manifest, data, "training", _CALIBRATED, cache))
    batch = _noise(manifest.input.size) if data is None else _faces(manifest, data, "public", _CHECKED, cache)
    agreement = compare(origin.logits(batch), onnx, batch, precision)
    manifest = manifest.model_copy(
        update={"name": out.stem, "file": out.name, "precision": precision, "sha256": hashlib.sha256(onnx).hexdigest(),
                "source_sha256": hashlib.sha256(origin.onnx).hexdigest() if precision == "int8" else None,
                "accuracy": manifest.accuracy if onnx == origin.onnx else Accuracy(), "self_test": self_test(onnx, manifest)}
    )  # fmt: skip
    with written_model(out) as beside:
        beside.write_bytes(onnx)
        write_manifest(beside, manifest)
        if data is not None:
            manifest = measured(beside, manifest, data, private=private, cache=cache, everyday=everyday)
            write_manifest(beside, manifest)
    return manifest, agreement


@contextmanager
def written_model(out: Path) -> Iterator[Path]:
    """Yield where an ONNX file and its manifest are written, which in the end take the places of ``out`` and of the manifest
    beside that; until then these stay.

    Raises:
        UsageError: As ``check_place``.
        FerengineError: As ``check_place``, or the files cannot be written.
    """
    check_place(out)
    try:
        with TemporaryDirectory(dir=out.parent) as folder:
            beside = Path(folder) / out.name
            yield beside
            beside.replace(out)
            beside.with_suffix(".json").replace(out.with_suffix(".json"))
    except OSError as error:
        raise FerengineError(f"{out} cannot be written: {error.strerror or error}: make room, or choose another") from None


def check_place(out: Path) -> None:
    """Refuse a place where an ONNX file and its manifest cannot be written, before what takes long. The folder is made.

    Raises:
        UsageError: The folder cannot be made, ``out`` is one itself, or the file in the manifest's place is no manifest (but,
            say, a prior of one's own).
        FerengineError: The folder cannot be written to.
    """
    make_folder(out.parent)
    if out.is_dir():
        raise UsageError(f"{out} is a folder: choose another --out")
    try:
        with TemporaryDirectory(dir=out.parent):
            pass
    except OSError as error:
        raise FerengineError(f"{out} cannot be written: {error.strerror or error}: choose another --out") from None
    path = out.with_suffix(".json")
    try:
        old = parse_json(path.read_bytes()) if path.exists() else {"sha256": ""}
    except OSError as error:
        raise FerengineError(f"{path} cannot be read: {error.strerror}: choose another --out") from None
    except ValueError:
        old = None
    if not isinstance(old, dict) or "sha256" not in old:
        raise UsageError(f"{path}, where the manifest is written, is no manifest: choose another --out")


def int8_loss(manifest: Manifest, source: str) -> float | None:
    """Return how much accuracy int8 costs on the validation split, as a fraction; None where it is not known.

    Args:
        manifest: The int8 model.
        source: The model that it was made from.
    """
    before, after = load_model(source).manifest.accuracy.public, manifest.accuracy.public
    return None if before is None or after is None else before - after


def _of_checkpoint(path: Path, notes: str, prior: Prior) -> _Source:
    import torch

    from ferengine_tools.exporting.graph import multiply_adds, to_onnx
    from ferengine_tools.networks.registry import deployed
    from ferengine_tools.training.dataset import MEAN, STD
    from ferengine_tools.training.origin import restored, set_prior

    state, network = restored(path)
    task, planned = state["settings"]["task"], state["settings"]["epochs"]
    if task == "both":
        raise UsageError(f"{path} has two heads; the engine runs expression and gender as networks of their own")
    set_prior(network, state, prior)
    network = deployed(network)
    early = "" if state["epoch"] >= planned else f"Stopped after {state['epoch']} of {planned} epochs of the schedule."

    @torch.no_grad()
    def logits(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = network(torch.from_numpy(batch)).numpy()
        return answer

    manifest = Manifest(
        name=path.stem,
        task=task,
        file=path.name,
        sha256="0" * 64,
        network=state["network"],
        parameters=sum(p.numel() for p in network.parameters()),
        mmac=round(multiply_adds(network) / 1e6, 2),
        labels=tuple(state["labels"]),
        input=InputSpec(size=48, mean=MEAN, std=STD),
        training=Training(
            command=state["command"],
            dataset=state["dataset"],
            split="Training",
            epochs=state["epoch"],
            seed=state["settings"]["seed"],
            machine=state["machine"],
            notes=" ".join(filter(None, (early, state.get("notes"), notes))),
        ),
        priors=known_priors(state["labels"]) if prior == "uniform" else {},
        prior=default_prior(task) if prior == "uniform" else None,
        accuracy=Accuracy(),
        licence=_licence(state["dataset"]),
        intended_use=INTENDED_USE[task],
    )
    return _Source(to_onnx(network), logits, manifest)


def _licence(dataset: str) -> str:
    """The licence of the weights; not stated for those trained on faces of your own, whose licence is not known here."""
    unknown = [name for name in re.split(" and | with ", dataset) if name not in _KNOWN_SETS]
    if unknown:
        return f"not stated: trained on {', '.join(unknown)}, whose owner decides"
    return f"MIT (the weights; {dataset}, which they were trained on, is for research)"


def _of_model(name: Path | str, notes: str) -> _Source:
    loaded = load_model(name)
    if loaded.manifest.precision != "fp32" or is_quantised(loaded.onnx):
        raise UsageError(f"{name} is {loaded.manifest.precision} already: other precisions are made from an fp32 model")
    if loaded.manifest.heads or loaded.manifest.input.channels != 1:
        raise UsageError(f"{name} has named heads or reads colours: other precisions are made of grey models with one output")
    runner, training = OrtRunner(loaded.onnx, max_batch=256), loaded.manifest.training
    training = training.model_copy(update={"notes": " ".join(filter(None, (training.notes, notes)))})
    manifest = loaded.manifest.model_copy(update={"training": training})
    return _Source(loaded.onnx, lambda batch: only_output(runner.run(batch)), manifest)


def _faces(manifest: Manifest, data: Path, split: Split, count: int, cache: Path | None) -> NDArray[np.float32]:
    """The first ``count`` normalised faces of a split in a random, fixed order."""
    if manifest.task == "gender":
        genders = load_utkface(data, cache or user_cache())
        images = genders.images[genders.indices("training" if split == "training" else "validation")]
    else:
        fer = load_fer2013(data)
        images = fer.images[fer.indices(split)]
    chosen = images[np.random.default_rng(0).permutation(len(images))[:count]]
    return _normalised(resize(chosen, manifest.input.size), manifest)


def _normalised(crops: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.float32]:
    mean, std = manifest.input.normalisation
    return ((crops[:, None].astype(np.float32) - mean) / std).astype(np.float32)


def _noise(side: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(64, 1, side, side)).astype(np.float32)


def self_test(onnx: bytes, manifest: Manifest) -> tuple[tuple[float, ...], ...]:
    """The logits of the built-in synthetic faces, through ONNX Runtime."""
    logits = only_output(OrtRunner(onnx).run(_normalised(self_test_crops(manifest.input.size), manifest)))
    return tuple(tuple(round(float(value), 5) for value in row) for row in logits)


def write_manifest(onnx: Path, manifest: Manifest) -> None:
    onnx.with_suffix(".json").write_text(json_text(manifest.to_json(), indent=2) + "\n")
