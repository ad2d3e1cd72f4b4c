"""Where a face is among zones, against OpenCV; and which polygons are refused."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ferengine import UsageError, Zone
from ferengine.sources import SourceSpec
from ferengine.vision import cv2
from ferengine.zones import MAX_POINTS, MAX_ZONES, Point, Region, Zones, check_polygon

GRID = 16
"""Coordinates are multiples of 1/16: exact in every precision, and often on a border."""
points = st.tuples(st.integers(0, GRID), st.integers(0, GRID)).map(lambda at: (at[0] / GRID, at[1] / GRID))
LEFT = Region("left", "watch", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TOP = Region("top", "watch", ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
CORNER = Region("corner", "ignore", ((0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, 0.25)))


def is_simple(polygon: list[Point]) -> bool:
    try:
        check_polygon(polygon)
    except ValueError:
        return False
    return True


@given(st.lists(points, min_size=3, max_size=7, unique=True), points)
def test_inside_is_what_opencv_says(polygon: list[Point], at: Point) -> None:
    assume(is_simple(polygon))
    expected = cv2.pointPolygonTest(np.array(polygon, np.float32) * GRID, (at[0] * GRID, at[1] * GRID), False) >= 0
    for turned in (polygon, polygon[::-1], polygon[2:] + polygon[:2]):
        assert Region("a", "watch", tuple(turned)).contains(*at) == expected


@given(st.lists(points, min_size=3, max_size=6))
def test_polygons_that_cross_themselves_are_refused(polygon: list[Point]) -> None:
    """The edges of a simple polygon have only their common corners in common, here in exact arithmetic."""
    corners = [(round(x * GRID), round(y * GRID)) for x, y in polygon]
    count = len(corners)
    edges = [(corners[n], corners[(n + 1) % count]) for n in range(count)]
    simple = len(set(corners)) == count
    for first, second in combinations(range(count), 2):
        shared = corners[second] if second == first + 1 else corners[0] if (first, second) == (0, count - 1) else None
        simple = simple and set(common_points(*edges[first], *edges[second])) <= {shared}
    assert is_simple(polygon) == simple


def common_points(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    """What two segments have in common: the point where they meet, or ends where they lie on one line."""
    (rx, ry), (sx, sy), (wx, wy) = [(q[0] - p[0], q[1] - p[1]) for p, q in ((a, b), (c, d), (a, c))]
    if across := rx * sy - ry * sx:
        t, u = Fraction(wx * sy - wy * sx, across), Fraction(wx * ry - wy * rx, across)
        return [(a[0] + t * rx, a[1] + t * ry)] if 0 <= t <= 1 and 0 <= u <= 1 else []
    if wx * ry - wy * rx:
        return []
    ends = ((p, a, b) for p in (c, d)), ((p, c, d) for p in (a, b))
    return [p for p, q, r in chain(*ends) if all(min(q[axis], r[axis]) <= p[axis] <= max(q[axis], r[axis]) for axis in (0, 1))]


@pytest.mark.parametrize(
    ("box", "mask"),
    [
        ((10, 60, 20, 20), 0b01),  # centre 20, 70 of 100x100
        ((60, 10, 20, 20), 0b10),
        ((20, 20, 20, 20), 0b11),
        ((70, 70, 20, 20), 0),
        ((5, 5, 20, 20), None),  # ignored, though it is watched as well
        ((-60, 60, 20, 20), 0b01),  # beyond the border
        ((40, 90, 20, 60), 0b01),  # on the border of the zone, below that of the frame
    ],
)
def test_place_is_where_the_centre_is(box: Any, mask: int | None) -> None:
    zones = Zones(1, (LEFT, TOP, CORNER))
    assert zones.place(box, 100, 100) == mask
    assert zones.place(tuple(3 * value for value in box), 300, 300) == mask
    if mask:
        assert zones.names(mask) == tuple(name for bit, name in enumerate(("left", "top")) if mask >> bit & 1)


def test_outside_of_what_is_watched() -> None:
    box = (70.0, 70.0, 20.0, 20.0)
    assert Zones(1, (LEFT, CORNER), "ignore").place(box, 100, 100) is None
    assert Zones(1, (CORNER,), "ignore").place(box, 100, 100) == 0  # nothing is watched


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([(0, 0), (1, 1)], "3 to 64 points, not 2"),
        ([(n / 100, n % 2) for n in range(MAX_POINTS + 1)], "3 to 64 points, not 65"),
        ([(0, 0), (1.5, 0), (1, 1)], "point 2: give fractions"),
        ([(0, 0), (float("nan"), 0), (1, 1)], "point 2: give fractions"),
        ([(0, 0), (0, 0), (1, 1)], "points 1 and 2 are the same"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], "must not cross itself"),
        ([(0, 0), (0.5, 0.5), (1, 1)], "cross or touch"),
    ],
)
def test_polygons_that_are_refused(polygon: list[Point], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_polygon(polygon)


SQUARE = [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        ([{"name": "a", "points": SQUARE}, {"name": "a", "points": SQUARE}], "zones: two zones are called 'a'"),
        ([{"name": "a;b", "points": SQUARE}], r"zones.0.name: the name of a zone has no semicolons"),
        ([{"name": "a", "points": SQUARE, "kind": "mask"}], r"zones.0.kind: input should be 'watch' or 'ignore'"),
        ([{"name": "a", "points": [[0, 0], [1, 1], [1, 0], [0, 1]]}], r"zones.0.points: the lines from points 1 and 3"),
        ([{"name": str(n), "points": SQUARE} for n in range(MAX_ZONES + 1)], "at most 32 items"),
    ],
)
def test_zones_that_are_refused(zones: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SourceSpec("demo", "stroll", "demo", zones=zones)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "name: field required; points: field required"),
        ({"name": "a", "point": SQUARE}, "points: field required; there is no point: did you mean 'points'?"),
        ({"name": 7, "points": SQUARE}, "name: input should be a valid string, not 7"),
        ({"name": "", "points": SQUARE}, "name: string should have at least 1 character, not ''"),
        ({"name": "a", "points": None}, "points: input should be a valid tuple, not None"),
        ({"name": "a", "points": []}, "points: tuple should have at least 3 items after validation, not 0"),
        ({"name": "a", "points": [(0, 0), (1, 0), (1, "x")]},
         "points.2.1: input should be a valid number, unable to parse string as a number, not 'x'"),
        ({"name": "a", "points": [(0, 0), (1, 0), (1, float("nan"))]}, "points: point 3: give fractions"),
        ({"name": "a", "points": SQUARE, "kind": True}, "kind: input should be 'watch' or 'ignore', not True"),
    ],
)  # fmt: skip
def test_a_zone_says_in_one_line_what_is_wrong_with_it(given: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Zone(**given)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    if given:
        with pytest.raises(UsageError) as nested:
            SourceSpec("demo", "stroll", "demo", zones=[given])
        assert "zones.0." in str(nested.value)  # the same, and where it stands


def test_a_point_that_is_wrong_is_named_alone() -> None:
    given: dict[str, Any] = {"name": "a", "points": ((0, 0), ("x", 0), (0.3, 0.4))}
    with pytest.raises(UsageError) as caught:
        Zone(**given)
    assert str(caught.value) == "points.1.0: input should be a valid number, unable to parse string as a number, not 'x'"
    with pytest.raises(UsageError) as caught:
        Zone(name="a", points=((0, 0), (1, 0)))
    assert str(caught.value) == "points: tuple should have at least 3 items after validation, not 2"


def test_the_fields_of_a_subclass_of_a_zone_are_named() -> None:
    class Coloured(Zone):
        colour: int = 3

    given: dict[str, Any] = {"name": "a", "points": SQUARE, "colur": 4}
    with pytest.raises(UsageError, match="there is no colur: did you mean 'colour'"):
        Coloured(**given)


def test_no_field_of_a_zone_is_called_self() -> None:
    given: dict[str, Any] = {"name": "a", "points": SQUARE, "self": 4}
    with pytest.raises(UsageError, match="there is no self: known are name, kind, points"):
        Zone(**given)


def test_zones_travel_with_their_source() -> None:
    zone = Zone(name="door", points=SQUARE)
    spec = SourceSpec("demo", "stroll", "demo", zones=[zone], outside_zones="ignore")
    assert SourceSpec.from_dict(spec.to_dict()) == spec
    assert spec.replace(name="other").zones == (zone,)
    assert spec.compiled_zones(7) == Zones(7, (Region("door", "watch", ((0, 0), (1, 0), (1, 1))),), "ignore")
