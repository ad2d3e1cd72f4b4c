"""Which faces of FER-2013 to train on and to report: its splits share photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine_tools.data.duplicates import Duplicates, Thresholds, find_duplicates
from ferengine_tools.data.fer2013 import Fer2013, Split

THRESHOLDS = Thresholds(plain=0.92, mirrored=0.94)
"""By eye, from 14 pairs a step of 0.005: all pairs above 0.92 show one photograph, and half of those between 0.88 and 0.89;
in the mirror all from 0.935 on."""


def duplicates(data: Fer2013) -> Duplicates:
    """Copies and near-copies among all faces, in half a minute."""
    return find_duplicates(data.images, THRESHOLDS)


def training_rows(data: Fer2013, without_test_copies: bool = False, found: Duplicates | None = None) -> NDArray[np.int64]:
    """Return the rows of the training split.

    Args:
        data: FER-2013.
        without_test_copies: Leave out copies and near-copies of PublicTest's and PrivateTest's faces.
        found: What ``duplicates`` returned for ``data``, to save finding it again.
    """
    return _without(data, "training", ("public", "private"), found) if without_test_copies else data.indices("training")


def unseen_rows(data: Fer2013, split: Split, found: Duplicates | None = None) -> NDArray[np.int64]:
    """Return the faces of a test split of which no copy or near-copy is in the training split.

    Args:
        data: FER-2013.
        split: The test split.
        found: As for ``training_rows``.
    """
    return _without(data, split, ("training",), found)


def _without(data: Fer2013, split: Split, others: tuple[Split, ...], found: Duplicates | None) -> NDArray[np.int64]:
    cluster = (found or duplicates(data)).cluster
    taken = np.concatenate([cluster[data.indices(other)] for other in others])
    rows = data.indices(split)
    return rows[~np.isin(cluster[rows], taken)]
