"""The native tracker: it follows place and size, it knows when it has lost, and nothing handed to it upsets it."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.frames import MAX_SIDE
from ferengine.results import Box
from ferengine.tracking import KcfTracker, TrackerUpdate, update_all
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2

Frame = NDArray[np.uint8]


def texture(side: int, seed: int) -> Frame:
    """A face-like patch: coarse structure, uint8 (side, side, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def scene(x: float, y: float, side: int, *, width: int = 640, height: int = 480) -> Frame:
    """The patch at (x, y) over noise."""
    frame = np.random.default_rng(5).integers(90, 160, (height, width, 3), np.uint8)
    shift = np.float32([[1, 0, x], [0, 1, y]])
    patch = cv2.warpAffine(texture(side, 1), shift, (width, height))
    inside = cv2.warpAffine(np.full((side, side), 255, np.uint8), shift, (width, height)) > 127
    return np.where(inside[..., None], patch, frame)


def started(frame: Frame, box: Box) -> KcfTracker:
    tracker = KcfTracker()
    tracker.init(frame, box)
    return tracker


def iou(a: Box, b: Box) -> float:
    return float(iou_matrix([a], [b])[0, 0])


@pytest.mark.parametrize("side", [16, 40, 96, 240])
@pytest.mark.parametrize("grey", [False, True])
def test_it_follows_a_face_of_any_size(side: int, grey: bool) -> None:
    def look(x: float, y: float) -> Frame:
        frame = scene(x, y, side)
        return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if grey else frame

    x, y = 150.25, 120.5
    tracker = started(look(x, y), (x, y, side, side))
    for _ in range(12):
        x, y = x + 0.12 * side, y + 0.05 * side
        if x + side > 620:
            break
        update = tracker.update(look(x, y))
        assert iou(update.box, (x, y, side, side)) > 0.8
        assert 0.6 < update.confidence <= 1


def test_it_follows_a_face_that_comes_nearer() -> None:
    tracker = started(scene(280, 200, 60), (280, 200, 60, 60))
    for side in range(61, 101):  # 1 to 1.6 % a frame
        box = (310 - side / 2, 230 - side / 2, side, side)
        update = tracker.update(scene(*box[:2], side))
    assert iou(update.box, box) > 0.75
    assert update.box[2] > 85


def test_a_face_standing_still_keeps_its_box() -> None:
    frame = scene(200.4, 100.6, 100)
    tracker = started(frame, (200.4, 100.6, 100, 100))
    for _ in range(20):
        update = tracker.update(frame)
    assert update.box == pytest.approx((200.4, 100.6, 100, 100), abs=1.5)
    assert update.confidence > 0.95


def test_a_tall_box_keeps_its_shape() -> None:
    tracker = started(scene(200, 100, 80), (205, 100, 60, 80))
    for x in range(203, 230, 3):
        update = tracker.update(scene(x, 100, 80))
    assert update.box[2] / update.box[3] == pytest.approx(60 / 80)
    assert iou(update.box, (x + 5, 100, 60, 80)) > 0.85


def test_confidence_falls_when_the_face_is_gone() -> None:
    tracker = started(scene(200, 100, 80), (200, 100, 80, 80))
    assert tracker.update(scene(205, 100, 80)).confidence > 0.8
    assert tracker.update(scene(-300, 100, 80)).confidence < 0.3


def test_the_confidence_falls_behind_an_occluder() -> None:
    frame = scene(200, 100, 80)
    tracker = started(frame, (200, 100, 80, 80))
    frame[80:200, 180:300] = texture(120, 9)
    assert tracker.update(frame).confidence < 0.4


def test_a_face_that_walks_out_is_lost() -> None:
    tracker = started(scene(560, 200, 60), (560, 200, 60, 60))
    confidences = [tracker.update(scene(x, 200, 60)).confidence for x in range(566, 660, 6)]
    assert confidences[0] > 0.8
    assert confidences[-1] < 0.3


def test_a_face_whose_middle_is_outside_is_lost() -> None:
    frame = scene(-50, 100, 80)
    assert started(frame, (-50, 100, 80, 80)).update(frame).confidence == 0
    assert started(frame, (-30, 100, 80, 80)).update(frame).confidence > 0.9


def test_a_flat_image_holds_nothing() -> None:
    flat = np.full((100, 100, 3), 90, np.uint8)
    update = started(flat, (30, 30, 40, 40)).update(flat)
    assert update.confidence == 0
    assert all(map(math.isfinite, update.box))


BOXES: list[Box] = [
    (-30, -30, 80, 80),
    (600, 440, 80, 80),
    (100, 100, 1, 1),
    (100, 100, 5, 300),
    (-500, -500, 2000, 2000),
    (1e6, 1e6, 50, 50),
    (638.5, 478.5, 30, 30),
    (0, 0, 1e9, 1e9),
    (-1e9, -1e9, 1e9, 1e9),
    (10, 10, 1e-9, 1e-9),
    (10, 10, 1e-300, 1e9),
]


@pytest.mark.parametrize("box", BOXES)
def test_any_box_is_answered(box: Box) -> None:
    frame = scene(100, 100, 80)
    tracker = started(frame, box)
    for _ in range(3):
        update = tracker.update(frame)
        assert all(map(math.isfinite, update.box))
        assert 0 <= update.confidence <= 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70), st.booleans()), min_size=2, max_size=4),
    st.tuples(st.floats(-60, 120), st.floats(-60, 120), st.floats(0.01, 120), st.floats(0.01, 120)),
    st.booleans(),
)
def test_no_frames_upset_it(shapes: list[tuple[int, int, bool]], box: Box, same: bool) -> None:
    rng = np.random.default_rng(0)
    shapes = [shapes[0]] * len(shapes) if same else shapes
    frames = [rng.integers(0, 256, (h, w, 3) if colour else (h, w), np.uint8) for h, w, colour in shapes]
    tracker = started(frames[0], box)
    for frame in frames[1:]:
        update = tracker.update(frame)
        assert all(map(math.isfinite, update.box))
        assert min(update.box[2:]) > 0
        assert 0 <= update.confidence <= 1
        if frame.shape[:2] != frames[0].shape[:2]:
            assert update.confidence == 0


def test_another_frame_size_is_a_loss_until_the_next_init() -> None:
    tracker = started(scene(100, 100, 80), (100, 100, 80, 80))
    wide = scene(100, 100, 80, width=800)
    assert tracker.update(wide) == TrackerUpdate((100, 100, 80, 80), 0.0)
    tracker.init(wide, (100, 100, 80, 80))
    assert tracker.update(wide).confidence > 0.9


def test_views_give_the_same_as_their_copies() -> None:
    first, second = scene(100, 100, 80), scene(106, 97, 80)
    expected = started(first, (100, 100, 80, 80)).update(second)

    def padded(frame: Frame) -> Frame:
        wide = np.zeros((480, 700, 3), np.uint8)
        wide[:, 30:670] = frame
        wide.flags.writeable = False
        return wide[:, 30:670]

    def upside_down(frame: Frame) -> Frame:
        return np.ascontiguousarray(frame[::-1])[::-1]

    def rgb(frame: Frame) -> Frame:
        return np.ascontiguousarray(frame[..., ::-1])[..., ::-1]

    def every_second_column(frame: Frame) -> Frame:
        return np.repeat(frame, 2, axis=1)[:, ::2]

    for view in (padded, upside_down, rgb, every_second_column):
        assert not view(first).flags.c_contiguous
        assert started(view(first), (100, 100, 80, 80)).update(view(second)) == expected


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 10), (0, 0, 10, -1), (math.nan, 0, 9, 9), (0, 0, math.inf, 9), (0, 0, 2e9, 9), (1e300, 0, 9, 9), (0, 0, 9)],
)
def test_a_box_that_is_none_is_refused(box: Any) -> None:
    with pytest.raises(UsageError, match="finite with a positive"):
        started(scene(0, 0, 20), box)


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (np.zeros((9, 9, 4), np.uint8), r"\(9, 9, 4\)"),
        (np.zeros((9, 9, 2), np.uint8), r"\(9, 9, 2\)"),
        (np.zeros((9, 9, 3), np.float32), "float32"),
        (np.zeros((0, 9, 3), np.uint8), r"\(0, 9, 3\)"),
        (np.zeros((9, 0), np.uint8), r"\(9, 0\)"),
        (np.zeros((MAX_SIDE + 1, 1), np.uint8), f"at most {MAX_SIDE}"),
        (np.zeros(9, np.uint8), r"\(9,\)"),
        ([[1, 2], [3, 4]], "list"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_frame_is_refused(frame: Any, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        started(frame, (0, 0, 5, 5))
    tracker = started(np.zeros((9, 9), np.uint8), (0, 0, 5, 5))
    with pytest.raises(UsageError, match=named):
        tracker.update(frame)


def test_update_before_init_is_refused() -> None:
    with pytest.raises(UsageError, match="init"):
        KcfTracker().update(scene(0, 0, 20))
    with pytest.raises(UsageError, match="init"):
        update_all([started(scene(0, 0, 20), (0, 0, 20, 20)), KcfTracker()], scene(0, 0, 20))


class Still:
    """Another kind of tracker: answers with the box that it was given."""

    def init(self, frame: Frame, box: Box) -> None:
        self.box = box

    def update(self, frame: Frame) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.25)


def test_all_together_answer_as_each_alone() -> None:
    first, second = scene(100, 100, 80), scene(106, 97, 80)
    boxes = [(100.0, 100.0, 80.0, 80.0), (300.0, 200.0, 40.0, 50.0), (110.0, 90.0, 60.0, 60.0)]
    together = [started(first, box) for box in boxes]
    alone = [started(first, box).update(second) for box in boxes]
    still = Still()
    still.init(first, (1.0, 2.0, 3.0, 4.0))
    answers = update_all([together[0], still, *together[1:]], second)
    assert answers == [alone[0], TrackerUpdate((1.0, 2.0, 3.0, 4.0), 0.25), *alone[1:]]
    assert update_all([], second) == []


def test_a_tracker_listed_twice_is_refused() -> None:
    tracker = started(scene(0, 0, 20), (0, 0, 20, 20))
    with pytest.raises(UsageError, match="twice"):
        update_all([tracker, tracker], scene(0, 0, 20))
    assert tracker.update(scene(0, 0, 20)).confidence > 0.9


def test_threads_track_side_by_side() -> None:
    frames = [scene(100 + 2 * i, 100, 80) for i in range(20)]
    alone = started(frames[0], (100, 100, 80, 80))
    expected = [alone.update(frame) for frame in frames[1:]]
    answers: dict[int, list[TrackerUpdate]] = {}

    def work(index: int) -> None:
        tracker = started(frames[0], (100, 100, 80, 80))
        answers[index] = [tracker.update(frame) for frame in frames[1:]]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(answers.values()) == [expected] * 4


@pytest.mark.data
def test_it_follows_real_faces_at_least_as_well_as_opencv(data_dir: Path) -> None:
    from ferengine_tools.tracking_accuracy import WholeFrameKcf, measure, read_sequences

    for sequence in read_sequences(data_dir / "tracking"):
        ours, opencv = measure(KcfTracker, sequence), measure(WholeFrameKcf, sequence)
        for name in ("mean_iou", "success_auc", "precision_20px", "restarted_iou"):
            assert getattr(ours, name) >= getattr(opencv, name), (sequence.name, name)
        assert ours.mean_iou > 0.7
        assert ours.restarted_iou > 0.85
