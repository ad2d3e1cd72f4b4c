"""Drawing: what is drawn follows the result, and stays inside the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ferengine.results import Box, Expression, Face, FrameResult, Gender, Scores, Timings
from ferengine.sinks.draw import _PALETTE, draw_faces

TIMINGS = Timings(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def face(box: Box, labels: int = 3, track: int | None = 1, classified: bool = True) -> Face:
    names = [f"class{number}" for number in range(labels)]
    scores = {name: (0.7 if name == names[-1] else 0.3 / max(1, labels - 1)) for name in names}
    expression = Expression(names[-1], scores, Scores(names[-1], scores)) if classified else None
    return Face(track, box, 0.9, 1.0, "detected", None, expression, None if classified else "deadline")


def result(*faces: Face, frame: int = 7) -> FrameResult:
    return FrameResult("camera0", frame, 0.25, 12.3456, faces, TIMINGS)


@pytest.mark.parametrize("size", [(480, 270), (640, 480), (1920, 1080), (270, 480), (64, 64)])
@pytest.mark.parametrize("labels", [1, 2, 7, 30])
@pytest.mark.parametrize("where", [(0.3, 0.3), (-0.1, -0.1), (0.95, 0.95), (0.95, -0.1), (0.0, 0.5), (-3.0, -3.0)])
def test_boxes_anywhere(size: tuple[int, int], labels: int, where: tuple[float, float]) -> None:
    width, height = size
    inside = -0.2 < where[0] < 1
    canvas = np.full((height + 80, width + 80, 3), 90, np.uint8)
    image = canvas[40:-40, 40:-40]
    drawn = result(face((where[0] * width, where[1] * height, 0.2 * width, 0.2 * height), labels))
    without = image.copy()
    draw_faces(without, result())
    draw_faces(image, drawn)
    assert (not np.array_equal(image, without)) == inside
    canvas[40:-40, 40:-40] = 90
    assert (canvas == 90).all()


def test_what_is_drawn_follows_the_result() -> None:
    def render(shown: FrameResult) -> np.ndarray:
        image = np.full((480, 640, 3), 90, np.uint8)
        draw_faces(image, shown)
        return image

    base = face((200, 150, 100, 120))
    assert base.expression is not None
    other = Scores("class0", {"class0": 0.6, "class1": 0.2, "class2": 0.2})
    variants = [
        result(base),
        result(replace(base, track=2)),
        result(replace(base, origin="tracked")),
        result(replace(base, expression=replace(base.expression, smoothed=other))),
        result(replace(base, expression=None, reason="deadline")),
        result(replace(base, expression=None)),
        replace(result(base), frame=8),
        replace(result(base), camera="camera1"),
        replace(result(base), latency_ms=99.0),
    ]
    images = [render(shown).tobytes() for shown in variants]
    assert len(set(images)) == len(images)
    for number, label in enumerate(("a woman", "a man")):
        gender = Gender(label, {label: 1.0}, Scores(label, {label: 1.0}))
        images.append(render(result(replace(base, gender=gender))).tobytes())
        assert len(set(images)) == len(variants) + number + 1
    raw_only = replace(base, expression=replace(base.expression, label="class0", scores=other.scores))
    assert render(result(raw_only)).tobytes() == images[0]


def test_gender_is_drawn_small_after_the_label() -> None:
    """It lengthens the tag by less than its letters would, and changes nothing else."""
    base = replace(face((200, 150, 100, 120)), expression=None, reason="deadline")
    label = "female"
    gender = Gender(label, {label: 0.9, "male": 0.1}, Scores(label, {label: 0.8, "male": 0.2}))
    with_gender = replace(base, gender=gender)
    same_size = replace(base, reason=f"deadline {label}")

    def changed(shown: Face) -> np.ndarray:
        plain, image = (np.full((480, 640, 3), 90, np.uint8) for _ in range(2))
        draw_faces(plain, result(base))
        draw_faces(image, result(shown))
        rows, columns = np.nonzero((plain != image).any(axis=2))
        assert rows.max() < 150  # above the box
        return np.array([columns.min(), columns.max()])

    small, large = changed(with_gender), changed(same_size)
    assert small[0] >= large[0] > 200
    assert 20 < small[1] - small[0] < large[1] - large[0]


def test_the_box_lies_where_the_face_is() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    draw_faces(image, result(face((200, 150, 100, 120), track=None, classified=False)))
    for x, y in ((250, 270), (200, 210), (300, 210), (250, 150)):
        assert image[y, x].min() > 180
    assert (image[180:240, 230:270] == 90).all()


@pytest.mark.parametrize("corner", [(-60, -80), (580, -80), (-60, 440), (580, 440), (270, -80), (270, 440)])
def test_scores_stay_whole_at_the_borders(corner: tuple[int, int]) -> None:
    """The bar of one class keeps every pixel that it has in the middle of the frame."""

    def pixels(left: int, top: int) -> int:
        image = np.full((480, 640, 3), 90, np.uint8)
        draw_faces(image, result(face((left, top, 100, 120))))
        return int((image == _PALETTE[0]).all(2).sum())

    assert pixels(*corner) == pixels(270, 180) > 0
