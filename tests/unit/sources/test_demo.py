"""The demo source: determinism, ground truth and the scenarios' promises."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from ferengine.errors import MissingDependencyError, SourceError, UsageError
from ferengine.pip_hint import install_extra
from ferengine.results import Box
from ferengine.sources.demo import OCCLUDED, DemoSource, portraits
from ferengine.sources.spec import Scenario
from oracles.demo_truth import demo_truth


def frame(source: DemoSource, index: int) -> np.ndarray:
    source.open()
    source.skip(index)
    captured = source.read()
    assert captured is not None
    return captured.image.copy()


def iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_frames_are_a_pure_function_of_seed_and_index(scenario: Scenario) -> None:
    read_through = DemoSource(320, 240, scenario=scenario, seed=3)
    read_through.open()
    images = [read_through.read().image.copy() for _ in range(62)]
    assert np.array_equal(images[61], frame(DemoSource(320, 240, scenario=scenario, seed=3), 61))
    assert not np.array_equal(images[61], frame(DemoSource(320, 240, scenario=scenario, seed=4), 61))


def test_frames_are_rendered_when_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    render = DemoSource._render

    def counted(source: DemoSource, index: int, out: np.ndarray) -> None:
        rendered.append(index)
        render(source, index, out)

    monkeypatch.setattr(DemoSource, "_render", counted)
    source = DemoSource(320, 240, drawn=True)
    source.open()
    for _ in range(5):
        source.read()
    captured = source.read()
    assert captured is not None
    assert rendered == []
    written = np.empty(captured.shape, np.uint8)
    captured.write(written)
    assert np.array_equal(captured.image, written)
    assert captured.image is captured.image
    assert rendered == [5, 5]


def test_length_rate_and_geometry() -> None:
    source = DemoSource(320, 200, fps=10.0, frames=3)
    info = source.open()
    assert (info.width, info.height, info.fps, info.live, info.frames) == (320, 200, 10.0, False, 3)
    stamps = []
    while (captured := source.read()) is not None:
        assert captured.image.shape == (200, 320, 3)
        assert captured.image.dtype == np.uint8
        stamps.append(captured.timestamp)
    assert stamps == pytest.approx([0.0, 0.1, 0.2])
    assert source.read() is None
    source.close()
    source.close()
    with pytest.raises(SourceError):
        source.read()


def test_endless() -> None:
    source = DemoSource(64, 64, frames=None)
    assert source.open().frames is None
    source.skip(10**9)
    assert source.read() is not None


@pytest.mark.parametrize("size", [(640, 480), (480, 270), (1280, 720), (270, 480)])
@pytest.mark.parametrize("faces", [1, 2, 4])
def test_strollers_stay_in_the_frame_and_apart(size: tuple[int, int], faces: int) -> None:
    width, height = size
    for seed in range(4):
        source = DemoSource(width, height, faces=faces, seed=seed)
        for index in range(0, 1800, 7):
            truth = demo_truth(source, index)
            assert [face.person for face in truth] == list(range(faces))
            for face in truth:
                x, y, w, h = face.box
                assert x >= 0
                assert y >= 0
                assert x + w <= width
                assert y + h <= height
            for left, right in pairwise(truth):
                assert left.box[0] + left.box[2] < right.box[0]


@pytest.mark.parametrize("scenario", [scenario for scenario in Scenario if scenario not in (Scenario.CUTS, Scenario.ENTRIES)])
def test_motion_is_smooth(scenario: Scenario) -> None:
    source = DemoSource(scenario=scenario)
    previous = demo_truth(source, 0)
    for index in range(1, 300):
        current = demo_truth(source, index)
        for before, after in zip(previous, current, strict=True):
            step = math.dist(before.box[:2], after.box[:2])
            assert step < 0.12 * after.box[3]
            assert abs(after.angle - before.angle) < 2
        previous = current


def test_landmarks_follow_a_turn() -> None:
    source = DemoSource(scenario="turn")
    for index in (0, 13, 60):
        (face,) = demo_truth(source, index)
        (left_x, left_y), (right_x, right_y) = face.landmarks[:2]
        upright = demo_truth(source, 0)[0].landmarks
        lean = math.degrees(math.atan2(upright[1][1] - upright[0][1], upright[1][0] - upright[0][0]))
        angle = math.degrees(math.atan2(right_y - left_y, right_x - left_x))
        assert angle - lean == pytest.approx(face.angle, abs=1e-6)
        assert math.dist(*face.landmarks[:2]) == pytest.approx(math.dist(*upright[:2]))
    angles = [demo_truth(source, index)[0].angle for index in range(121)]
    assert max(angles) == pytest.approx(30)
    assert angles[0] == pytest.approx(0)
    assert angles[120] == pytest.approx(0)


def test_the_image_turns_as_the_landmarks_say() -> None:
    """The dark pupils of the portrait lie where the truth puts the eyes, in the turned image too."""
    source = DemoSource(1280, 960, scenario="turn")
    for index in (0, 60):
        image = frame(DemoSource(1280, 960, scenario="turn"), index).mean(2)
        (face,) = demo_truth(source, index)
        for x, y in face.landmarks[:2]:
            eye = image[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
            assert eye.min() < 60


def test_occluder_hides_the_face_for_exactly_five_frames() -> None:
    source = DemoSource(scenario="occlusion")
    occluded = [demo_truth(source, index)[0].occluded for index in range(150)]
    assert [index for index, share in enumerate(occluded) if share == 1.0] == list(OCCLUDED)
    assert len(OCCLUDED) == 5
    assert sum(0 < share < 1 for share in occluded) >= 2
    assert not any(occluded[: OCCLUDED[0] - 4] + occluded[OCCLUDED[-1] + 5 :])

    source.open()
    source.skip(OCCLUDED[0])
    for index in OCCLUDED:
        image = source.read().image
        x, y, w, h = demo_truth(source, index)[0].box
        patch = image[math.floor(y) : math.ceil(y + h), math.floor(x) : math.ceil(x + w)].reshape(-1, 3)
        assert (patch == patch[0]).all()


@pytest.mark.parametrize("span", [range(10, 11), range(20, 24), range(30, 60)])
def test_occluder_for_a_given_span(span: range) -> None:
    source = DemoSource(occluder=span)
    assert [i for i in range(120) if demo_truth(source, i)[0].occluded == 1.0] == list(span)


def test_crossing_faces_touch_and_change_sides() -> None:
    source = DemoSource(scenario="crossing")
    sides = []
    touching = 0
    for index in range(120):
        first, second = (face.box for face in demo_truth(source, index))
        assert iou(first, second) < 0.01
        across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
        gap = max(first[1], second[1]) - min(first[1] + first[3], second[1] + second[3])
        touching += across > 0 and abs(gap) < 1
        sides.append(first[0] < second[0])
    assert touching >= 5
    assert sides[0] != sides[-1]


def test_empty_scene_has_no_face() -> None:
    assert demo_truth(DemoSource(scenario="empty"), 17) == []


def test_truth_needs_no_portraits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "find_spec", lambda _name: None)
    assert len(demo_truth(DemoSource(), 0)) == 2


@pytest.mark.parametrize("missing", ["skimage", "matplotlib"])
def test_without_a_portrait_all_faces_are_drawn(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_portraits, drawn = frame(DemoSource(), 7), frame(DemoSource(drawn=True), 7)
    monkeypatch.setattr(portraits, "find_spec", lambda name: None if name == missing else find_spec(name))
    caplog.set_level("INFO")
    assert np.array_equal(frame(DemoSource(), 7), drawn)
    assert install_extra("demo") in caplog.text
    assert not np.array_equal(with_portraits, drawn)
    with pytest.raises(MissingDependencyError, match=f"{missing}.*{re.escape(install_extra('demo'))}"):
        portraits.require_portraits()


def test_package_without_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "find_spec", lambda _name: SimpleNamespace(origin="/nowhere/__init__.py"))
    assert not portraits.is_installed(portraits.ASTRONAUT)
    with pytest.raises(MissingDependencyError, match=r"astronaut\.png"):
        portraits.ASTRONAUT.load()


@pytest.mark.parametrize(
    "arguments",
    [{"faces": 0}, {"faces": 5}, {"width": 10}, {"fps": 0.0}, {"fps": math.nan}, {"frames": 0}, {"scenario": "rest"}],
)
def test_bad_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        DemoSource(**arguments)


@pytest.mark.parametrize("scenario", [Scenario.STROLL, Scenario.CROSSING, Scenario.TURN, Scenario.EMPTY])
def test_truth_is_what_mtcnn_finds(scenario: Scenario) -> None:
    from ferengine.detection.mtcnn import MtcnnDetector

    detector = MtcnnDetector()
    source = DemoSource(scenario=scenario)
    source.open()
    for index in range(0, 120, 15):
        source.skip(14 if index else 0)
        found = [tuple(box) for box in detector.detect(source.read().image).boxes]
        truth = demo_truth(source, index)
        assert len(found) == len(truth)
        for face in truth:
            assert max(iou(face.box, box) for box in found) > 0.6
