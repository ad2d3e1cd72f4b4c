"""Whether the place of a face blends into another, or is one of a still image that is replaced."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import _native
from ferengine.detection.base import Detections
from ferengine.tracking.blending import Place
from ferengine.tracking.face_tracker import FaceTracker

Image = NDArray[np.uint8]
BOX = (40.0, 30.0, 60.0, 80.0)


def texture(seed: int) -> Image:
    """What stands for a face: coarse noise with a standard deviation of 30."""
    noise = np.random.default_rng(seed).normal(size=(140, 150))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    grey = np.clip(128 + 30 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


FIRST, SECOND = texture(1), texture(2)


def mixed(weight: float) -> Image:
    return np.rint((1 - weight) * FIRST.astype(float) + weight * SECOND).astype(np.uint8)


def verdicts(images: Sequence[Image], step: float, place: Place | None = None) -> list[bool]:
    """What a place says of one image after the other."""
    place = Place(BOX, -1.0) if place is None else place
    return [place.is_due(n * step) and place.add(image, n * step) for n, image in enumerate(images)]


@pytest.mark.parametrize(("step", "weights"), [(0.2, [0.5, 1]), (0.1, [0.25, 0.5, 0.75, 1])])
def test_a_dissolve_is_recognised_by_its_end(step: float, weights: list[float]) -> None:
    said = verdicts([FIRST] * 6 + [mixed(weight) for weight in weights], step)
    assert any(said)
    assert not any(said[:6])


def test_a_flat_place_is_none() -> None:
    flat = np.full_like(FIRST, 90)
    assert not any(verdicts([FIRST, flat, SECOND, flat, FIRST], 0.2))


def test_crops_have_mean_zero_and_norm_one_and_are_compared_with_the_one_before() -> None:
    crops, seen = _native.PlaceCrops(24, 2, 48.0), []
    for image, correlation in ((FIRST, 0.0), (FIRST, 1.0), (SECOND, None), (mixed(0.5), None)):
        if len(seen) > 1:
            crops.drop(1)  # of two that fit
        alike = crops.add(image, 70, 70, 48.0, 0)
        grey = image[46:94, 46:94, 0].astype(float).reshape(24, 2, 24, 2).mean((1, 3)).ravel()
        grey -= grey.mean()
        seen.append(grey / np.linalg.norm(grey))
        np.testing.assert_allclose(crops.last(), seen[-1], atol=1e-5)
        assert alike == pytest.approx(seen[-1] @ seen[-2] if correlation is None else correlation, abs=1e-5)


def test_a_large_place_is_sampled_in_some_rows() -> None:
    stripes = np.full((240, 240, 3), 100, np.uint8)
    stripes[::10] = stripes[:, :120] = 200
    crops = _native.PlaceCrops(24, 2, 1.0)
    crops.add(stripes, 120, 120, 240.0, 1)  # row 5 of ten, so that none of the stripes is seen
    assert crops.last().reshape(24, 24) == pytest.approx(np.repeat([[1 / 24] * 12 + [-1 / 24] * 12], 24, axis=0), abs=1e-6)
    crops.add(stripes, 120, 120, 240.0, 0)
    assert np.linalg.norm(crops.last()) == pytest.approx(1)


def test_crops_refuse_what_they_cannot_hold_or_read() -> None:
    for side, capacity in ((0, 2), (24, 0), (2000, 2), (24, 2000)):
        with pytest.raises(ValueError, match="from 1 to 1024"):
            _native.PlaceCrops(side, capacity, 48.0)
    crops = _native.PlaceCrops(24, 1, 48.0)
    with pytest.raises(ValueError, match="there is no crop"):
        crops.last()
    assert not crops.blends(0.8, 0.15, 0.2, 0.8, 2)
    for square in ((float("nan"), 70.0, 48.0), (70.0, float("inf"), 48.0), (70.0, 70.0, 0.0), (70.0, 70.0, float("nan"))):
        with pytest.raises(ValueError, match="a square must be finite"):
            crops.add(FIRST, *square, 0)
    with pytest.raises(ValueError, match="max_rows"):
        crops.add(FIRST, 70, 70, 48.0, -1)
    with pytest.raises(TypeError):
        crops.add(FIRST.astype(np.float32), 70, 70, 48.0, 0)  # type: ignore[arg-type]
    crops.add(FIRST, 70, 70, 48.0, 0)
    with pytest.raises(ValueError, match="no room"):
        crops.add(FIRST, 70, 70, 48.0, 0)
    crops.drop(5)
    assert crops.add(FIRST, 70, 70, 48.0, 0) == 0.0


def test_what_changes_its_brightness_and_contrast_does_not_blend() -> None:
    dimmed = [np.rint(20 + (1 - 0.08 * n) * FIRST.astype(float) * 0.8).astype(np.uint8) for n in range(10)]
    assert not any(verdicts(dimmed, 0.1))


def test_what_moves_does_not_blend() -> None:
    moving = [np.roll(FIRST, 3 * n, axis=1) for n in range(12)]
    assert not any(verdicts(moving, 0.1))


def test_what_is_replaced_at_once_does_not_blend_but_is_known_to_be_replaced() -> None:
    place = Place(BOX, -1.0)
    assert not any(verdicts([FIRST] * 6 + [SECOND], 0.2, place))
    assert place.was_replaced
    place.confirm(BOX)  # a face was found that is alike enough
    assert not place.was_replaced


def test_what_never_stood_still_is_not_replaced() -> None:
    place = Place(BOX, -1.0)
    verdicts([*(np.roll(FIRST, n, axis=1) for n in range(6)), SECOND], 0.2, place)
    assert not place.was_replaced


def test_the_rest_of_a_dissolve_is_no_other_one_and_the_next_one_is() -> None:
    rest = [mixed(weight) for weight in (0.4, 0.6, 0.8, 1, 1, 1, 1)]
    back = [mixed(weight) for weight in (0.75, 0.5, 0.25, 0)]
    said = verdicts(rest + back, 0.1, Place(BOX, settled_at=1.0))
    assert not any(said[: len(rest)])
    assert any(said[len(rest) :])


def test_a_face_that_has_moved_away_begins_a_new_place() -> None:
    place = Place(BOX, -1.0)
    verdicts([FIRST] * 3, 0.2, place)
    place.confirm((52.0, 30.0, 60.0, 80.0))  # IoU 0.67: it stays
    assert place.square[0] == 70
    place.confirm((80.0, 30.0, 60.0, 80.0))  # IoU 0.2
    assert place.square == pytest.approx((110, 70, 4800**0.5))


@pytest.mark.parametrize("fps", [5, 12, 25])
@pytest.mark.parametrize("second", [pytest.param(SECOND, id="another"), pytest.param(FIRST, id="the same")])
def test_the_id_of_a_face_ends_where_it_dissolves_into_another(fps: int, second: Image) -> None:
    """A page that stands still has one image that dissolves in 0.4 s; a face is found there in one frame of six."""
    page = np.random.default_rng(9).integers(0, 256, (300, 400, 3), np.uint8)
    tracker, ids = FaceTracker(), []
    for number in range(3 * fps):
        part = min(1.0, max(0.0, (number / fps - 1.2) / 0.4))
        image = page.copy()
        image[100:240, 100:250] = np.rint((1 - part) * FIRST.astype(float) + part * second)
        timestamp = number / fps
        tracker.look(image, timestamp)
        if number % 6:
            tracker.advance(image, timestamp)
        if number % 6 == 0 or tracker.wants_detection:
            box = np.array([[140.0, 130.0, 60.0, 80.0]], np.float32)
            tracker.correct(image, Detections(box, np.ones(1, np.float32), None), timestamp)
        if part in (0, 1):
            ids.append((part, [face.id for face in tracker.faces]))
    assert {tuple(found) for part, found in ids if part == 0} == {(1,)}
    assert {tuple(found) for part, found in ids if part == 1} == {(1,) if second is FIRST else (2,)}
