"""``ferengine data report``: what is in FER-2013, and what is in it twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from ferengine_tools.data.duplicates import Duplicates
from ferengine_tools.data.fer2013 import SPLITS, Fer2013
from ferengine_tools.data.protocol import duplicates, training_rows, unseen_rows
from ferengine_tools.data.repeats import Repeats, SplitRepeats, count_by_split, count_repeats, repeats_table


@dataclass(frozen=True)
class SplitReport(SplitRepeats):
    """One split.

    Attributes:
        classes: Its faces by label.
    """

    classes: dict[str, int]


@dataclass(frozen=True)
class Report(Repeats):
    """The report on FER-2013.

    Attributes:
        faces: How many there are.
        splits: By name.
        blank: Rows of the faces without contrast.
        training_without_test_copies: Training faces that show no face of the test splits.
        unseen: By test split, the faces that show none of the training split.
    """

    faces: int
    splits: dict[str, SplitReport]
    blank: list[int]
    training_without_test_copies: int
    unseen: dict[str, int]


def make_report(data: Fer2013) -> Report:
    """Count everything; half a minute for FER-2013."""
    found = duplicates(data)
    return Report(
        **vars(count_repeats(found, data.labels)),
        faces=len(data.images),
        splits=_splits(data, found),
        blank=np.flatnonzero(found.blank).tolist(),
        training_without_test_copies=len(training_rows(data, without_test_copies=True, found=found)),
        unseen={split: len(unseen_rows(data, split, found)) for split in SPLITS if split != "training"},
    )


def _splits(data: Fer2013, found: Duplicates) -> dict[str, SplitReport]:
    reports: dict[str, SplitReport] = {}
    for split, (name, repeats) in zip(SPLITS, count_by_split(found, data.usage, SPLITS).items(), strict=True):
        counts = np.bincount(data.labels[data.indices(split)], minlength=len(data.classes)).tolist()
        reports[name] = SplitReport(**vars(repeats), classes=dict(zip(data.classes, counts, strict=True)))
    return reports


def print_report(report: Report, console: Console) -> None:
    """The report for people."""
    splits = report.splits.values()
    faces = Table("", *report.splits, title="faces", title_justify="left")
    for name in next(iter(splits)).classes:
        faces.add_row(name, *(str(split.classes[name]) for split in splits))
    faces.add_section()
    faces.add_row("all", *(str(split.faces) for split in splits))
    faces.add_row("blank", *(str(split.blank) for split in splits))
    console.print(faces)
    console.print(repeats_table(report.splits))
    console.print(report.sentence("label"), highlight=False)
    unseen = ", ".join(f"{count} of {name}" for name, count in report.unseen.items())
    console.print(
        f"Without copies of test faces {report.training_without_test_copies} training faces are left; "
        f"no copy in training have {unseen}.",
        highlight=False,
    )
    if report.blank:
        console.print(f"Blank: rows {', '.join(map(str, report.blank))}.", highlight=False)
