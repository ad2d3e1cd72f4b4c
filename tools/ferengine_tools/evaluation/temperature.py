"""Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ferengine.classification.classifier import Classifier
from ferengine.errors import UsageError
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.evaluation.metrics import negative_log_likelihood, softmax
from ferengine_tools.files import written_whole

_RANGE = (0.05, 20.0)


def fit_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64], log_prior: NDArray[np.float64] | None = None
) -> float:
    """The temperature in [0.05, 20] at which the likelihood of ``labels`` (N,) is largest under softmax(logits / T +
    log_prior), (N, C); without ``log_prior`` (C,) under softmax(logits / T).

    Raises UsageError for an empty set.
    """
    if not len(labels):
        raise UsageError("a temperature cannot be fitted to no faces")

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(logarithm)), log_prior), labels)

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def class_temperature(classifier: Classifier, faces: LabelledFaces) -> float:
    """The temperature of ``classifier`` over all its classes, on faces of its own size, under the prior of the faces where the
    model names any. Raises UsageError where it does not know a class of theirs, or their prior."""
    LabelMap().matrix(classifier.labels, faces.classes)
    order = np.array([classifier.labels.index(name) for name in faces.classes])
    known = classifier.manifest.priors and faces.prior is not None
    prior = choose_prior(classifier.manifest, faces.prior) if known else None
    logits = classifier.logits(faces.images)
    return fit_temperature(logits, order[faces.labels], None if prior is None else prior.logarithm())


def check_writable(model: str | Path) -> None:
    """Raises UsageError for the name of an installed model, for only a file given by its path is changed, and a checkpoint."""
    if str(model).endswith(".safetensors"):
        raise UsageError(f"{model} is a checkpoint and keeps no temperature: export it first (ferengine export-onnx)")
    if not str(model).endswith(".onnx"):
        raise UsageError(f"{model} is an installed model: name the .onnx file whose manifest is to be changed")


def write_temperature(model: str | Path, temperature: float) -> Path:
    """Put ``temperature`` into the manifest beside the model file ``model``; the manifest's path.

    The old manifest stays until the new one is whole. Raises UsageError for the name of a shipped model, ModelError for
    what is no model, and FerengineError where it cannot be written.
    """
    check_writable(model)
    loaded = load_model(model)
    manifest = loaded.manifest.model_copy(update={"temperature": round(temperature, 4)})
    path = Path(model).with_suffix(".json")
    with written_whole(path) as beside:
        beside.write_text(json.dumps(manifest.to_json(), indent=2) + "\n")
    return path
