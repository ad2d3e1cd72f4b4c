"""``ferengine data report``: what is in FER-2013, and what is in it twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ferengine_tools.data.duplicates import Duplicates
from ferengine_tools.data.fer2013 import SPLITS, Fer2013
from ferengine_tools.data.protocol import duplicates, training_rows, unseen_rows


@dataclass(frozen=True)
class SplitReport:
    """One split: ``faces``, of which ``classes`` by label; ``blank``: faces without any contrast; ``copies`` and
    ``near_copies`` by split: how many of this split's faces have another one there with the same pixels, or one that shows
    the same photograph (copies included)."""

    faces: int
    classes: dict[str, int]
    blank: int
    copies: dict[str, int]
    near_copies: dict[str, int]


@dataclass(frozen=True)
class Report:
    """``blank``: rows of the faces without contrast; ``pairs`` of near-duplicates with different pixels, of which ``mirrored``;
    ``photographs`` shown more than once, the most frequent ``most_shown`` times; ``disagreeing``: those with two labels or
    more; ``training_without_test_copies``: training faces that show no face of the test splits; ``unseen``: by test split the
    faces that show none of the training split."""

    faces: int
    splits: dict[str, SplitReport]
    blank: list[int]
    pairs: int
    mirrored: int
    photographs: int
    most_shown: int
    disagreeing: int
    training_without_test_copies: int
    unseen: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self)


def make_report(data: Fer2013) -> Report:
    """Count everything; half a minute for FER-2013."""
    found = duplicates(data)
    sizes = np.bincount(found.cluster, minlength=len(data.images))
    labels_of = np.zeros((len(data.images), len(data.classes)), bool)
    labels_of[found.cluster, data.labels] = True
    return Report(
        faces=len(data.images),
        splits=_splits(data, found),
        blank=np.flatnonzero(found.blank).tolist(),
        pairs=len(found.pairs),
        mirrored=int(found.pairs.mirrored.sum()),
        photographs=int((sizes > 1).sum()),
        most_shown=int(sizes.max()),
        disagreeing=int((labels_of.sum(axis=1) > 1).sum()),
        training_without_test_copies=len(training_rows(data, without_test_copies=True, found=found)),
        unseen={split: len(unseen_rows(data, split, found)) for split in SPLITS if split != "training"},
    )


def _splits(data: Fer2013, found: Duplicates) -> dict[str, SplitReport]:
    copies, near = _shared(data.usage, found.copy_of), _shared(data.usage, found.cluster)
    reports: dict[str, SplitReport] = {}
    for number, split in enumerate(SPLITS):
        rows = data.indices(split)
        counts = np.bincount(data.labels[rows], minlength=len(data.classes)).tolist()
        reports[split] = SplitReport(
            faces=len(rows),
            classes=dict(zip(data.classes, counts, strict=True)),
            blank=int(found.blank[rows].sum()),
            copies=dict(zip(SPLITS, copies[number].tolist(), strict=True)),
            near_copies=dict(zip(SPLITS, near[number].tolist(), strict=True)),
        )
    return reports


def _shared(usage: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """[s, t]: how many faces of split s have another of their ``group`` in split t."""
    members = np.zeros((len(group), len(SPLITS)), np.int64)
    np.add.at(members, (group, usage), 1)
    others = members[group]
    others[np.arange(len(group)), usage] -= 1
    return np.stack([(others[usage == split] > 0).sum(axis=0) for split in range(len(SPLITS))])


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
    shared = Table(
        "faces of",
        *(f"copied in {name}" for name in SPLITS),
        *(f"near one in {name}" for name in SPLITS),
        title="faces with the same pixels, or the same photograph, as another",
        title_justify="left",
    )
    for name, split in report.splits.items():
        shared.add_row(name, *map(str, split.copies.values()), *map(str, split.near_copies.values()))
    console.print(shared)
    console.print(
        f"{report.photographs} photographs are shown more than once (one {report.most_shown} times), {report.disagreeing} of "
        f"them with more than one label; {report.pairs} pairs differ in their pixels, {report.mirrored} of these mirrored.",
        highlight=False,
    )
    unseen = ", ".join(f"{count} of {name}" for name, count in report.unseen.items())
    console.print(
        f"Without copies of test faces {report.training_without_test_copies} training faces are left; "
        f"no copy in training have {unseen}.",
        highlight=False,
    )
    if report.blank:
        console.print(f"Blank: rows {', '.join(map(str, report.blank))}.", highlight=False)
