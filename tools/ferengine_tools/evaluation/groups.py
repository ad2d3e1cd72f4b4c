"""Accuracy by group of people, each with its confidence interval: without one the accuracy of a small group says little."""

from __future__ import annotations

import csv
import logging
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from ferengine.errors import UsageError

log = logging.getLogger(__name__)

_AGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
AGE_GROUPS = (*(f"{first}-{after - 1}" for first, after in pairwise(_AGES)), f"{_AGES[-1]}+")
"""Those of K. Karkkainen and J. Joo, "FairFace", WACV 2021, years."""


@dataclass(frozen=True, slots=True)
class GroupAccuracy:
    """The accuracy on one group.

    Attributes:
        group: Its name.
        correct: How many of its faces were read as they are labelled.
        faces: How many it has.
        accuracy: The fraction.
        low: Lower bound of the accuracy, with the confidence asked for.
        high: Upper bound.
        answered: How many were read with enough confidence to be shown a label; None where that is not known.
        answered_correct: How many of these as they are labelled.
    """

    group: str
    correct: int
    faces: int
    accuracy: float
    low: float
    high: float
    answered: int | None = None
    answered_correct: int | None = None


def by_group(
    correct: ArrayLike, groups: ArrayLike, confidence: float = 0.95, *, answered: ArrayLike | None = None
) -> list[GroupAccuracy]:
    """Return the accuracy of each group, in the order of the numbers in their names, then of the names.

    The interval is E. Wilson's score interval ("Probable Inference, the Law of Succession, and Statistical Inference", JASA 22,
    1927): it holds for few faces and near 0 and 1, too.

    Args:
        correct: Whether each face was read as it is labelled, bool (N,).
        groups: Its group, str (N,); "" for faces of unknown group, which are left out.
        confidence: Of the interval, between 0 and 1.
        answered: Whether each was read with enough confidence, bool (N,).

    Raises:
        UsageError: The arrays have other shapes, or the confidence is out of range.
    """
    right, names = np.asarray(correct, bool), np.asarray(groups, str)
    said = None if answered is None else np.asarray(answered, bool)
    if right.ndim != 1 or right.shape != names.shape or (said is not None and said.shape != right.shape):
        raise UsageError(f"each face needs one group: {right.shape} answers, {names.shape} groups")
    if not 0 < confidence < 1:
        raise UsageError(f"the confidence must lie between 0 and 1, not {confidence}")
    found = sorted({str(name) for name in names} - {""}, key=_by_number)
    return [_accuracy(name, right, names == name, confidence, said) for name in found]


def age_group(age: int) -> str:
    """Return which of AGE_GROUPS an age in years belongs to.

    Raises:
        UsageError: The age is negative.
    """
    if age < 0:
        raise UsageError(f"an age is 0 or more years, not {age}")
    return AGE_GROUPS[bisect_right(_AGES, age) - 1]


def read_groups(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.str_]]:
    """Read the groups of the faces of a folder: ``--groups groups.csv``.

    Args:
        path: A csv with the column ``file`` (class folder / file name) and one column for each grouping, such as ``age``.
        names: The N faces, as in the column ``file``.

    Returns:
        By grouping the group of each face, str (N,); "" where the table has none.

    Raises:
        UsageError: It is another table, names a file twice, or names none of the faces.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:  # Excel begins it with a byte-order mark
            reader = csv.DictReader(handle)
            columns = [column for column in reader.fieldnames or () if column != "file"]
            rows = list(reader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a table of comma-separated values ({error})") from None
    if "file" not in (reader.fieldnames or ()) or not columns:
        raise UsageError(f"{path} must have the column file and at least one more, the groups")
    if "" in columns or len(set(columns)) < len(reader.fieldnames or ()) - 1:
        raise UsageError(f"{path} must have a name of its own for each column, not {', '.join(reader.fieldnames or ())}")
    table: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, 2):
        if row["file"] in table:
            raise UsageError(f"{path}, row {number}: {row['file']} is named twice")
        table[row["file"]] = row
    strangers = [name for name in table if name not in set(names)]
    if len(strangers) == len(table):
        raise UsageError(f"{path} names none of the faces: its column file must be like {names[0]}")
    if strangers:
        log.warning("%s: %d of %d rows name no face measured, such as %s", path, len(strangers), len(table), strangers[0])
    groups = {column: np.array([table.get(name, {}).get(column) or "" for name in names]) for column in columns}
    for column, values in groups.items():
        lacking = int((values == "").sum())
        if lacking:
            log.warning("%s: %d of %d faces have no group in the column %s", path, lacking, len(names), column)
    return groups


def group_table(grouping: str, rows: Sequence[GroupAccuracy]) -> str:
    """Return a Markdown table of accuracies in percent, headed by the name of the grouping; readable as it is. Where it is
    known, also how many faces are shown a label, and how many of these labels are right."""
    cells: list[tuple[str, ...]] = [(grouping, "faces", "accuracy %", "interval")]
    cells += [
        (row.group, str(row.faces), f"{100 * row.accuracy:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}") for row in rows
    ]
    if any(row.answered is not None for row in rows):
        shown = [("shown a label %", "of these right %"), *(_answered(row) for row in rows)]
        cells = [(*line, *more) for line, more in zip(cells, shown, strict=True)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in cells]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _answered(row: GroupAccuracy) -> tuple[str, str]:
    if row.answered is None or row.answered_correct is None:
        return "-", "-"
    right = f"{100 * row.answered_correct / row.answered:.1f}" if row.answered else "-"
    return f"{100 * row.answered / row.faces:.1f}", right


def _by_number(name: str) -> tuple[bool, int, str]:
    number = re.match(r"\d{1,18}", name)  # int() refuses numbers of thousands of digits
    return number is None, int(number.group()) if number else 0, name


def _accuracy(
    name: str, right: NDArray[np.bool_], members: NDArray[np.bool_], confidence: float, said: NDArray[np.bool_] | None
) -> GroupAccuracy:
    correct, faces = int((right & members).sum()), int(members.sum())
    bounds = binomtest(correct, faces).proportion_ci(confidence, method="wilson")
    answers = (None, None) if said is None else (int((members & said).sum()), int((members & said & right).sum()))
    return GroupAccuracy(name, correct, faces, correct / faces, float(bounds.low), float(bounds.high), *answers)
