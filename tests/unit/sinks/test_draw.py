"""Drawing: what is drawn follows the result, and stays inside the frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeAlias, get_args

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.frames import AnyImage
from ferengine.results import (
    Box,
    DrawExtra,
    Expression,
    Face,
    FrameResult,
    Gender,
    HeadReading,
    Pose,
    Scores,
    Timings,
    UncertainReason,
)
from ferengine.sinks import draw
from ferengine.sinks.draw import _PALETTE, draw_faces, draw_still
from ferengine.sinks.layout import Rectangle, Taken, overlap

TIMINGS = Timings(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def face(box: Box, labels: int = 3, track: int | None = 1, classified: bool = True) -> Face:
    names = [f"class{number}" for number in range(labels)]
    scores = {name: (0.7 if name == names[-1] else 0.3 / max(1, labels - 1)) for name in names}
    expression = Expression(names[-1], scores, Scores(names[-1], scores)) if classified else None
    return Face(track, box, 0.9, 1.0, "detected", None, expression, None if classified else "deadline")


def result(*faces: Face, frame: int = 7) -> FrameResult:
    return FrameResult("camera0", frame, 0.25, 12.3456, faces, TIMINGS)


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[..., ::-1],
        lambda image: image[:, ::-1],
        lambda image: image[::-1],
        lambda image: image[:, ::2],
        lambda image: image[:, ::2][:, :1],
        lambda image: image.transpose(1, 0, 2),
        np.asfortranarray,
    ],
    ids=["RGB", "mirrored", "upside down", "every other column", "one column", "turned", "Fortran"],
)
def test_an_image_that_opencv_cannot_draw_on_is_refused(view: Callable[[AnyImage], AnyImage]) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    given = view(image)
    drawn = result(face((30, 30, 40, 40)))
    calls: list[Callable[[], None]] = [lambda: draw_faces(given, drawn), lambda: draw_still(given, drawn.faces)]
    for call in calls:
        with pytest.raises(UsageError, match=r"pixels must lie side by side: draw on a copy \(np.ascontiguousarray\(image\)\)"):
            call()
    assert (given == 90).all()
    copy = np.ascontiguousarray(given)
    draw_faces(copy, drawn)
    assert (copy != 90).any()


@pytest.mark.parametrize("view", [lambda image: image[20:90, 10:140], lambda image: image[:1][::-1], lambda image: image[::2]])
def test_rows_may_lie_apart(view: Callable[[AnyImage], AnyImage]) -> None:
    given = view(np.full((120, 160, 3), 90, np.uint8))
    copy = np.ascontiguousarray(given)
    for image in (given, copy):
        draw_faces(image, result(face((30, -10, 40, 40))))
    assert (copy != 90).any()
    np.testing.assert_array_equal(given, copy)


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


Areas: TypeAlias = list[tuple[Rectangle, Rectangle]]
"""The box of a face, and where something of it was drawn."""


def drawn_areas(monkeypatch: pytest.MonkeyPatch, image: np.ndarray, faces: list[Face]) -> tuple[Areas, Areas]:
    """Of the tags, and of the panels that are drawn after all of them."""
    areas: list[tuple[int, Rectangle]] = []

    class Recorded(Taken):
        def first_free(self, candidates: Iterable[Rectangle], face: int) -> Rectangle | None:
            area = super().first_free(candidates, face)
            areas.extend([(face, area)] if area is not None else [])
            return area

    with monkeypatch.context() as patched:
        patched.setattr(draw, "Taken", Recorded)
        draw_still(image, faces)
    boxes = [tuple(map(round, (x, y, x + w, y + h))) for x, y, w, h in (each.box for each in faces)]
    shown = [box for box in boxes if box[0] < image.shape[1] and box[1] < image.shape[0] and min(box[2:]) > 0]
    tags = next((n for n in range(1, len(areas)) if areas[n][0] <= areas[n - 1][0]), len(areas))
    drawn: Areas = [(shown[number], area) for number, area in areas]  # type: ignore[misc]
    return drawn[:tags], drawn[tags:]


@pytest.mark.parametrize("seed", range(12))
def test_tags_and_bars_cover_no_other_face_and_not_each_other(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces: list[Face] = []
    for number in range(12):
        side = float(rng.integers(30, 120))
        x, y = rng.uniform(-20, 620), rng.uniform(-20, 460)
        faces.append(face((x, y, side, 1.2 * side), labels=int(rng.integers(1, 8)), track=number))
    image = np.full((480, 640, 3), 90, np.uint8)
    before = image.copy()
    tags, panels = drawn_areas(monkeypatch, image, faces)
    assert len(tags) > 3
    placed = [area for _, area in [*tags, *panels]]
    assert not [pair for pair in combinations(placed, 2) if overlap(*pair)]
    boxes = [(round(x), round(y), round(x + w), round(y + h)) for x, y, w, h in (each.box for each in faces)]
    for own, area in [*tags, *panels]:
        assert not any(overlap(area, box) for box in boxes if box != own)
    inside = np.zeros(image.shape[:2], bool)
    for left, top, right, bottom in [*placed, *((x0 - 3, y0 - 3, x1 + 4, y1 + 4) for x0, y0, x1, y1 in boxes)]:
        inside[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    np.testing.assert_array_equal(image[~inside], before[~inside])


def test_hundreds_of_faces_leave_the_tags_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    faces = [face((*rng.uniform(0, (1860, 1030)), 36, 44), labels=7, track=number) for number in range(500)]
    faces.append(face((-1e6, -1e6, 2e6, 1e6 + 30), track=500))  # a box far larger than the frame
    tags, panels = drawn_areas(monkeypatch, np.full((1080, 1920, 3), 90, np.uint8), faces)
    assert len(tags) > 100
    places = np.array([area for _, area in [*tags, *panels]])
    low, high = np.maximum(places[:, None, :2], places[None, :, :2]), np.minimum(places[:, None, 2:], places[None, :, 2:])
    assert ((low < high).all(axis=2).sum(axis=1) == 1).all()


@pytest.mark.parametrize("size", [(8, 6), (24, 18), (3840, 2160)])
@pytest.mark.parametrize("name", ["", "\u5165\u53e3 \U0001f6aa", "\u05db\u05e0\u05d9\u05e1\u05d4 \u200f1", "caf\xe9\t\n\0"])
def test_any_name_is_drawn_at_any_size(size: tuple[int, int], name: str) -> None:
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    shown = face((0.2 * size[0], 0.3 * size[1], 0.4 * size[0], 0.5 * size[1]))
    labels = {name or "a": 0.8, f"not {name}": 0.2}
    shown = replace(shown, expression=Expression(name or "a", labels, Scores(name or "a", labels)))
    draw_faces(image, replace(result(shown), camera=name))
    assert (image != 90).any()


def test_a_tag_is_shortened_where_there_is_no_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    row = [face((x, 0, 60, 480), track=x) for x in range(0, 640, 64)]
    tags, panels = drawn_areas(monkeypatch, np.zeros((480, 640, 3), np.uint8), row)
    assert len(tags) == len(row)
    assert panels == []
    [(_, alone)], _ = drawn_areas(monkeypatch, np.zeros((480, 640, 3), np.uint8), row[4:5])
    area = tags[4][1]
    assert area[2] - area[0] < 64 < alone[2] - alone[0]


def test_the_reason_of_uncertain_is_in_the_tag() -> None:
    base = face((200, 150, 100, 120))
    assert base.expression is not None
    unsure = replace(base.expression, smoothed=replace(base.expression.smoothed, label="uncertain"))
    images = set()
    for reason in get_args(UncertainReason):
        image = np.full((480, 640, 3), 90, np.uint8)
        draw_still(image, [replace(base, expression=replace(unsure, reason=reason))])
        images.add(image[:150].tobytes())
    assert len(images) == 5


def test_a_label_that_is_held_has_its_own_score_in_the_tag() -> None:
    base = face((200, 150, 100, 120))
    assert base.expression is not None
    held = replace(base.expression, smoothed=replace(base.expression.smoothed, label="class0"))
    assert draw._tag_texts(replace(base, expression=held))[0] == ("#1 class0 15%", "")


def test_landmarks_and_pose_are_drawn_only_where_asked() -> None:
    points = ((230, 190), (270, 190), (250, 215), (235, 240), (265, 240))
    shown = replace(face((200, 150, 100, 120), classified=False), landmarks=points, pose=Pose(60, 0, 0))

    def changed(*extras: DrawExtra) -> np.ndarray:
        plain, image = (np.full((480, 640, 3), 90, np.uint8) for _ in range(2))
        draw_still(plain, [shown])
        draw_still(image, [shown], extras)
        return (plain != image).any(axis=2)

    assert not changed().any()
    dots = changed("landmarks")
    assert all(dots[y, x] for x, y in points)
    assert dots.sum() < 5 * 100
    axes = changed("pose")
    assert axes[210, 250:280].all()  # it looks to the right
    assert axes[210:240, 250].all()
    assert (changed("landmarks", "pose") == (dots | axes)).all()


def test_a_mistyped_extra_is_refused() -> None:
    image, shown = np.full((480, 640, 3), 90, np.uint8), face((200, 150, 100, 120))
    extras: list[tuple[Any, str]] = [
        (["landmark"], "'landmark' to draw: did you mean 'landmarks'?"),
        ("poses", "'poses' to draw: did you mean 'pose'?"),
        (("pose", None), "None to draw: known are landmarks, pose, heads"),
    ]
    for given, said in extras:
        with pytest.raises(UsageError) as caught:
            draw_faces(image, result(shown), given)
        assert str(caught.value) == f"there is nothing called {said}"
    assert (image == 90).all()


@pytest.mark.parametrize("classified", [True, False])
@pytest.mark.parametrize(("top", "outside"), [(200, slice(0, 200)), (20, slice(140, 480))])
def test_heads_are_drawn_above_the_face_or_below_it(classified: bool, top: int, outside: slice) -> None:
    """Also of a model that reads no expression; never over the face where there is room beside it."""
    readings = {
        "age": HeadReading("values", {"years": 30.0}, {"years": 31.5}),
        "units": HeadReading("labels", {"AU1": 0.9, "AU2": 0.1}, {"AU1": 0.8, "AU2": 0.2}),
    }
    shown = replace(face((250, top, 100, 120), classified=classified), heads=readings, reason=None)
    images = {}
    for name, extras in (("plain", ()), ("heads", ("heads",))):
        images[name] = np.full((480, 640, 3), 90, np.uint8)
        draw_still(images[name], [shown], extras)  # type: ignore[arg-type]
    changed = (images["plain"] != images["heads"]).any(axis=2)
    assert changed[outside].any()
    assert not changed[top + 2 : top + 118, 252:348].any()
    none = np.full((480, 640, 3), 90, np.uint8)
    draw_still(none, [replace(shown, heads={})], ["heads"])
    assert (none == images["plain"]).all()
