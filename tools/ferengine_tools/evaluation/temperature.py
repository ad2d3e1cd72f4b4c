"""Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine.models.settings import FILE_ON_CPU
from ferengine_tools.data.fer2013 import LabelSet
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.evaluation.metrics import expected_calibration_error, negative_log_likelihood, softmax
from ferengine_tools.evaluation.network import grey_logits
from ferengine_tools.evaluation.priors import log_prior
from ferengine_tools.evaluation.sets import fer2013_faces, utkface_faces
from ferengine_tools.files import written_whole

MAX_ECE = {"fer2013": 0.03, "everyday": 0.05}
"""Calibration errors that are aimed at, by the prior of the faces."""
_RANGE = (0.05, 20.0)
_STEPS = np.round(np.arange(0.5, 1.5, 0.005), 3)


def fit_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64], log_prior: NDArray[np.float64] | None = None
) -> float:
    """Return the temperature T at which the likelihood of the labels under softmax(logits / T + log_prior) is largest.

    Args:
        logits: float32 (N, C).
        labels: int64 (N,).

    Returns:
        A value in [0.05, 20].

    Raises:
        UsageError: There are no faces.
    """
    if not len(labels):
        raise UsageError("a temperature cannot be fitted to no faces")

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(logarithm)), log_prior), labels)

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def class_temperature(classifier: Classifier, faces: LabelledFaces) -> float:
    """Return the temperature of a classifier over all its classes, on faces of its own size.

    It is fitted under the prior of the faces where the model names any.

    Raises:
        UsageError: It does not know a class of the faces, or their prior.
    """
    LabelMap().matrix(classifier.labels, faces.classes)
    order = np.array([classifier.labels.index(name) for name in faces.classes])
    known = classifier.manifest.priors and faces.prior is not None
    prior = choose_prior(classifier.manifest, faces.prior) if known else None
    logits = grey_logits(classifier, faces.images)
    return fit_temperature(logits, order[faces.labels], None if prior is None else prior.logarithm())


def temperature_of_sets(
    logits: Sequence[NDArray[np.float32]],
    faces: Sequence[LabelledFaces],
    labels: Sequence[str],
    learnt: NDArray[np.float64] | None = None,
) -> float:
    """The one temperature that comes nearest to MAX_ECE on several sets.

    Args:
        logits: Of each set, (N, C).
        faces: The sets, of the classes ``labels``, each with a prior of MAX_ECE.
        labels: The classes.
        learnt: The logarithm of the prior that the network learnt with its data, (C,); None for one that answers under a
            uniform prior.

    Returns:
        The temperature at which the largest of the sets' calibration errors, each divided by its MAX_ECE, is smallest; the
        sets count alike, whatever their sizes.

    Raises:
        UsageError: A set has other classes.
    """
    if any(tuple(each.classes) != tuple(labels) for each in faces):
        raise UsageError(f"a temperature over several sets needs sets of the model's own classes: {', '.join(labels)}")

    def excess(temperature: float) -> float:
        errors = []
        for given, of_set in zip(logits, faces, strict=True):
            assert of_set.prior is not None
            moved = log_prior(of_set.prior, labels) - (0 if learnt is None else learnt)
            error = expected_calibration_error(softmax(given, temperature, moved), of_set.labels)
            errors.append(error / MAX_ECE[of_set.prior])
        return max(errors)

    return float(min(_STEPS, key=excess))


def check_writable(model: str | Path) -> None:
    """Check that a temperature can be written for ``model``.

    Raises:
        UsageError: It is the name of an installed model, or a checkpoint.
    """
    if str(model).endswith(".safetensors"):
        raise UsageError(f"{model} is a checkpoint and keeps no temperature: export it first (ferengine export-onnx)")
    if not str(model).endswith(".onnx"):
        raise UsageError(f"{model} is an installed model: name the .onnx file whose manifest is to be changed")


def write_temperature(model: str | Path, temperature: float) -> Path:
    """Write a temperature into the manifest of a model file; the old manifest stays until the new one is whole.

    Returns:
        The manifest.

    Raises:
        UsageError: ``model`` is not a ``.onnx`` file.
        ModelError: The file is no model.
        FerengineError: The manifest cannot be written.
    """
    check_writable(model)
    loaded = load_model(model)
    manifest = loaded.manifest.with_temperature(round(temperature, 4))
    path = Path(model).with_suffix(".json")
    with written_whole(path) as beside:
        beside.write_text(json_text(manifest.to_json(), indent=2) + "\n")
    return path


def fit(model: str, data: Path, *, labels: LabelSet = "fer2013", cache: Path | None = None) -> tuple[float, Path]:
    """Fit the temperature of a model file and write it into its manifest.

    Args:
        model: The ``.onnx`` file.
        data: FER-2013, whose PublicTest it is fitted on; for a model of gender UTKFace, its validation split.
        labels: FER-2013's labels, or those with contempt.
        cache: Folder of UTKFace's crops; the user's cache if None.

    Returns:
        The temperature and the manifest.

    Raises:
        UsageError: ``model`` is not a file, or the data cannot be read or have other classes.
        ModelError: The file is no model.
        FerengineError: The manifest cannot be written.
    """
    check_writable(model)
    classifier = Classifier(model, backend=FILE_ON_CPU)
    gender = classifier.manifest.task == "gender"
    faces = utkface_faces(data, "validation", cache) if gender else fer2013_faces(data, "public", labels=labels)
    temperature = class_temperature(classifier, faces.sized(classifier.input_size))
    return temperature, write_temperature(model, temperature)
