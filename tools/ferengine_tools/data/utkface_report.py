"""``ferengine data report`` on UTKFace: who is in which split, and what is in it twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from ferengine_tools.data.duplicates import find_duplicates
from ferengine_tools.data.repeats import Repeats, SplitRepeats, count_by_split, count_repeats, repeats_table
from ferengine_tools.data.utkface import ETHNICITIES, GENDERS, SPLITS, THRESHOLDS, UtkFace
from ferengine_tools.evaluation.groups import AGE_GROUPS, age_group


@dataclass(frozen=True)
class UtkFaceSplit(SplitRepeats):
    """One split.

    Attributes:
        gender: Its faces by gender.
        ethnicity: By ethnicity.
        age: By age group.
    """

    gender: dict[str, int]
    ethnicity: dict[str, int]
    age: dict[str, int]


@dataclass(frozen=True)
class UtkFaceReport(Repeats):
    """The report on UTKFace. ``disagreeing`` counts photographs with both genders.

    Attributes:
        faces: How many there are.
        splits: By name.
        blank: Names of the faces without contrast.
        undetected: Faces that MTCNN did not find.
        moved: Faces in another split than their name says, beside a near-duplicate.
        skipped: Images left out for want of a full label.
    """

    faces: int
    splits: dict[str, UtkFaceSplit]
    blank: list[str]
    undetected: int
    moved: int
    skipped: list[str]


def make_utkface_report(data: UtkFace) -> UtkFaceReport:
    """Count everything; half a minute for UTKFace's faces, once they are cropped."""
    found = find_duplicates(data.images, THRESHOLDS)
    ages = np.array([age_group(int(age)) for age in data.age])
    splits = {}
    for number, (split, repeats) in enumerate(count_by_split(found, data.split, SPLITS).items()):
        rows = np.flatnonzero(data.split == number)
        splits[split] = UtkFaceSplit(
            **vars(repeats),
            gender=_count(np.array(GENDERS)[data.gender[rows]].tolist(), GENDERS),
            ethnicity=_count(np.array(ETHNICITIES)[data.ethnicity[rows]].tolist(), ETHNICITIES),
            age=_count(ages[rows].tolist(), AGE_GROUPS),
        )
    return UtkFaceReport(
        **vars(count_repeats(found, data.gender)),
        faces=len(data.images),
        splits=splits,
        blank=data.names[found.blank].tolist(),
        undetected=int((~data.detected).sum()),
        moved=int(data.moved.sum()),
        skipped=list(data.skipped),
    )


def _count(values: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    return {name: values.count(name) for name in names}


def print_utkface_report(report: UtkFaceReport, console: Console) -> None:
    """The report for people."""
    splits = report.splits.values()
    table = Table("", *report.splits, title="faces", title_justify="left")
    table.add_row("all", *(str(split.faces) for split in splits))
    table.add_row("blank", *(str(split.blank) for split in splits))
    for groups in zip(*((split.gender, split.ethnicity, split.age) for split in splits), strict=True):
        table.add_section()
        for name in groups[0]:
            table.add_row(name, *(str(counts[name]) for counts in groups))
    console.print(table)
    console.print(repeats_table(report.splits))
    console.print(report.sentence("gender"), highlight=False)
    console.print(
        f"{report.moved} faces went to the split of a near-duplicate; MTCNN did not find {report.undetected}, which were "
        f"cropped at the mean place; {len(report.skipped)} images without a full label were left out.",
        highlight=False,
    )
    if report.blank:
        console.print(f"Blank: {', '.join(report.blank)}.", highlight=False)
