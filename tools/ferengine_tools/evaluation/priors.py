"""Class frequencies that faces are measured under, and networks moved to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine_tools.evaluation.ensemble import Ensemble
from ferengine_tools.evaluation.network import Network

COUNTS: dict[str, dict[str, int]] = {
    "fer2013": {
        "angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965,
    },
    "everyday": {
        "angry": 111, "disgust": 140, "fear": 16, "happy": 2793, "sad": 123, "surprise": 188, "neutral": 3490,
    },
}  # fmt: skip
"""Training faces of each class: of FER-2013, and of wild_faces' training people."""

SMOOTHING = 5
"""Faces that each class counts more than it has, as in training."""


def log_prior(name: str, labels: Sequence[str]) -> NDArray[np.float64]:
    """Logarithm of the class frequencies ``name`` of COUNTS, float64 (len(labels),), sum of their exponentials 1; zeros for
    "uniform". A label without a count has SMOOTHING faces.

    Raises:
        UsageError: where it knows none of the labels.
    """
    if name == "uniform":
        return np.zeros(len(labels))
    counts: Mapping[str, int] = COUNTS[name]
    if not any(label in counts for label in labels):
        raise UsageError(f"the prior {name} is of {', '.join(counts)}; the model knows {', '.join(labels)}")
    faces = np.array([counts.get(label, 0) + SMOOTHING for label in labels], np.float64)
    return np.log(faces / faces.sum())


def under(ensemble: Ensemble, name: str) -> Ensemble:
    """The same networks, each answering under the prior ``name`` instead of its own: logits + log(prior / own prior). One whose
    own is not known stays as it is."""
    return Ensemble(tuple(_moved(network, name) for network in ensemble.networks))


def _moved(network: Network, name: str) -> Network:
    if network.prior is None or name == network.prior:
        return network
    shift = (log_prior(name, network.labels) - log_prior(network.prior, network.labels)).astype(np.float32)
    logits = network.logits
    return replace(network, logits=lambda crops: logits(crops) + shift, prior=name)
