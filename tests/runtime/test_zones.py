"""Zones in a run: who is delivered, counted, named and blurred, and how they change meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferengine import Engine, Zone
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.results import Box
from ferengine.sources import SourceSpec, parse_source
from ferengine.vision import cv2

LEFT = Zone(name="left", points=[(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
NOT_LEFT = LEFT.model_copy(update={"kind": "ignore"})


def demo(**options: object) -> SourceSpec:
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    return parse_source("demo", name="door", size="320x240", fps=10.0, **options)


def is_left(box: Box) -> bool:
    return box[0] + box[2] / 2 <= 160


def test_faces_know_their_zones() -> None:
    with Engine(demo(zones=[LEFT]), min_face=30, max_frames=12) as engine:
        faces = [face for result in engine.results() for face in result.faces]
    assert {is_left(face.box) for face in faces} == {True, False}
    assert all(face.zones == (("left",) if is_left(face.box) else ()) for face in faces)
    assert engine.health().cameras["door"].ignored == 0


@pytest.mark.parametrize(("zones", "left"), [([NOT_LEFT], False), ([LEFT], True)])
def test_ignored_faces_are_not_delivered_and_counted(zones: list[Zone], left: bool) -> None:
    with Engine(demo(zones=zones, outside_zones="ignore"), min_face=30, max_frames=12) as engine:
        results = list(engine.results())
    faces = [face for result in results for face in result.faces]
    assert faces
    assert all(is_left(face.box) == left for face in faces)
    assert engine.health().cameras["door"].ignored >= 2  # in two searches, at least
    assert engine.summary()["cameras"]["door"]["ignored"] == engine.health().cameras["door"].ignored
    assert engine.summary()["batch"]["faces"] == len(faces)
    assert all(result.ignored == () for result in results)


def test_zones_change_while_the_camera_runs() -> None:
    with Engine(demo(loop=0, pace="native"), min_face=30, keep_open=True) as engine:
        results = iter(engine.results())
        next(result for result in results if {is_left(face.box) for face in result.faces} == {True, False})
        engine.set_zones("door", [NOT_LEFT])
        assert engine.sources["door"].zones == (NOT_LEFT,)
        for _ in range(3):  # those on their way, and ten of the new zones
            next(results)
        changed = next(result for result in results if engine.health().cameras["door"].ignored)
        faces = [face for _ in range(10) for face in next(results).faces]
        assert not any(is_left(face.box) for face in faces)
        engine.set_zones("door", [LEFT])
        back = next(result for result in results if any(face.zones for face in result.faces))
        assert back.frame > changed.frame
        assert all(worker.restarts == 0 for worker in engine.health().workers.values())


def test_ignored_faces_are_blurred(tmp_path: Path) -> None:
    path, detector = tmp_path / "blurred.mp4", MtcnnDetector(min_face=30)
    options = {"min_face": 30, "max_frames": 18, "blur": True, "save": path}
    with Engine(demo(zones=[NOT_LEFT]), **options) as engine:  # type: ignore[arg-type]
        results = list(engine.results())
    assert any(result.ignored for result in results)
    assert all(is_left(face.box) for result in results for face in result.ignored)
    assert not any(is_left(face.box) for result in results for face in result.faces)
    assert engine.summary()["batch"]["faces"] == sum(len(result.faces) for result in results)
    assert "ignored" not in results[-1].to_dict()
    video = cv2.VideoCapture(str(path))
    images = [image for _, image in iter(video.read, (False, None))]
    assert len(images) == len(results)
    assert not any((detector.detect(image).scores > 0.9).any() for image in images)  # those of the demo have 0.99 and more
