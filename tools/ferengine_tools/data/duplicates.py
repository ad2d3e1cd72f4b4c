"""Copies and near-copies among small grayscale faces: the same photograph cropped, scaled, stamped or brightened otherwise.

Two faces are near-duplicates when the middle of one correlates with the other, at the best of a few shifts, by at least a
threshold (J. Lewis, "Fast Normalized Cross-Correlation", 1995). Only pairs whose thumbnails correlate are compared in
this way. The thumbnails of all pairs are compared, by matrix products: unlike a table of hashes, this misses no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ferengine.vision import cv2

Images = NDArray[np.uint8]

FLAT = 4.0
"""Standard deviation of the intensities below which an image is blank: nothing can be compared or learnt."""

_THUMBNAIL, _ALLOWANCE = 12, 0.06
"""Side of a thumbnail, and how much less than the faces themselves the thumbnails of duplicates may correlate. On FER-2013:
0.12 finds 5 % more pairs, most of them in clusters found anyway, in four times the time."""

_SHIFT = 5
"""Pixels that the middle of one face is moved about on the other."""

_BLOCK = 512


@dataclass(frozen=True)
class Thresholds:
    """Correlations from which on a pair counts.

    Faces cropped alike need higher ones than photographs of all sorts, and chance similarities are as frequent in the mirror as
    duplicates are rare.

    Attributes:
        plain: For images as they are.
        mirrored: For an image and the mirror image of another.
    """

    plain: float
    mirrored: float


@dataclass(frozen=True)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        first: Rows, int64 (n,).
        second: Rows, int64 (n,), each larger than its ``first``.
        correlation: float32 (n,).
        mirrored: Whether one is the mirror image of the other, bool (n,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: NDArray[np.float32]
    mirrored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Duplicates:
    """The duplicates among N images. A blank image is a copy of others, but near to none.

    Attributes:
        blank: Whether an image has no contrast, bool (N,).
        copy_of: The first image with the same pixels, int64 (N,); the image itself where there is none before.
        pairs: The near-duplicates among distinct images.
        cluster: The first of the images that copies and near-duplicates link, int64 (N,).
    """

    blank: NDArray[np.bool_]
    copy_of: NDArray[np.int64]
    pairs: Pairs
    cluster: NDArray[np.int64]


def find_duplicates(images: Images, thresholds: Thresholds) -> Duplicates:
    """All duplicates of ``images``, uint8 (N, S, S) with S at least 24: half a minute for 36,000 faces of 48 x 48."""
    blank = images.std(axis=(1, 2), dtype=np.float32) < FLAT
    copy_of = _first_equal(images)
    distinct = np.flatnonzero((copy_of == np.arange(len(images))) & ~blank)
    near = _near_pairs(images[distinct], thresholds)
    pairs = Pairs(distinct[near.first], distinct[near.second], near.correlation, near.mirrored)
    seen = ~blank
    links = np.flatnonzero(seen), copy_of[seen]
    cluster = _clusters(len(images), np.r_[links[0], pairs.first], np.r_[links[1], pairs.second])
    return Duplicates(blank, copy_of, pairs, cluster)


def _first_equal(images: Images) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(image.tobytes(), number) for number, image in enumerate(images)], np.int64)


def _near_pairs(images: Images, thresholds: Thresholds) -> Pairs:
    thumbnails = _thumbnails(images)
    found = [_search(images, thumbnails, images, thumbnails, thresholds.plain)]
    mirror = np.ascontiguousarray(images[:, :, ::-1])
    found.append(_search(images, thumbnails, mirror, _thumbnails(mirror), thresholds.mirrored))
    mirrored = np.repeat([False, True], [len(each[0]) for each in found])
    first, second, correlation = (np.concatenate(columns) for columns in zip(*found, strict=True))
    # A symmetric face can be near its twin both ways: one pair, the better one.
    best = np.lexsort((-correlation, second, first))
    first, second, correlation, mirrored = first[best], second[best], correlation[best], mirrored[best]
    keep = np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])] if len(first) else np.empty(0, bool)
    return Pairs(first[keep], second[keep], correlation[keep].astype(np.float32), mirrored[keep])


def _search(
    images: Images, thumbnails: NDArray[np.float32], others: Images, other_thumbnails: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    firsts, seconds, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for begin in range(0, len(images), _BLOCK):
        similarity = thumbnails[begin : begin + _BLOCK] @ other_thumbnails[begin:].T
        a, b = np.nonzero(similarity >= threshold - _ALLOWANCE)
        a, b = a[a < b] + begin, b[a < b] + begin
        exact = np.array([_correlation(images[i], others[j]) for i, j in zip(a, b, strict=True)], np.float32)
        keep = exact >= threshold
        firsts.append(a[keep])
        seconds.append(b[keep])
        values.append(exact[keep])
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(values)


def _thumbnails(images: Images) -> NDArray[np.float32]:
    """float32 (N, pixels), mean 0 and norm 1: a dot product is a correlation."""
    side = _THUMBNAIL
    small = np.empty((len(images), side * side), np.float32)
    for row, image in zip(small, images, strict=True):
        row[:] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
    return small


def _correlation(a: Images, b: Images) -> float:
    inner = slice(_SHIFT, -_SHIFT)
    one = cv2.matchTemplate(a, b[inner, inner], cv2.TM_CCOEFF_NORMED)
    other = cv2.matchTemplate(b, a[inner, inner], cv2.TM_CCOEFF_NORMED)
    return float(max(one.max(), other.max()))


def _clusters(count: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    groups, member_of = connected_components(graph, directed=False)
    lowest = np.full(groups, count, np.int64)
    np.minimum.at(lowest, member_of, np.arange(count))
    return lowest[member_of]
