"""Made scenes: who is where in them, and what is counted."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.vision import cv2
from ferengine_tools.tracking.actors import Actor, Image
from ferengine_tools.tracking.likeness import main as likeness_main
from ferengine_tools.tracking.likeness import pair_similarities
from ferengine_tools.tracking.scenes import Material, main, play
from ferengine_tools.tracking.scripts import CONTROLS, SCRIPTS, Cast
from ferengine_tools.tracking.staging import SIZE, Bar, Layer, Pose, Scene, draw

SIDE = 40


def actor(name: str, seed: int, times: tuple[float, ...] = (0.0,)) -> Actor:
    """A bright pattern of its own, which correlates with no other, on black, with a margin as wide as itself."""
    image = np.zeros((3 * SIDE, 3 * SIDE, 3), np.uint8)
    down, across = np.cos(np.pi * np.outer(divmod(seed + 1, 7), (np.arange(SIDE) + 0.5) / SIDE))
    image[SIDE : 2 * SIDE, SIDE : 2 * SIDE] = (190 + 60 * np.outer(down, across))[..., None]
    moves = range(len(times))
    images = tuple(np.roll(image, index, axis=1) for index in moves)
    return Actor(name, times, images, tuple((SIDE + index, SIDE, SIDE, SIDE) for index in moves))


class Bright:
    """Finds what is bright."""

    finds_landmarks = False

    def detect(self, image: Image, near: object = None) -> Detections:
        count, _, found, _ = cv2.connectedComponentsWithStats(np.asarray(image[..., 1] > 100, np.uint8))
        boxes = found[1:count, :4].astype(np.float32)
        return Detections(boxes, np.ones(len(boxes), np.float32), None)

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture(scope="module")
def material() -> Material:
    people = [actor(f"clip {seed}", seed, (0.0, 0.5, 1.0)) for seed in range(3)]
    photos = [actor(f"photo {seed}", seed) for seed in range(10, 40)]
    return Material(people, photos, [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)])


def test_a_clip_goes_back_and_forth() -> None:
    person = actor("a", 0, (0.0, 0.5, 1.0))
    assert [person.at(seconds)[1][0] - SIDE for seconds in (0, 0.6, 1, 1.2, 1.6, 2, 2.6)] == [0, 1, 2, 1, 0, 0, 1]


def test_a_photograph_stays() -> None:
    assert actor("a", 0).at(7.3)[1] == (SIDE, SIDE, SIDE, SIDE)


@pytest.mark.parametrize("kind", SCRIPTS)
def test_each_scene_shows_its_people_and_each_alone_under_its_number(material: Material, kind: str) -> None:
    scene = SCRIPTS[kind](material.cast(3), kind)
    names = sorted({layer.actor.name for layer in scene.layers})
    frames = [draw(scene, number / 10, names)[1] for number in range(round(10 * scene.seconds))]
    people = {person for frame in frames for person in frame.tracks}
    assert len(people) == 1 if kind in CONTROLS else len(people) >= 2
    assert all(len(set(frame.tracks)) == len(frame.tracks) for frame in frames)
    assert scene.kind == kind


def test_no_kind_puts_one_person_for_another_among_the_controls() -> None:
    assert set(CONTROLS) < SCRIPTS.keys()


def test_the_same_number_gives_the_same_scene(material: Material) -> None:
    (first, second), names = ([SCRIPTS["cut"](material.cast(5), "cut") for _ in range(2)], ["clip 0", "clip 1", "clip 2"])
    assert (draw(first, 2.5, names)[0] == draw(second, 2.5, names)[0]).all()


def scene_of(*layers: Layer, bar: Bar | None = None) -> Scene:
    return Scene("test", 2.0, layers, np.zeros((SIZE[1], SIZE[0], 3), np.uint8), bar)


def test_the_truth_is_where_the_face_is_drawn() -> None:
    frame, truth = draw(scene_of(Layer(actor("a", 0), "tile", lambda _: Pose(200, 100, 60))), 0.0, ["a"])
    np.testing.assert_allclose(truth.boxes, [[170, 70, 60, 60]])
    np.testing.assert_allclose(Bright().detect(frame).boxes, [[170, 70, 60, 60]], atol=1)


def test_the_camera_shakes_image_and_truth_alike(material: Material) -> None:
    scene = SCRIPTS["shaking"](material.cast(0), "shaking")
    name = scene.layers[0].actor.name
    places = []
    for time in (0.1, 0.3, 0.55):
        frame, truth = draw(scene, time, [name])
        np.testing.assert_allclose(Bright().detect(frame).boxes, truth.boxes, atol=2)
        places.append(truth.boxes[0])
    assert np.ptp(places, axis=0)[:2].max() > 2


@pytest.mark.parametrize(("opacity", "seen", "ignored"), [(1.0, [1], 0), (0.5, [], 2), (0.05, [0], 1), (0.0, [0], 0)])
def test_faces_that_are_mixed_are_ignored(opacity: float, seen: list[int], ignored: int) -> None:
    layers = (
        Layer(actor("a", 0), "full", lambda _: Pose(200, 100, 60)),
        Layer(actor("b", 1), "full", lambda _: Pose(200, 100, 60, opacity)),
    )
    _, truth = draw(scene_of(*layers), 0.0, ["a", "b"])
    assert list(truth.tracks) == seen
    assert len(truth.ignored) == ignored


@pytest.mark.parametrize(("left", "seen", "ignored"), [(0, 1, 0), (170, 0, 1), (150, 0, 0)])
def test_a_bar_hides_what_is_behind_it(left: int, seen: int, ignored: int) -> None:
    width = 30 if left == 170 else 100
    layer = Layer(actor("a", 0), "full", lambda _: Pose(200, 100, 60))
    _, truth = draw(scene_of(layer, bar=Bar((left, width))), 0.0, ["a"])
    assert (len(truth.tracks), len(truth.ignored)) == (seen, ignored)


def test_a_wipe_uncovers_from_the_left() -> None:
    layers = (
        Layer(actor("a", 0), "full", lambda _: Pose(100, 100, 60)),
        Layer(actor("b", 1), "full", lambda _: Pose(300, 100, 60, wipe=0.5)),
    )
    frame, truth = draw(scene_of(*layers), 0.0, ["a", "b"])
    assert truth.tracks == ()  # the first is covered, the second not yet there
    assert not len(Bright().detect(frame))


def test_a_cut_between_unlike_patterns_begins_a_new_id(material: Material) -> None:
    outcome = play(material, "cut before one background", [25.0], 2, 6, Bright(), "haar")
    assert (outcome.scenes, outcome.wrong_scenes, outcome.measures.wrong_continuations) == (2, 0, 0)
    assert outcome.measures.tracks == outcome.measures.people == 4
    assert outcome.measures.recall > 0.95
    assert outcome.tracking_ms > 0


def test_a_person_who_stays_keeps_the_id(material: Material) -> None:
    outcome = play(material, "still", [25.0, 10.0], 1, 6, Bright(), "haar")
    assert outcome.measures.tracks == outcome.scenes == 2
    assert outcome.measures.extra_tracks == 0


def test_a_cast_has_nobody_twice(material: Material) -> None:
    cast = material.cast(1)
    assert isinstance(cast, Cast)
    assert isinstance(cast.random, Random)
    names = [person.name for person in [*cast.people, *cast.photos]]
    assert len(set(names)) == len(names)


def test_a_kind_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--kind", "earthquake"]) == 2
    assert "'earthquake'" in capsys.readouterr().err


def test_a_folder_without_the_clips_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "woman2.mp4" in capsys.readouterr().err


def test_each_pair_of_people_is_compared_once() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    np.testing.assert_allclose(np.sort(pair_similarities(vectors)), [0, 0.6, 0.8], atol=1e-6)


def test_a_folder_that_is_no_wild_faces_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert likeness_main([str(tmp_path)]) == 2
    assert "wild_faces" in capsys.readouterr().err
