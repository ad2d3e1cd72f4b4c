"""``ferengine data report`` on UTKFace: who is in which split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ferengine_tools.data.utkface import ETHNICITIES, GENDERS, SPLITS, UtkFace
from ferengine_tools.evaluation.groups import AGE_GROUPS, age_group


def make_utkface_report(data: UtkFace) -> dict[str, Any]:
    """By split the number of ``faces`` and how many of each gender, ethnicity and age group; of all: those that MTCNN did not
    find (``undetected``), those in another split than their name says, beside a near-duplicate (``moved``), and the pictures
    left out for want of a full label (``skipped``)."""
    ages = np.array([age_group(int(age)) for age in data.age])
    splits = {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(data.split == number)
        splits[split] = {
            "faces": len(rows),
            "gender": _count(np.array(GENDERS)[data.gender[rows]].tolist(), GENDERS),
            "ethnicity": _count(np.array(ETHNICITIES)[data.ethnicity[rows]].tolist(), ETHNICITIES),
            "age": _count(ages[rows].tolist(), AGE_GROUPS),
        }
    return {
        "faces": len(data.images),
        "splits": splits,
        "undetected": int((~data.detected).sum()),
        "moved": int(data.moved.sum()),
        "skipped": list(data.skipped),
    }


def _count(values: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    return {name: values.count(name) for name in names}


def print_utkface_report(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    splits = report["splits"]
    table = Table("", *splits, title="faces", title_justify="left")
    table.add_row("all", *(str(split["faces"]) for split in splits.values()))
    for grouping in ("gender", "ethnicity", "age"):
        table.add_section()
        for name in next(iter(splits.values()))[grouping]:
            table.add_row(name, *(str(split[grouping][name]) for split in splits.values()))
    console.print(table)
    console.print(
        f"{report['moved']} faces went to the split of a near-duplicate; MTCNN did not find {report['undetected']}, which were "
        f"cut at the mean place; {len(report['skipped'])} pictures without a full label were left out.",
        highlight=False,
    )
