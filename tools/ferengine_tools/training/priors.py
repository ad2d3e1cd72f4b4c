"""Class frequencies of data sets, and networks that do not depend on them.

A face of data set d has class y with p_d(y | x), which is proportional to p(x | y) pi_d(y): sets of other class frequencies
pi_d give other answers to the same face. Training adds log pi_d of each face's own set to the logits before the softmax, so
that the logits themselves are log p(x | y) up to a constant, the answer under a uniform prior, whatever the sets: A. K. Menon
et al., "Long-tail learning via logit adjustment", ICLR 2021, section 5 with tau = 1. To read faces of frequencies pi, add
log pi.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMOOTHING = 5.0
"""Faces that each class counts more than it has, so that none is impossible."""


def class_prior(classes: Tensor, count: int) -> Tensor:
    """The frequencies of classes.

    Args:
        classes: int64 (N,), 0 to ``count`` - 1, of a set's training faces.
        count: how many classes there are.

    Returns:
        float32 (count,), above 0, sum 1: each class counts SMOOTHING faces more than it has.
    """
    counts = torch.bincount(classes, minlength=count).float() + SMOOTHING
    return counts / counts.sum()


def log_softmax(logits: Tensor, heads: Sequence[int]) -> Tensor:
    """Log-probabilities of each head's classes, float32 (N, C); ``heads``: how many of the C classes each has."""
    return torch.cat([torch.log_softmax(head, 1) for head in logits.split(tuple(heads), 1)], 1)


def moved(log_probabilities: Tensor, source: Tensor, target: Tensor, heads: Sequence[int]) -> Tensor:
    """Answers under one prior as they are under another.

    Args:
        log_probabilities: float32 (N, C), each head's, under the prior ``source``.
        source: its logarithm, float32, broadcast to (N, C); zeros are the uniform prior.
        target: that of the wanted prior, likewise.
        heads: how many of the C classes each head has.

    Returns:
        Log-probabilities, float32 (N, C): p(y) target(y) / source(y), made to sum to 1 over each head.
    """
    return log_softmax(log_probabilities - source + target, heads)
