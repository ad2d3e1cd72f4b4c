"""What is in a data set twice: the counts of its report, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ferengine_tools.data.duplicates import Duplicates


@dataclass(frozen=True)
class Repeats:
    """How often faces are repeated in a data set.

    Attributes:
        pairs: Pairs of near-duplicates with different pixels.
        mirrored: Those of them that are mirrored.
        photographs: Photographs that are shown more than once.
        most_shown: How often the most frequent one is shown.
        disagreeing: Photographs with two labels or more.
    """

    pairs: int
    mirrored: int
    photographs: int
    most_shown: int
    disagreeing: int

    def sentence(self, label: str) -> str:
        """All counts; ``label``: what the faces are labelled with."""
        return (
            f"{self.photographs} photographs are shown more than once (one {self.most_shown} times), {self.disagreeing} of "
            f"them with more than one {label}; {self.pairs} pairs differ in their pixels, {self.mirrored} of these mirrored."
        )

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self)


def count_repeats(found: Duplicates, labels: NDArray[np.int64]) -> Repeats:
    """Count the repeated faces.

    Args:
        found: What was found among N faces, at least one.
        labels: From 0 on, int64 (N,).
    """
    sizes = np.bincount(found.cluster, minlength=len(labels))
    labels_of = np.zeros((len(labels), labels.max() + 1), bool)
    labels_of[found.cluster, labels] = True
    return Repeats(
        pairs=len(found.pairs),
        mirrored=int(found.pairs.mirrored.sum()),
        photographs=int((sizes > 1).sum()),
        most_shown=int(sizes.max()),
        disagreeing=int((labels_of.sum(axis=1) > 1).sum()),
    )


@dataclass(frozen=True)
class SplitRepeats:
    """The faces of one split.

    Attributes:
        faces: How many there are.
        blank: How many have no contrast.
        copies: By split: how many have another face there with the same pixels.
        near_copies: By split: how many have another face there that shows the same photograph, copies included.
    """

    faces: int
    blank: int
    copies: dict[str, int]
    near_copies: dict[str, int]


def count_by_split(found: Duplicates, split: NDArray[np.int64], splits: Sequence[str]) -> dict[str, SplitRepeats]:
    """Count the repeated faces by split.

    Args:
        found: What was found among N faces.
        split: The split of each face, into ``splits``, int64 (N,).
        splits: Their names.
    """
    copies, near = (_shared(group, split, len(splits)) for group in (found.copy_of, found.cluster))
    return {
        name: SplitRepeats(
            faces=int((split == number).sum()),
            blank=int(found.blank[split == number].sum()),
            copies=dict(zip(splits, copies[number].tolist(), strict=True)),
            near_copies=dict(zip(splits, near[number].tolist(), strict=True)),
        )
        for number, name in enumerate(splits)
    }


def _shared(group: NDArray[np.int64], split: NDArray[np.int64], splits: int) -> NDArray[np.int64]:
    """[s, t]: how many faces of split s have another of their ``group`` in split t."""
    members = np.zeros((len(group), splits), np.int64)
    np.add.at(members, (group, split), 1)
    others = members[group]
    others[np.arange(len(group)), split] -= 1
    return np.stack([(others[split == number] > 0).sum(axis=0) for number in range(splits)])


def repeats_table(splits: Mapping[str, SplitRepeats]) -> Table:
    """For people: the faces of each split that are copied in, or near one in, each split."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=0,  # with the longest name 80 columns
        title="faces with the same pixels, or the same photograph, as another",
        title_justify="left",
    )
    kinds = ("copied in", "near one in")
    for heading in ("faces of", *(f"{kind}\n{name}" for kind in kinds for name in splits)):
        table.add_column(heading, no_wrap=True)
    for name, split in splits.items():
        table.add_row(name, *map(str, split.copies.values()), *map(str, split.near_copies.values()))
    return table
