"""Zones: regions of a camera's frame to watch or to ignore, and which of them a face is in.

A face is where the centre of its box is, moved onto the frame's border where the box reaches beyond. Points are fractions of
the frame's width and height, so that they mean the same in another size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal, TypeAlias

from ferengine.results import Box

Point: TypeAlias = tuple[float, float]
"""x and y as fractions of the frame's width and height, in [0, 1], from its upper left corner."""

ZoneKind: TypeAlias = Literal["watch", "ignore"]
Outside: TypeAlias = Literal["deliver", "ignore"]
"""What happens to faces that are in no watched zone, where there is one."""

MAX_ZONES = 32
"""Of one camera."""
MAX_POINTS = 64
"""Of one zone."""


@dataclass(frozen=True, slots=True)
class Region:
    """One zone: a polygon that ``check_polygon`` accepts.

    Attributes:
        name: What results call it.
        kind: Whether it is watched or ignored.
        points: Its corners.
    """

    name: str
    kind: ZoneKind
    points: tuple[Point, ...]

    def contains(self, x: float, y: float) -> bool:
        """Whether a point is inside or on the border: the even-odd rule."""
        inside = False
        for (ax, ay), (bx, by) in _edges(self.points):
            turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
            if turn == 0 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
                return True
            if (ay > y) != (by > y) and (turn > 0) == (by > ay):
                inside = not inside
        return inside


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of one camera.

    Attributes:
        version: Counts the changes, so that results are read with the zones that they were made with.
        regions: At most ``MAX_ZONES``.
        outside: What happens to faces in no watched zone, where there is one.
    """

    version: int = 0
    regions: tuple[Region, ...] = ()
    outside: Outside = "deliver"

    def place(self, box: Box, width: int, height: int) -> int | None:
        """Which zones a face is in.

        Args:
            box: x, y, w, h in pixels.
            width, height: Of the frame, in pixels.

        Returns:
            A bit for each watched region that it is in, by its place in ``regions``; ``None`` where the face is to be ignored.
        """
        x, y, w, h = box
        at = min(max((x + w / 2) / width, 0.0), 1.0), min(max((y + h / 2) / height, 0.0), 1.0)
        mask, watches = 0, False
        for bit, region in enumerate(self.regions):
            if region.kind == "watch":
                watches = True
                mask |= region.contains(*at) << bit
            elif region.contains(*at):
                return None
        return None if watches and not mask and self.outside == "ignore" else mask

    def names(self, mask: int) -> tuple[str, ...]:
        """The names of the regions whose bits are set."""
        return tuple(region.name for bit, region in enumerate(self.regions) if mask >> bit & 1)


NO_ZONES = Zones()


def check_polygon(points: Sequence[Point]) -> None:
    """Refuse what is no simple polygon within the frame.

    Args:
        points: Its corners in order; the last is joined with the first.

    Raises:
        ValueError: There are fewer than 3 or more than ``MAX_POINTS`` points, one is not finite or outside [0, 1], or edges
            cross or touch each other; the message names the points, counted from 1.
    """
    if not 3 <= len(points) <= MAX_POINTS:
        raise ValueError(f"a zone has 3 to {MAX_POINTS} points, not {len(points)}")
    for number, (x, y) in enumerate(points, 1):
        if not (math.isfinite(x) and math.isfinite(y) and 0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"point {number}: give fractions of the frame's width and height, 0 to 1, not {x:g}, {y:g}")
    count = len(points)
    edges = _edges(points)
    for number, (start, end) in enumerate(edges, 1):
        if start == end:
            raise ValueError(f"points {number} and {number % count + 1} are the same")
    for first, second in combinations(range(count), 2):
        if second == first + 1 or (first == 0 and second == count - 1):
            before, after = (first, second) if second == first + 1 else (second, first)
            touch = _folds_back(edges[before][0], edges[before][1], edges[after][1])
        else:
            touch = _meet(*edges[first], *edges[second])
        if touch:
            raise ValueError(f"the lines from points {first + 1} and {second + 1} cross or touch: a zone must not cross itself")


def _edges(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(pairwise([*points, points[0]]))


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive, negative or 0: on which side of the line from ``a`` to ``b`` the point ``c`` is."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _folds_back(a: Point, b: Point, c: Point) -> bool:
    """Whether the way from ``b`` to ``c`` lies on the way from ``a`` to ``b``."""
    return _turn(a, b, c) == 0 and (a[0] - b[0]) * (c[0] - b[0]) + (a[1] - b[1]) * (c[1] - b[1]) > 0


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two edges without a common corner have a point in common."""
    sides = [_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)]
    if (sides[0] > 0) != (sides[1] > 0) and (sides[2] > 0) != (sides[3] > 0) and all(sides):
        return True
    return any(
        side == 0 and min(p[0], q[0]) <= r[0] <= max(p[0], q[0]) and min(p[1], q[1]) <= r[1] <= max(p[1], q[1])
        for side, (p, q, r) in zip(sides, ((a, b, c), (a, b, d), (c, d, a), (c, d, b)), strict=True)
    )
