"""What is measured after each epoch on data sets beside the first."""

from __future__ import annotations

import torch
from torch import Tensor

from ferengine_tools.evaluation.metrics import FIVE
from ferengine_tools.evaluation.prior_curve import best, prior_curve


def of_ordinary_faces(log_scores: Tensor, log_prior: Tensor, classes: Tensor, labels: tuple[str, ...]) -> dict[str, float]:
    """How well faces of unequal classes are read.

    Args:
        log_scores: float32 (N, C), of a network under a uniform prior.
        log_prior: float32 (C,), of the faces' own class frequencies.
        classes: int64 (N,), of the faces.
        labels: the names of the C classes.

    Returns:
        ``accuracy`` and ``macro_f1`` (mean over FIVE) under the faces' own prior, and ``uniform_recall``, the mean recall of
        FIVE under a uniform prior, fractions of 1. A class of FIVE without faces is left out. Where none is, also
        ``best_macro_f1``, the highest under the prior to a power of 0, 0.1 .. 1, and that ``power``.
    """
    own, uniform = (log_scores + log_prior).argmax(1), log_scores.argmax(1)
    numbers = [labels.index(name) for name in FIVE if name in labels and bool((classes == labels.index(name)).any())]
    f1 = [2 * _count((own == n) & (classes == n)) / (_count(own == n) + _count(classes == n)) for n in numbers]
    recall = [_count((uniform == n) & (classes == n)) / _count(classes == n) for n in numbers]
    curve = prior_curve(log_scores.double().numpy(), log_prior.double().numpy(), classes.numpy(), labels)
    chosen = best(curve)
    tempered = {} if chosen.macro_f1 is None else {"best_macro_f1": chosen.macro_f1, "power": chosen.power}
    return {
        "accuracy": float((own == classes).float().mean()),
        "macro_f1": sum(f1) / max(1, len(f1)),
        "uniform_recall": sum(recall) / max(1, len(recall)),
        **tempered,
    }


def _count(which: Tensor) -> int:
    return int(torch.count_nonzero(which))
