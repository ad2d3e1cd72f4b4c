"""Where tags and panels go: beside their face, and never over another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Rectangle: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

_SQUARE = 64
"""Pixels."""


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles have a pixel in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def moved_inside(rectangle: Rectangle, width: int, height: int) -> Rectangle:
    """The rectangle moved into a frame of ``width`` x ``height``, and cut if it is larger than that."""
    across, down = rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]
    left = max(0, min(rectangle[0], width - across))
    top = max(0, min(rectangle[1], height - down))
    return left, top, min(width, left + across), min(height, top + down)


class Taken:
    """The parts of a frame that are covered, each by a face or by what belongs to it. They are sorted into squares, so that it
    costs little to find out whether a place is free where there are hundreds."""

    def __init__(self) -> None:
        self._squares: defaultdict[tuple[int, int], list[tuple[Rectangle, int | None]]] = defaultdict(list)

    def add(self, rectangle: Rectangle, face: int | None = None) -> None:
        """Cover a part of the frame.

        Args:
            rectangle: The part.
            face: The number of the face that lies there, if it does not cover what belongs to it itself.
        """
        for square in _squares(rectangle):
            self._squares[square].append((rectangle, face))

    def first_free(self, candidates: Iterable[Rectangle], face: int) -> Rectangle | None:
        """The first place that overlaps nothing but the face itself, or None."""
        return next((place for place in candidates if self._is_free(place, face)), None)

    def _is_free(self, place: Rectangle, face: int) -> bool:
        for square in _squares(place):
            for other, owner in self._squares.get(square, ()):
                if owner != face and overlap(place, other):
                    return False
        return True


def _squares(rectangle: Rectangle) -> Iterator[tuple[int, int]]:
    left, top, right, bottom = rectangle
    for row in range(top // _SQUARE, -(-bottom // _SQUARE)):
        for column in range(left // _SQUARE, -(-right // _SQUARE)):
            yield row, column


def tag_places(box: Rectangle, width: int, height: int, gap: int, frame: tuple[int, int]) -> list[Rectangle]:
    """Where a tag of ``width`` x ``height`` may go, the best first: above its box, below it, inside its top.

    Those above and below are moved along the box's side to stay in the ``frame`` (width and height); where that has no room for
    one of them, it is left out.
    """
    left, top, right, bottom = box
    above, below = top - gap - height, bottom + gap
    places = []
    for y in (above, below):
        if 0 <= y <= frame[1] - height:
            places += [moved_inside((x, y, x + width, y + height), *frame) for x in (left - gap, right + gap - width)]
    inside = moved_inside((left - gap, top, left - gap + width, top + height), *frame)
    return [*places, inside]


def panel_places(box: Rectangle, tag: Rectangle, width: int, height: int, gap: int, frame: tuple[int, int]) -> list[Rectangle]:
    """Where a panel of ``width`` x ``height`` may go, the best first: beside its face, beside its tag, below or above both,
    over its border."""
    xs = [box[2] + gap, box[0] - gap - width, tag[2] + gap, tag[0] - gap - width]
    above, below = min(box[1], tag[1]) - gap - height, max(box[3], tag[3]) + gap
    places = [(x, box[1]) for x in xs if 0 <= x <= frame[0] - width]
    places += [(box[0], y) for y in (below, above) if 0 <= y <= frame[1] - height]
    places += [(x, y) for y in (box[1], tag[3]) for x in xs[:2]]
    return [moved_inside((x, y, x + width, y + height), *frame) for x, y in places]


def line_places(box: Rectangle, tag: Rectangle, width: int, height: int, gap: int, frame: tuple[int, int]) -> list[Rectangle]:
    """Where lines of text about a face may go, the best first: above its tag, below it, over its lower part."""
    left, above, below = box[0] - gap, min(box[1], tag[1]) - gap - height, max(box[3], tag[3]) + gap
    places = [(left, y) for y in (above, below) if 0 <= y <= frame[1] - height] + [(left, box[3] - height)]
    return [moved_inside((x, y, x + width, y + height), *frame) for x, y in places]
