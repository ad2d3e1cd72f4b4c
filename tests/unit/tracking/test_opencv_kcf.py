"""KCF in its shrunken window: it follows, it knows when it has lost, and no box can upset OpenCV."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.errors import MissingDependencyError, UsageError
from ferengine.tracking import opencv_kcf
from ferengine.tracking.appearance import similarity, thumbnail
from ferengine.tracking.matching import iou_matrix
from ferengine.tracking.opencv_kcf import OpenCvKcf
from ferengine.vision import cv2


def texture(side: int, seed: int) -> np.ndarray:
    """A face-like patch: coarse structure, uint8 (side, side, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def scene(x: float, y: float, side: int, *, width: int = 640, height: int = 480) -> np.ndarray:
    """The patch at (x, y) over noise."""
    frame = np.random.default_rng(5).integers(90, 160, (height, width, 3), np.uint8)
    shift = np.float32([[1, 0, x], [0, 1, y]])
    patch = cv2.warpAffine(texture(side, 1), shift, (width, height))
    inside = cv2.warpAffine(np.full((side, side), 255, np.uint8), shift, (width, height)) > 127
    return np.where(inside[..., None], patch, frame)


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return float(iou_matrix([a], [b])[0, 0])


@pytest.mark.parametrize("side", [16, 40, 96, 240])
def test_it_follows_a_face_of_any_size(side: int) -> None:
    tracker = OpenCvKcf()
    x, y = 150.25, 120.5
    tracker.init(scene(x, y, side), (x, y, side, side))
    for _ in range(12):
        x, y = x + 0.12 * side, y + 0.05 * side
        if x + side > 620:
            break
        update = tracker.update(scene(x, y, side))
        assert iou(update.box, (x, y, side, side)) > 0.8
        assert 0.6 < update.confidence <= 1


def test_a_face_standing_still_keeps_its_fractional_box() -> None:
    frame = scene(200.4, 100.6, 100)
    tracker = OpenCvKcf()
    tracker.init(frame, (200.4, 100.6, 100, 100))
    update = tracker.update(frame)
    assert update.box == pytest.approx((200.4, 100.6, 100, 100))
    assert update.confidence == pytest.approx(1, abs=1e-5)


def test_it_follows_beyond_its_first_window() -> None:
    tracker = OpenCvKcf()
    tracker.init(scene(20, 200, 40), (20, 200, 40, 40))
    for x in range(24, 560, 8):
        update = tracker.update(scene(x, 200, 40))
    assert iou(update.box, (x, 200, 40, 40)) > 0.7


def test_confidence_falls_when_the_face_is_gone() -> None:
    tracker = OpenCvKcf()
    tracker.init(scene(200, 100, 80), (200, 100, 80, 80))
    assert tracker.update(scene(205, 100, 80)).confidence > 0.8
    assert tracker.update(scene(-300, 100, 80)).confidence < 0.3


def test_the_confidence_falls_behind_an_occluder() -> None:
    tracker = OpenCvKcf()
    frame = scene(200, 100, 80)
    tracker.init(frame, (200, 100, 80, 80))
    frame[80:200, 180:300] = texture(120, 9)
    assert tracker.update(frame).confidence < 0.4


def test_a_face_that_walks_out_is_lost() -> None:
    tracker = OpenCvKcf()
    tracker.init(scene(560, 200, 60), (560, 200, 60, 60))
    confidences = [tracker.update(scene(x, 200, 60)).confidence for x in range(566, 660, 6)]
    assert confidences[0] > 0.8
    assert confidences[-1] < 0.3


def test_a_face_whose_middle_is_outside_is_lost() -> None:
    tracker = OpenCvKcf()
    frame = scene(-50, 100, 80)
    tracker.init(frame, (-50, 100, 80, 80))
    assert tracker.update(frame).confidence == 0
    tracker.init(frame, (-30, 100, 80, 80))
    assert tracker.update(frame).confidence > 0.9


@pytest.mark.parametrize(
    "box",
    [
        (-30, -30, 80, 80),
        (600, 440, 80, 80),
        (100, 100, 1, 1),
        (100, 100, 5, 300),
        (-500, -500, 2000, 2000),
        (-100, 50, 60, 60),
        (1e6, 1e6, 50, 50),
        (638.5, 478.5, 30, 30),
        (0, 0, 1e9, 1e9),
        (10, 10, 1e-9, 1e-9),
    ],
)
def test_any_box_is_answered(box: tuple[float, float, float, float]) -> None:
    tracker = OpenCvKcf()
    frame = scene(100, 100, 80)
    tracker.init(frame, box)
    for _ in range(3):
        update = tracker.update(frame)
        assert update.box[2:] == box[2:]
        assert 0 <= update.confidence <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.tuples(st.floats(-60, 120), st.floats(-60, 120), st.floats(0.01, 120), st.floats(0.01, 120)),
)
def test_no_small_frame_or_box_upsets_opencv(width: int, height: int, box: tuple[float, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    tracker = OpenCvKcf()
    tracker.init(frames[0], box)  # type: ignore[arg-type]
    for frame in frames:
        update = tracker.update(frame)
        assert all(map(math.isfinite, update.box))
        assert 0 <= update.confidence <= 1


def test_a_box_that_hangs_over_the_edge_keeps_its_overhang() -> None:
    tracker = OpenCvKcf()
    tracker.init(scene(-20, 100, 80), (-20, 100, 80, 80))
    update = tracker.update(scene(-14, 100, 80))
    assert iou(update.box, (-14, 100, 80, 80)) > 0.85


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (0, 0, 10, -1), (math.nan, 0, 9, 9), (0, 0, math.inf, 9)])
def test_a_box_that_is_none_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="finite with a positive"):
        OpenCvKcf().init(scene(0, 0, 20), box)


def test_update_before_init_is_refused() -> None:
    with pytest.raises(UsageError, match="init"):
        OpenCvKcf().update(scene(0, 0, 20))


def test_another_frame_size_is_a_loss_until_the_next_init() -> None:
    tracker = OpenCvKcf()
    tracker.init(scene(100, 100, 80), (100, 100, 80, 80))
    assert tracker.update(scene(100, 100, 80, width=800)).confidence == 0
    tracker.init(scene(100, 100, 80, width=800), (100, 100, 80, 80))
    assert tracker.update(scene(100, 100, 80, width=800)).confidence > 0.9


def test_read_only_frames_with_padded_rows() -> None:
    wide = scene(100, 100, 80, width=704)
    frame = wide[:, :640]
    frame.flags.writeable = False
    tracker = OpenCvKcf()
    tracker.init(frame, (100, 100, 80, 80))
    assert tracker.update(frame).confidence > 0.99
    tracker.init(frame, (100, 100, 20, 20))
    assert tracker.update(frame).confidence > 0.99


def test_a_build_without_contrib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(opencv_kcf.cv2, "TrackerKCF")
    with pytest.raises(MissingDependencyError, match="opencv-contrib-python"):
        OpenCvKcf()


def test_thumbnails_compare_structure_not_brightness() -> None:
    frame = scene(100, 100, 80)
    face = (100.0, 100.0, 80.0, 80.0)
    assert similarity(thumbnail(frame, face), thumbnail(frame // 2 + 60, face)) > 0.98
    assert similarity(thumbnail(frame, face), thumbnail(frame, (300.0, 300.0, 80.0, 80.0))) < 0.3
    flat = thumbnail(np.full_like(frame, 100), face)
    assert similarity(flat, flat) == 0
    assert not thumbnail(frame, (700.0, 0.0, 20.0, 20.0)).any()


@pytest.mark.data
def test_it_follows_real_faces_between_detections(data_dir: Path) -> None:
    from ferengine_tools.tracking_accuracy import measure, read_sequences

    david, jumping, man = (measure(OpenCvKcf, each) for each in read_sequences(data_dir / "tracking"))
    assert david.restarted_iou > 0.80
    assert jumping.restarted_iou > 0.50
    assert man.restarted_iou > 0.84
