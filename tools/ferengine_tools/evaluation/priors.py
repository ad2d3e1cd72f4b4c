"""Class priors by name: the frequencies of the data sets, what manifests hold, and networks moved from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.models.priors import choose_prior
from ferengine_tools.evaluation.ensemble import Ensemble
from ferengine_tools.evaluation.network import Network

COUNTS: dict[str, dict[str, int]] = {
    "fer2013": {
        "angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965,
    },
    "everyday": {
        "angry": 111, "disgust": 140, "fear": 16, "happy": 2793, "sad": 123, "surprise": 188, "neutral": 3490,
    },
    "utkface": {"male": 9864, "female": 9012},
}  # fmt: skip
"""Training faces of each class: of FER-2013, of wild_faces' training people, and of UTKFace."""

_FERPLUS8: dict[str, int] = {
    "angry": 3936, "disgust": 406, "fear": 4071, "happy": 7209, "sad": 4809, "surprise": 3167, "neutral": 4949, "contempt": 162,
}  # fmt: skip
"""Of FER-2013 as ``--labels ferplus8`` names them: what FER+ calls contempt is missing from the other classes."""

SMOOTHING = 5
"""Faces that each class counts more than it has, as in training."""

POWERS: dict[str, float] = {"everyday": 0.65}
"""The power of its frequencies that makes a prior, where that is not 1. Everyday faces are read best, by macro F1, under less
than their full frequencies: ``ferengine evaluate --curve`` shows it. Labels depend on the power times the temperature alone."""


def log_frequencies(name: str, labels: Sequence[str]) -> NDArray[np.float64]:
    """The logarithm of class frequencies.

    Args:
        name: Of COUNTS, or "uniform".
        labels: The classes. One without a count has SMOOTHING faces.

    Returns:
        float64 (len(labels),), the sum of their exponentials 1.

    Raises:
        UsageError: There is no such name, or it knows none of the labels.
    """
    if name == "uniform":
        return np.full(len(labels), -np.log(len(labels)))
    if name not in COUNTS:
        raise UsageError(f"there is no prior {name!r}: choose one of uniform, {', '.join(COUNTS)}")
    counts: Mapping[str, int] = _FERPLUS8 if name == "fer2013" and "contempt" in labels else COUNTS[name]
    if not any(label in counts for label in labels):
        raise UsageError(f"the prior {name} is of {', '.join(counts)}; the model knows {', '.join(labels)}")
    faces = np.array([counts.get(label, 0) + SMOOTHING for label in labels], np.float64)
    return np.log(faces / faces.sum())


def log_prior(name: str, labels: Sequence[str]) -> NDArray[np.float64]:
    """The logarithm of a prior, as ``log_frequencies``: of the frequencies to the power of POWERS."""
    tempered = POWERS.get(name, 1.0) * log_frequencies(name, labels)
    return np.asarray(tempered - np.log(np.exp(tempered).sum()))


def known_priors(labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """The priors of a manifest: "uniform", and those of COUNTS that know any of the ``labels``, to six decimals."""
    names = ["uniform", *(name for name, counts in COUNTS.items() if not counts.keys().isdisjoint(labels))]
    return {
        name: {label: round(float(value), 6) for label, value in zip(labels, np.exp(log_prior(name, labels)), strict=True)}
        for name in names
    }


def default_prior(task: str) -> str:
    """The one of ``known_priors`` that a model uses where no other is chosen."""
    return "everyday" if task == "expression" else "uniform"


def log_prior_of(network: Network, name: str) -> NDArray[np.float64]:
    """The logarithm of the prior ``name``, or of a file, for a network: its manifest's, where that names it.

    A model need not name the prior of the data that it is measured on, nor the uniform one that its logits are under.
    """
    named = {} if network.classifier is None else network.classifier.manifest.priors
    if network.classifier is None or not named or (name not in named and name in ("uniform", *COUNTS)):
        return log_prior(name, network.labels)
    prior = choose_prior(network.classifier.manifest, name)
    assert prior is not None
    return prior.logarithm()


def under(ensemble: Ensemble, name: str) -> Ensemble:
    """The same networks, each answering under the prior ``name`` instead of its own, at the temperature that was fitted under
    it. At one temperature, softmax(logits / temperature) is then proportional to prior / own prior times what it was. A network
    whose own prior is not known stays as it is."""
    return Ensemble(tuple(_moved(network, name) for network in ensemble.networks))


def _moved(network: Network, name: str) -> Network:
    if network.prior is None or name == network.prior:
        return network
    own = network.temperature * log_prior_of(network, network.prior)
    shift = network.temperature_under(name) * log_prior_of(network, name) - own
    scaled = (shift - shift.mean()).astype(np.float32)
    logits = network.logits
    return replace(network, logits=lambda crops: logits(crops) + scaled, prior=name)
