"""Accuracy by group of people, each with its confidence interval: without one a small group's figure says little."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from ferengine.errors import UsageError

_AGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
AGE_GROUPS = (*(f"{first}-{after - 1}" for first, after in pairwise(_AGES)), f"{_AGES[-1]}+")
"""Those of K. Karkkainen and J. Joo, "FairFace", WACV 2021, years."""


@dataclass(frozen=True, slots=True)
class GroupAccuracy:
    """``correct`` of the ``faces`` of a ``group``; ``low`` and ``high`` bound the accuracy, all in [0, 1], with the
    confidence asked for."""

    group: str
    correct: int
    faces: int
    accuracy: float
    low: float
    high: float


def by_group(correct: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> list[GroupAccuracy]:
    """The accuracy of each group, groups in the order of their numbers, then of their names.

    ``correct``: bool (N,), whether each face was read correctly; ``groups``: str (N,), its group, "" for faces of unknown
    group, which are left out. The interval is E. Wilson's score interval ("Probable Inference, the Law of Succession, and
    Statistical Inference", JASA 22, 1927): it holds for few faces and near 0 and 1, too. Raises UsageError for arrays of
    other shapes and a ``confidence`` outside (0, 1).
    """
    right, names = np.asarray(correct, bool), np.asarray(groups, str)
    if right.ndim != 1 or right.shape != names.shape:
        raise UsageError(f"each face needs one group: {right.shape} answers, {names.shape} groups")
    if not 0 < confidence < 1:
        raise UsageError(f"the confidence must lie between 0 and 1, not {confidence}")
    found = sorted({str(name) for name in names} - {""}, key=_by_number)
    return [_accuracy(name, right[names == name], confidence) for name in found]


def age_group(age: int) -> str:
    """Which of AGE_GROUPS an ``age`` in years belongs to. Raises UsageError for a negative one."""
    if age < 0:
        raise UsageError(f"an age is 0 or more years, not {age}")
    return AGE_GROUPS[bisect_right(_AGES, age) - 1]


def group_table(grouping: str, rows: Sequence[GroupAccuracy]) -> str:
    """A Markdown table of accuracies, percent, under the name of the ``grouping``; readable as it is."""
    cells = [(grouping, "faces", "accuracy %", "interval")]
    cells += [
        (row.group, str(row.faces), f"{100 * row.accuracy:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}") for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in cells]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _by_number(name: str) -> tuple[bool, int, str]:
    number = re.match(r"\d+", name)
    return number is None, int(number.group()) if number else 0, name


def _accuracy(name: str, right: NDArray[np.bool_], confidence: float) -> GroupAccuracy:
    correct, faces = int(right.sum()), len(right)
    bounds = binomtest(correct, faces).proportion_ci(confidence, method="wilson")
    return GroupAccuracy(name, correct, faces, correct / faces, float(bounds.low), float(bounds.high))
