"""Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.data import LabelSet
from ferengine_tools.data.wild_faces import is_wild_faces
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.evaluation.metrics import negative_log_likelihood, softmax
from ferengine_tools.evaluation.network import grey_logits
from ferengine_tools.evaluation.priors import POWERS
from ferengine_tools.evaluation.sets import fer2013_faces, utkface_faces, wild_faces
from ferengine_tools.files import written_whole

_RANGE = (0.05, 20.0)


def fit_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64], log_prior: NDArray[np.float64] | None = None
) -> float:
    """Return the temperature T at which the likelihood of the labels under softmax(logits / T + log_prior) is largest.

    Args:
        logits: float32 (N, C).
        labels: int64 (N,), drawn by that prior.
        log_prior: Its logarithm, (C,).

    Returns:
        A value in [0.05, 20].

    Raises:
        UsageError: There are no faces.
    """
    _check_any(labels)

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(logarithm)), log_prior), labels)

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def confidence_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64], log_prior: NDArray[np.float64] | None = None
) -> float:
    """Return the temperature at which the mean confidence is the accuracy.

    This is for a prior that is not that of the labels, such as tempered frequencies: there the likelihood is largest where the
    tempering is undone.

    Args:
        logits: float32 (N, C).
        labels: int64 (N,).
        log_prior: Its logarithm, (C,).

    Returns:
        A value in [0.05, 20], the lowest where there are several: at high ones all faces are read as the prior alone says. The
        lowest of all where faces are never sure enough, the highest where they are always too sure.

    Raises:
        UsageError: There are no faces.
    """
    _check_any(labels)

    def excess(logarithm: float) -> float:
        scores = softmax(logits, float(np.exp(logarithm)), log_prior)
        return float(scores.max(axis=1).mean() - np.mean(scores.argmax(axis=1) == labels))

    lowest, highest = np.log(_RANGE).tolist()
    steps = np.linspace(lowest, highest, 61)
    first = next((index for index, step in enumerate(steps) if excess(step) <= 0), None)
    if first is None or first == 0:
        return _RANGE[1] if first is None else _RANGE[0]
    return float(np.exp(brentq(excess, steps[first - 1], steps[first], xtol=1e-4)))


def _check_any(labels: NDArray[np.int64]) -> None:
    if not len(labels):
        raise UsageError("a temperature cannot be fitted to no faces")


def fitted(classifier: Classifier, faces: LabelledFaces) -> tuple[float, str | None]:
    """Fit the temperature of a classifier over all its classes, on faces of its own size: the likeliest one, or under a prior
    of POWERS, which is not that of the faces, the one at which confidence is accuracy.

    Returns:
        The temperature, and the prior that it was fitted under: that of the faces where the model names priors, else None.

    Raises:
        UsageError: It does not know a class of the faces, or their prior.
    """
    LabelMap().matrix(classifier.labels, faces.classes)
    order = np.array([classifier.labels.index(name) for name in faces.classes])
    prior = choose_prior(classifier.manifest, faces.prior) if classifier.manifest.priors and faces.prior is not None else None
    logits = grey_logits(classifier, faces.images)
    if prior is None:
        return fit_temperature(logits, order[faces.labels]), None
    find = confidence_temperature if prior.name in POWERS else fit_temperature
    return find(logits, order[faces.labels], prior.logarithm()), prior.name


def check_writable(model: str | Path) -> None:
    """Check that a temperature can be written for ``model``.

    Raises:
        UsageError: It is the name of an installed model, or a checkpoint.
    """
    if str(model).endswith(".safetensors"):
        raise UsageError(f"{model} is a checkpoint and keeps no temperature: export it first (ferengine export-onnx)")
    if not str(model).endswith(".onnx"):
        raise UsageError(f"{model} is an installed model: name the .onnx file whose manifest is to be changed")


def write_temperature(model: str | Path, temperature: float, prior: str | None = None) -> Path:
    """Write a temperature into the manifest of a model file; the old manifest stays until the new one is whole.

    Args:
        model: The ``.onnx`` file.
        temperature: The temperature.
        prior: The one of the manifest's priors that it was fitted under, None for a model without any: see
            ``Manifest.with_temperature``.

    Returns:
        The manifest.

    Raises:
        UsageError: ``model`` is not a ``.onnx`` file.
        ModelError: The file is no model.
        FerengineError: The manifest cannot be written.
    """
    check_writable(model)
    manifest = load_model(model).manifest.with_temperature(round(temperature, 4), prior)
    path = Path(model).with_suffix(".json")
    with written_whole(path) as beside:
        beside.write_text(json_text(manifest.to_json(), indent=2) + "\n")
    return path


def fit(model: str, data: Path, *, labels: LabelSet = "fer2013", cache: Path | None = None) -> tuple[float, str | None, Path]:
    """Fit the temperature of a model file and write it into its manifest: that under the prior of the faces, where the
    manifest names it.

    Args:
        model: The ``.onnx`` file.
        data: FER-2013, whose PublicTest it is fitted on; wild_faces, or for a model of gender UTKFace, their validation splits.
        labels: FER-2013's labels, or those with contempt.
        cache: Folder of UTKFace's crops; the user's cache if None.

    Returns:
        The temperature, the prior that it is for (None for all) and the manifest.

    Raises:
        UsageError: ``model`` is not a file, or the data cannot be read or have other classes.
        ModelError: The file is no model.
        FerengineError: The manifest cannot be written.
    """
    check_writable(model)
    classifier = Classifier(model, backend=FILE_ON_CPU)
    if classifier.manifest.task == "gender":
        faces = utkface_faces(data, "validation", cache)
    elif is_wild_faces(data):
        faces = wild_faces(data, "validation")
    else:
        faces = fer2013_faces(data, "public", labels=labels)
    temperature, prior = fitted(classifier, faces.sized(classifier.input_size))
    return temperature, prior, write_temperature(model, temperature, prior)
