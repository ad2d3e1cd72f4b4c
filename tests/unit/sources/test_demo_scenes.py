"""The demo's scenes for identities: the truth names who is drawn, and says when nobody can see them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ferengine.sources.demo import DemoSource, TrueFace
from ferengine.sources.demo.portraits import ASTRONAUT, HOPPER
from ferengine.sources.spec import Scenario
from ferengine.tracking.appearance import similarity, thumbnail

pytest.importorskip("skimage", reason="the demo's portraits: pip install 'ferengine[demo]'")
pytest.importorskip("matplotlib", reason="the demo's portraits: pip install 'ferengine[demo]'")

SCENES = [Scenario.CUTS, Scenario.ENTRIES, Scenario.PASSING, Scenario.HIDING]


def truth(scenario: Scenario, frames: int = 600, **more: int) -> list[list[TrueFace]]:
    source = DemoSource(scenario=scenario, **more)
    return [source.truth(index) for index in range(frames)]


@pytest.mark.parametrize("scenario", SCENES)
def test_each_face_shows_the_person_that_the_truth_names(scenario: Scenario) -> None:
    looks = [thumbnail(portrait.load(), portrait.box) for portrait in (ASTRONAUT, HOPPER)]
    source = DemoSource(scenario=scenario)
    source.open()
    checked = 0
    for index in range(0, 600, 20):
        image = source.read().image
        source.skip(19)
        for face in source.truth(index):
            if face.hidden == 0:
                alike = [similarity(thumbnail(image, face.box), look) for look in looks]
                assert np.argmax(alike) == face.person % 2
                assert max(alike) > 0.7
                checked += 1
    assert checked >= 15


def test_cuts_put_other_people_at_the_same_places() -> None:
    frames = truth(Scenario.CUTS)
    people = [[face.person for face in faces] for faces in frames]
    assert {tuple(sorted(here)) for here in people} == {(0,), (1,), (0, 1)}
    changes = [n for n, (before, after) in enumerate(pairwise(people)) if before != after]
    assert len(changes) >= 10
    source = DemoSource(scenario=Scenario.CUTS)
    source.open()
    backgrounds = [source.read().image[:40, :40].copy() for _ in frames]
    kept = [np.array_equal(backgrounds[n], backgrounds[n + 1]) for n in changes]
    assert True in kept  # a jump cut
    assert False in kept
    for n in changes:
        assert any(abs(a.box[0] - b.box[0]) < 1.1 * a.box[2] and a.person != b.person for a in frames[n] for b in frames[n + 1])


def test_who_enters_comes_from_outside_and_never_comes_back() -> None:
    frames = truth(Scenario.ENTRIES, 1500)
    seen: dict[int, list[int]] = {}
    for number, faces in enumerate(frames):
        assert len(faces) <= 2
        for face in faces:
            seen.setdefault(face.person, []).append(number)
    assert list(seen) == list(range(len(seen)))
    assert len(seen) >= 6  # others in the second round
    for person, numbers in seen.items():
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        first = next(face for face in frames[numbers[0]] if face.person == person)
        assert first.hidden == 1.0


def test_the_face_in_front_hides_the_other() -> None:
    frames = truth(Scenario.PASSING)
    assert all([face.person for face in faces] == [1, 0] for faces in frames)
    assert all(faces[1].hidden == 0 for faces in frames)
    hidden = [faces[0].hidden for faces in frames]
    assert sum(value == 1.0 for value in hidden) >= 10
    assert hidden[0] == 0
    sides = [faces[0].box[0] < faces[1].box[0] for faces in frames]
    assert sides[0] != sides[150]


@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_the_bar_hides_a_face_for_two_seconds(fps: float) -> None:
    source = DemoSource(fps=fps, scenario=Scenario.HIDING)
    hidden = [index for index in range(round(10 * fps)) if source.truth(index)[0].hidden == 1.0]
    assert hidden == list(range(round(1.5 * fps), round(3.5 * fps)))


def test_a_face_outside_the_frame_is_hidden() -> None:
    faces = [face for frame in truth(Scenario.ENTRIES, 300) for face in frame]
    for face in faces:
        left, right = face.box[0], face.box[0] + face.box[2]
        assert (face.hidden > 0) == (left < -1e-6 or right > 640 + 1e-6)
