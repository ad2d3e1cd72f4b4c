"""Pose against points turned by a known rotation, quality against crops made worse by a known amount."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ferengine.classification.pose import FACE_POINTS, PoseMemory, estimate_pose, rotation
from ferengine.classification.quality import make_quality, measure_crops
from ferengine.results import Pose
from ferengine.vision import cv2


def turned(yaw: float, pitch: float, roll: float, distance: float = math.inf) -> np.ndarray:
    """The landmarks (5, 2) of the mean face turned by degrees, seen from ``distance`` distances between its eyes."""
    points = FACE_POINTS @ rotation(Pose(yaw, pitch, roll)).T
    depth = np.ones(5) if math.isinf(distance) else 1 + points[:, 2] / distance
    return 60 * points[:, :2] / depth[:, None] + [320, 240]


ANGLES = st.tuples(st.floats(-75, 75), st.floats(-60, 60), st.floats(-170, 170))


@given(ANGLES)
def test_the_pose_of_turned_points_is_recovered(angles: tuple[float, float, float]) -> None:
    pose = estimate_pose(turned(*angles))
    assert pose is not None
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), angles, atol=0.01)


@given(ANGLES, st.lists(st.floats(-20, 20), min_size=10, max_size=10))
def test_points_of_no_rigid_face_get_the_nearest_rotation(angles: tuple[float, float, float], noise: list[float]) -> None:
    points = turned(*angles) + np.reshape(noise, (5, 2))
    projection = (np.linalg.pinv(FACE_POINTS - FACE_POINTS.mean(0)) @ (points - points.mean(0))).T
    left, scales, right = np.linalg.svd(projection, full_matrices=False)
    assume(scales[1] > 0.1)
    pose = estimate_pose(points)
    assert pose is not None
    np.testing.assert_allclose(rotation(pose)[:2], left @ right, atol=1e-9)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-40, 10, 5), (10, -25, -20)])
def test_perspective_at_arms_length_costs_some_degrees(angles: tuple[float, float, float]) -> None:
    pose = estimate_pose(turned(*angles, distance=10))
    assert pose is not None
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), angles, atol=6)


def test_signs_are_those_of_the_image() -> None:
    right, up = FACE_POINTS[:, :2].copy(), FACE_POINTS[:, :2].copy()
    right[2, 0] += 0.2
    up[2, 1] -= 0.2
    looks_right, looks_up = estimate_pose(right), estimate_pose(up)
    assert looks_right is not None
    assert looks_up is not None
    assert looks_right.yaw > 10
    assert looks_up.pitch > 10


@pytest.mark.parametrize("value", [0.0, 7.0, math.nan, math.inf])
def test_points_without_a_pose(value: float) -> None:
    assert estimate_pose(np.full((5, 2), value)) is None


def test_a_pose_ages_until_the_next_detection() -> None:
    memory = PoseMemory()
    assert memory.update(1, 0.0, None) is None
    first, later = memory.update(1, 1.0, turned(20, 0, 0)), memory.update(1, 1.5, None)
    assert first is not None
    assert later is not None
    assert (first.age, later.age, later.yaw) == (0.0, 0.5, first.yaw)
    assert memory.update(2, 1.5, None) is None
    assert memory.update(1, 0.5, None) is None


def crops() -> np.ndarray:
    rng = np.random.default_rng(1)
    rough = rng.integers(40, 200, (6, 12, 12)).astype(np.uint8)
    return np.stack([cv2.resize(image, (48, 48), interpolation=cv2.INTER_CUBIC) for image in rough])


def measured(images: np.ndarray) -> np.ndarray:
    return measure_crops(((images[:, None].astype(np.float32)) - 129) / np.float32(65), [129], [65])


def test_measures_equal_their_definitions() -> None:
    images = crops()
    rows = measured(images)
    for image, row in zip(images.astype(np.float64), rows, strict=True):
        laplacian = cv2.Laplacian(image, cv2.CV_64F, ksize=1)[1:-1, 1:-1]
        np.testing.assert_allclose(row, [laplacian.std() / image.std(), image.mean(), image.std()], rtol=1e-3)


def test_crops_as_they_are_measure_like_normalised_ones() -> None:
    images = np.concatenate([crops(), crops() // 12])
    np.testing.assert_allclose(measure_crops(images[:, None]), measured(images), rtol=2e-3)


@pytest.mark.parametrize("planes", ["rgb", "bgr"])
def test_colours_measure_like_their_luma(planes: Literal["rgb", "bgr"]) -> None:
    luma = crops()
    red, blue = luma // 2, np.minimum(luma.astype(int) + 30, 255).astype(np.uint8)
    green = np.clip((luma - 0.299 * red - 0.114 * blue) / 0.587, 0, 255).round().astype(np.uint8)
    in_colour = np.stack([red, green, blue] if planes == "rgb" else [blue, green, red], axis=1)
    mean, std = np.array([120.0, 100.0, 90.0]), np.array([60.0, 50.0, 70.0])
    rows = (in_colour.astype(np.float32) - mean[:, None, None].astype(np.float32)) / std[:, None, None].astype(np.float32)
    np.testing.assert_allclose(measure_crops(in_colour, [0] * 3, [1] * 3, planes), measured(luma), rtol=0.03)
    np.testing.assert_allclose(measure_crops(rows, mean, std, planes), measured(luma), rtol=0.03)


@pytest.mark.parametrize("size", [64, 95, 96, 144])
def test_the_sharpness_of_large_crops_is_that_of_small_ones(size: int) -> None:
    images = crops()
    larger = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in images])
    np.testing.assert_allclose(measured(larger), measured(images), rtol=0.25)


def test_blur_lowers_the_sharpness_and_light_does_not() -> None:
    images = crops()
    blurred = [np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images]) for sigma in (1.0, 2.0, 3.0)]
    levels = [measured(batch)[:, 0].mean() for batch in (images, *blurred)]
    assert levels == sorted(levels, reverse=True)
    dark = measured((images * 0.5).round().astype(np.uint8))
    np.testing.assert_allclose(dark[:, 0], measured(images)[:, 0], rtol=0.05)
    np.testing.assert_allclose(dark[:, 1:], measured(images)[:, 1:] / 2, rtol=0.02)


def test_no_face_and_a_flat_face() -> None:
    assert measured(np.empty((0, 48, 48), np.uint8)).shape == (0, 3)
    [row] = measured(np.full((1, 48, 48), 90, np.uint8))
    quality = make_quality((0, 0, 40, 90), row)
    assert quality.size == 60
    assert (quality.sharpness, quality.contrast) == (pytest.approx(0, abs=0.05), pytest.approx(0, abs=0.2))
