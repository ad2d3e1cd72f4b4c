"""Copies and near-copies: what counts as one, and that everything is compared with everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.vision import cv2
from ferengine_tools.data.duplicates import Thresholds, find_duplicates

Image = NDArray[np.uint8]
THRESHOLDS = Thresholds(plain=0.92, mirrored=0.94)


def scenes(count: int, seed: int = 0, side: int = 60) -> NDArray[np.uint8]:
    """Different images with coarse and fine structure, uint8 (count, side, side)."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, side, side), np.uint8)
    for image in images:
        coarse = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        fine = cv2.resize(rng.normal(0, 1, (20, 20)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        image[:] = np.clip(128 + 40 * coarse + 12 * fine, 0, 255)
    return images


def middle(scene: NDArray[np.uint8], dx: int = 0, dy: int = 0) -> NDArray[np.uint8]:
    return scene[6 + dy : 54 + dy, 6 + dx : 54 + dx]


def test_different_images_are_no_duplicates() -> None:
    found = find_duplicates(np.stack([middle(scene) for scene in scenes(60)]), THRESHOLDS)
    assert len(found.pairs) == 0
    assert found.cluster.tolist() == found.copy_of.tolist() == list(range(60))
    assert not found.blank.any()


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (lambda scene: np.clip(0.6 * middle(scene) + 70, 0, 255), False),  # paler
        (lambda scene: cv2.GaussianBlur(middle(scene), (0, 0), 1.0), False),
        (lambda scene: middle(scene, 3, -2), False),  # cropped elsewhere
        (lambda scene: middle(scene)[:, ::-1], True),
    ],
)
def test_a_changed_copy_is_found(change: Callable[[Image], NDArray[np.generic]], mirrored: bool) -> None:
    originals = scenes(40, seed=1)
    images = np.stack([middle(scene) for scene in originals])
    images = np.concatenate([images, np.asarray(change(originals[17]), np.uint8)[None]])
    found = find_duplicates(images, THRESHOLDS)
    assert list(zip(found.pairs.first, found.pairs.second, found.pairs.mirrored, strict=True)) == [(17, 40, mirrored)]
    assert found.pairs.correlation[0] >= 0.92
    assert found.cluster[40] == 17
    assert found.copy_of[40] == 40


def test_copies_are_linked_but_compared_once() -> None:
    first, second = (middle(scene) for scene in scenes(2, seed=2))
    found = find_duplicates(np.stack([first, second, first, first]), THRESHOLDS)
    assert found.copy_of.tolist() == [0, 1, 0, 0]
    assert found.cluster.tolist() == [0, 1, 0, 0]
    assert len(found.pairs) == 0


def test_a_chain_is_one_cluster() -> None:
    """Cropped at 0, 3 and 6 pixels the ends are too far apart, but both are near the middle one."""
    scene = scenes(1, seed=3)[0]
    images = np.stack([middle(scene, -3), middle(scenes(1, seed=4)[0]), middle(scene, 3), middle(scene)])
    found = find_duplicates(images, THRESHOLDS)
    assert list(zip(found.pairs.first, found.pairs.second, strict=True)) == [(0, 3), (2, 3)]
    assert found.cluster.tolist() == [0, 1, 0, 0]


def test_blank_images_are_marked_and_near_to_nothing() -> None:
    flat = np.full((48, 48), 90, np.uint8)
    faint = flat + (np.arange(48, dtype=np.uint8) // 6)[None]  # 8 grayscale levels from left to right: deviation 2.3
    found = find_duplicates(np.stack([flat, middle(scenes(1)[0]), flat, faint, faint + 1]), THRESHOLDS)
    assert found.blank.tolist() == [True, False, True, True, True]
    assert found.copy_of.tolist() == [0, 1, 0, 3, 4]
    assert found.cluster.tolist() == [0, 1, 2, 3, 4]
    assert len(found.pairs) == 0


def test_blocks_do_not_hide_pairs() -> None:
    """More images than one block of the search; the copy lies blocks away from its original."""
    images = np.stack([middle(scene) for scene in scenes(1300, seed=6)])
    images[1250] = np.clip(images[3] * 0.8 + 20, 0, 255)
    images[1299] = np.clip(images[1290] * 0.8 + 20, 0, 255)
    found = find_duplicates(images, THRESHOLDS)
    assert list(zip(found.pairs.first, found.pairs.second, strict=True)) == [(3, 1250), (1290, 1299)]


def test_no_images() -> None:
    found = find_duplicates(np.empty((0, 48, 48), np.uint8), THRESHOLDS)
    assert len(found.cluster) == len(found.pairs) == 0
