"""One model, or several together, on one set of labelled faces: everything that ``ferengine evaluate`` reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.classification.labelling import gender_confidence
from ferengine.config import make_config
from ferengine.errors import UsageError
from ferengine_tools.evaluation.confusion_matrix import fractions, in_paper_order
from ferengine_tools.evaluation.crops import Views, probabilities
from ferengine_tools.evaluation.ensemble import Ensemble
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.groups import GroupAccuracy, by_group
from ferengine_tools.evaluation.mapping import LabelMap, merge
from ferengine_tools.evaluation.metrics import Metrics, measure, of_five, softmax
from ferengine_tools.evaluation.network import of_classifier
from ferengine_tools.evaluation.paper import CLASSES, TABLE_ONE
from ferengine_tools.evaluation.prior_curve import CurvePoint, prior_curve
from ferengine_tools.evaluation.priors import COUNTS, log_frequencies, log_prior_of, under
from ferengine_tools.evaluation.stability import Stability, measure_stability


@dataclass(frozen=True)
class Calibration:
    """Errors of softmax(logits / temperature).

    Attributes:
        temperature: The one under the prior in force; None where each of several models has its own.
        nll: Mean negative log-likelihood, nats.
        ece: Expected calibration error.
    """

    temperature: float | None
    nll: float
    ece: float


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a model, or of several whose probabilities are averaged.

    Attributes:
        models: Their names.
        split: Of the faces.
        faces: How many there are.
        classes: Their classes.
        metrics: Single crop. ``nll`` and ``ece`` are at temperature 1; all else, as all of several models, is at the
            temperatures of the manifests: where a map adds outputs up, the temperature can decide which class is read.
        calibrated: With the manifest's temperature under ``prior``.
        views: How many views of each face ``averaged`` is over.
        averaged: Over the views, with the temperature of the manifest; None where it was not asked for.
        prior: The class frequencies that all but ``uniform`` is measured under; None: as the models answer.
        uniform: As ``metrics``, under a uniform prior; None where the models cannot answer so.
        stability: Single crop; None where it was not asked for.
        curve: Under ``prior`` to powers from 0 to 1, single crop, with the manifest's temperature under ``prior``, of one model
            that can answer so.
        groups: Accuracies by grouping, single crop, with how many faces a run would show a label of.
    """

    models: tuple[str, ...]
    split: str
    faces: int
    classes: tuple[str, ...]
    metrics: Metrics
    calibrated: Calibration
    views: Views = 1
    averaged: Metrics | None = None
    prior: str | None = None
    uniform: Metrics | None = None
    stability: Stability | None = None
    curve: tuple[CurvePoint, ...] = ()
    groups: Mapping[str, list[GroupAccuracy]] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Its name, or all names."""
        return " + ".join(self.models)

    @property
    def accuracy(self) -> float:
        """Single crop, in [0, 1]."""
        return self.metrics.accuracy

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; the ``averaged`` metrics are apart from those of the single crop."""
        written = {
            "model": self.model,
            "models": list(self.models),
            "split": self.split,
            "faces": self.faces,
            "classes": list(self.classes),
            "crops": 1,
            "prior": self.prior,
            **asdict(self.metrics),
            "calibrated": asdict(self.calibrated),
            "averaged": None if self.averaged is None else {"crops": self.views, **asdict(self.averaged)},
            "five": _five(self.metrics),
            "uniform": None if self.uniform is None else {**asdict(self.uniform), "five": _five(self.uniform)},
            "stability": None if self.stability is None else asdict(self.stability),
            "curve": [asdict(point) for point in self.curve],
            "groups": {grouping: [asdict(each) for each in rows] for grouping, rows in self.groups.items()},
        }
        ours = in_paper_order(fractions(self.metrics.confusion), self.classes)
        if ours is not None:
            ordered = [[None if np.isnan(value) else round(value, 4) for value in row] for row in ours.tolist()]
            written["table_one"] = {"classes": list(CLASSES), "paper": TABLE_ONE.tolist(), "ours": ordered}
        return written


def _five(metrics: Metrics) -> dict[str, float] | None:
    found = of_five(metrics.confusion, tuple(metrics.recall))
    return None if found is None else dict(zip(("macro_f1", "mean_recall"), found, strict=True))


@dataclass(frozen=True)
class Predictions:
    """What a model said of each face.

    Attributes:
        faces: The faces, with labels into ``classes``.
        classes: The C classes.
        scores: Their probabilities, float64 (N, C), single crop, with the temperature of the manifest.
    """

    faces: LabelledFaces
    classes: tuple[str, ...]
    scores: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which faces were read as they are labelled, bool (N,)."""
        return np.asarray(self.scores.argmax(axis=1) == self.faces.labels)


def _common_prior(ensemble: Ensemble) -> str | None:
    """The prior that the models' manifests choose; checkpoints choose none."""
    classifiers = [network.classifier for network in ensemble.networks if network.classifier is not None]
    chosen = list(dict.fromkeys(each.manifest.prior for each in classifiers if each.manifest.prior is not None))
    if len(chosen) > 1:
        raise UsageError(f"the models answer under different priors, {' and '.join(chosen)}: choose one with --prior")
    return chosen[0] if chosen else None


def evaluate_faces(
    model: Classifier | Ensemble,
    faces: LabelledFaces,
    split: str,
    *,
    label_map: LabelMap | None = None,
    views: Views = 1,
    prior: str | None = None,
    stability: bool = False,
) -> tuple[Evaluation, Predictions]:
    """Measure a model on labelled faces.

    A class that only the model has counts: a face read as it is a mistake, unless ``label_map`` leaves the output out.

    Args:
        model: What is measured.
        faces: At least one.
        split: The name of their split.
        label_map: Which output stands for which class.
        views: How many views of each face are averaged as well.
        prior: The class frequencies to measure under, a name of ``priors``. None: those of the faces where they are known,
            else those that the models answer under.
        stability: Whether to measure how often a label changes under a shift or in the mirror.

    Returns:
        The metrics, and what was said of each face.

    Raises:
        UsageError: The data have a class that the model does not know, a prior is given and a model's own is not known, or
            nothing says which of the models' priors to choose.
    """
    answered = model if isinstance(model, Ensemble) else Ensemble((of_classifier(model),))
    unknown = [network.name for network in answered.networks if network.prior is None]
    known = not unknown
    if prior is not None and unknown:
        raise UsageError(f"prior {prior}: {unknown[0]} names no priors and answers as it was trained: leave --prior out")
    if known and prior is None:
        prior = faces.prior or _common_prior(answered)
    ensemble = answered if prior is None else under(answered, prior)
    matrix, classes = (label_map or LabelMap()).matrix(ensemble.labels, faces.classes)
    faces = faces.sized(ensemble.input_size)
    logits = ensemble.logits(faces.images)
    scaled = merge(ensemble.probabilities(logits), matrix)
    plain = merge(softmax(logits[0]), matrix) if len(logits) == 1 else scaled
    calibrated, unscaled = (measure(each, faces.labels, classes) for each in (scaled, plain))
    averaged = None
    if views > 1:
        averaged = measure(merge(probabilities(ensemble, faces.images, views), matrix), faces.labels, classes)
    uniform, steady, curve = None, None, []
    if known and prior is not None:
        even = under(answered, "uniform")
        alone = even.logits(faces.images)
        uniform = measure(merge(even.probabilities(alone), matrix), faces.labels, classes)
        if len(alone) == 1 and prior != "uniform" and classes == faces.classes and set(classes) == set(ensemble.labels):
            order = [ensemble.labels.index(name) for name in classes]
            network = even.networks[0]
            full = log_frequencies(prior, network.labels) if prior in COUNTS else log_prior_of(network, prior)
            scaled_logits = alone[0][:, order].astype(np.float64) / network.temperature_under(prior)
            curve = prior_curve(scaled_logits, full[order], faces.labels, classes)
    if stability:
        wide = faces.images if faces.wide is None else faces.wide
        steady = measure_stability(
            lambda crops: merge(ensemble.probabilities(ensemble.logits(crops)), matrix).argmax(axis=1),
            wide,
            (wide.shape[1] - faces.images.shape[1]) // 2,
        )
    predictions = Predictions(faces, classes, scaled)
    shown = make_config().min_confidence  # what a run asks of a score
    shown = gender_confidence(shown) if ensemble.task == "gender" else shown
    evaluation = Evaluation(
        models=tuple(network.name for network in ensemble.networks),
        split=split,
        faces=len(faces),
        classes=classes,
        metrics=replace(calibrated, nll=unscaled.nll, ece=unscaled.ece),
        calibrated=Calibration(ensemble.temperature, calibrated.nll, calibrated.ece),
        views=views,
        averaged=averaged,
        prior=prior,
        uniform=uniform,
        stability=steady,
        curve=tuple(curve),
        groups={
            grouping: by_group(predictions.right, names, answered=scaled.max(axis=1) >= shown)
            for grouping, names in faces.groups.items()
        },
    )
    return evaluation, predictions
