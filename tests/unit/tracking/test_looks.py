"""Whether a face still is the same one, also where it dissolves into another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.tracking.appearance import LENGTH, MEAN_DIRECTION
from ferengine.tracking.looks import Looks

Vector = NDArray[np.float32]


def people(count: int) -> list[Vector]:
    """Appearances that have nothing in common, with each other or with the mean face."""
    vectors = np.random.default_rng(5).normal(size=(LENGTH, count + 1))
    vectors[:, 0] = MEAN_DIRECTION
    return list(np.asarray(np.linalg.qr(vectors)[0][:, 1:].T, np.float32))


FIRST, SECOND, THIRD = people(3)


def mixed(*parts: tuple[float, Vector]) -> Vector:
    total = np.sum([weight * vector for weight, vector in parts], axis=0)
    return np.asarray(total / np.linalg.norm(total), np.float32)


def looks_of(*vectors: Vector, sure: bool = True) -> Looks:
    """What is remembered of a face that was seen so every quarter of a second, from 0 on."""
    looks = Looks()
    for number, vector in enumerate(vectors):
        looks.add(vector, sure, number / 4)
    return looks


def test_a_face_is_as_alike_as_to_its_most_alike_look() -> None:
    looks = looks_of(FIRST, SECOND)
    assert looks.similarity(mixed((0.8, SECOND), (0.6, THIRD)), 0.5) == pytest.approx(0.8)
    assert looks.similarity(mixed((0.6, FIRST), (0.8, THIRD)), 0.5) == pytest.approx(0.6)


def test_nothing_remembered_is_like_nothing() -> None:
    assert Looks().similarity(FIRST, 0.0) == 0


def test_what_was_not_sure_is_forgotten_with_the_next_look() -> None:
    looks = looks_of(FIRST, SECOND, sure=False)
    assert looks.similarity(FIRST, 0.5) == pytest.approx(0, abs=1e-6)
    assert looks.similarity(SECOND, 0.5) == pytest.approx(1)


def test_five_different_looks_are_kept() -> None:
    faces = people(7)
    looks = looks_of(*faces)
    assert [looks.similarity(face, 9.0) > 0.99 for face in faces] == [False, False, *[True] * 5]


def test_a_look_that_is_known_takes_no_place() -> None:
    looks = looks_of(FIRST, *[mixed((0.9, FIRST), (0.4, SECOND))] * 6)
    assert looks.similarity(FIRST, 2.0) == pytest.approx(1)


@pytest.mark.parametrize("sure", [True, False])
def test_what_a_face_has_dissolved_into_is_another_one(sure: bool) -> None:
    looks = looks_of(FIRST, FIRST, mixed((0.6, FIRST), (0.5, SECOND)), sure=sure)
    assert looks.similarity(SECOND, 0.75) == 0
    assert looks.similarity(THIRD, 0.75) == pytest.approx(0, abs=1e-6)
    assert looks.similarity(FIRST, 0.75) > 0.7


def test_a_dissolve_is_known_by_several_mixtures_and_by_what_it_adds_of_the_mean_face() -> None:
    mixtures = [mixed((1 - part, FIRST), (part, SECOND), (-0.3, MEAN_DIRECTION)) for part in (0.25, 0.5, 0.75)]
    assert looks_of(FIRST, FIRST, *mixtures).similarity(SECOND, 1.25) == 0


@pytest.mark.parametrize(
    "between",
    [
        mixed((0.6, FIRST), (0.5, SECOND), (0.6, THIRD)),  # not only of the two
        mixed((0.95, FIRST), (0.2, SECOND)),  # as good as the first
        SECOND,  # no mixture: the face has turned at once
    ],
)
def test_a_face_that_turns_does_not_dissolve(between: Vector) -> None:
    looks = looks_of(FIRST, FIRST, between)
    assert looks.similarity(SECOND, 0.75) == pytest.approx(max(float(SECOND @ FIRST), float(SECOND @ between)), abs=1e-6)


def test_a_face_that_was_moving_before_does_not_dissolve() -> None:
    middle = mixed((0.6, FIRST), (0.5, SECOND))
    assert looks_of(THIRD, FIRST, middle).similarity(SECOND, 0.75) == pytest.approx(float(SECOND @ middle))


def test_a_face_that_looks_as_it_did_before_has_only_moved() -> None:
    looks = looks_of(SECOND, FIRST, FIRST, mixed((0.6, FIRST), (0.5, SECOND)))
    assert looks.similarity(SECOND, 1.0) == pytest.approx(1)


def test_what_took_longer_than_two_seconds_is_no_dissolve() -> None:
    middle = mixed((0.6, FIRST), (0.5, SECOND))
    looks = looks_of(FIRST, FIRST, middle)
    assert looks.similarity(SECOND, 1.9) == 0
    assert looks.similarity(SECOND, 2.1) == pytest.approx(float(SECOND @ middle))


def test_a_clock_that_is_set_back_finds_no_dissolve() -> None:
    middle = mixed((0.6, FIRST), (0.5, SECOND))
    assert looks_of(FIRST, FIRST, middle).similarity(SECOND, -5.0) == pytest.approx(float(SECOND @ middle))


def test_what_was_seen_in_a_dissolve_is_forgotten() -> None:
    looks = looks_of(FIRST, SECOND, THIRD)
    looks.forget_since(0.25)
    assert [looks.similarity(face, 0.75) > 0.99 for face in (FIRST, SECOND, THIRD)] == [True, True, False]
