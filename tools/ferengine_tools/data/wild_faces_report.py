"""``ferengine data report`` on wild_faces: what is in which split, who labelled it, and what is in it twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ferengine_tools.data.duplicates import find_duplicates
from ferengine_tools.data.repeats import Repeats, SplitRepeats, count_by_split, count_repeats, repeats_table
from ferengine_tools.data.utkface import THRESHOLDS
from ferengine_tools.data.wild_faces import SPLITS, WildFaces


@dataclass(frozen=True)
class WildFacesSplit(SplitRepeats):
    """One split.

    Attributes:
        persons: How many it has.
        classes: Its faces by label.
    """

    persons: int
    classes: dict[str, int]


@dataclass(frozen=True)
class WildFacesReport(Repeats):
    """The report on wild_faces.

    Attributes:
        faces: How many there are.
        splits: By name.
        blank: Names of the faces without contrast.
        annotators: By annotator, the labels given.
        shared: Persons in more than one split, of which there should be none.
    """

    faces: int
    splits: dict[str, WildFacesSplit]
    blank: list[str]
    annotators: dict[str, dict[str, int]]
    shared: int


def make_wild_faces_report(data: WildFaces) -> WildFacesReport:
    """Count everything, in a few seconds."""
    found = find_duplicates(data.crops, THRESHOLDS)
    splits = {}
    people = [set(data.persons[data.split == number].tolist()) for number in range(len(SPLITS))]
    for number, (name, repeats) in enumerate(count_by_split(found, data.split, SPLITS).items()):
        splits[name] = WildFacesSplit(
            **vars(repeats), persons=len(people[number]), classes=_by_class(data, data.split == number)
        )
    return WildFacesReport(
        **vars(count_repeats(found, data.labels)),
        faces=len(data.images),
        splits=splits,
        blank=[data.names[row] for row in np.flatnonzero(found.blank)],
        annotators={str(name): _by_class(data, data.annotators == name) for name in np.unique(data.annotators)},
        shared=len(set.intersection(*people)),
    )


def _by_class(data: WildFaces, which: NDArray[np.bool_]) -> dict[str, int]:
    counts = np.bincount(data.labels[which], minlength=len(data.classes)).tolist()
    return dict(zip(data.classes, counts, strict=True))


def print_wild_faces_report(report: WildFacesReport, console: Console) -> None:
    """The report for people."""
    splits = report.splits.values()
    table = Table(
        "",
        *report.splits,
        *(f"by {name}" for name in report.annotators),
        title="faces, also by annotator",
        title_justify="left",
    )
    columns = [*(split.classes for split in splits), *report.annotators.values()]
    for name in columns[0]:
        table.add_row(name, *(str(counts[name]) for counts in columns))
    table.add_section()
    table.add_row("all", *(str(sum(counts.values())) for counts in columns))
    table.add_row("persons", *(str(split.persons) for split in splits), *("" for _ in report.annotators))
    table.add_row("blank", *(str(split.blank) for split in splits), *("" for _ in report.annotators))
    console.print(table)
    console.print(repeats_table(report.splits))
    console.print(report.sentence("label"), highlight=False)
    if report.blank:
        console.print(f"Blank: {', '.join(report.blank)}.", highlight=False)
