"""The kinds of made scenes in which another person comes where one was, and a few in which none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType

from ferengine_tools.tracking.actors import Actor, Image
from ferengine_tools.tracking.staging import SIZE, Bar, Layer, Look, Pose, Scene

_WIDTH, _HEIGHT = SIZE
_CHANGE = 2.0
"""When the other person comes, seconds."""

_FACE = 84.0
"""Height of the box of a face that has the frame for itself, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """Who and what a scene is made of; no person of ``photos`` is twice in it.

    Attributes:
        people: From clips, two or three.
        photos: At least 12.
        background: BGR, of ``SIZE``.
        random: For places and times.
    """

    people: Sequence[Actor]
    photos: Sequence[Actor]
    background: Image
    random: Random


Script = Callable[[Cast, str], Scene]


def _ramp(start: float, seconds: float) -> Callable[[float], float]:
    """From 0 to 1 in some seconds from a time on; without seconds, at once."""
    return lambda time: float(time >= start) if not seconds else min(1.0, max(0.0, (time - start) / seconds))


def _place(cast: Cast) -> tuple[float, float, float]:
    """About the middle, and about the usual height."""
    vary = cast.random.uniform
    return _WIDTH / 2 + vary(-8, 8), 0.46 * _HEIGHT + vary(-6, 6), _FACE * vary(0.92, 1.08)


def _still(cast: Cast, kind: str, *, shake: float = 0.0, jump: bool = False) -> Scene:
    """One person alone; ``jump`` cuts to another time of the same clip."""
    person, place = cast.people[0], _place(cast)
    offset = cast.random.uniform(0, 1)
    first = Layer(person, "full", lambda time: Pose(*place) if not jump or time < _CHANGE else None, offset)
    rest = Layer(person, "full", lambda time: Pose(*place) if jump and time >= _CHANGE else None, offset + 1.7)
    return Scene(kind, 4.0, (first, rest), cast.background, shake=shake)


def _change(
    cast: Cast,
    kind: str,
    *,
    look: Look = "full",
    seconds: float = 0.0,
    photos: bool = False,
    wipe: bool = False,
    shake: float = 0.0,
) -> Scene:
    """One person, and another one in the same place from ``_CHANGE`` on, after a dissolve or a wipe of some seconds."""
    first, second = (cast.photos if photos else cast.people)[:2]
    before, after = _place(cast), _place(cast)
    part = _ramp(_CHANGE, seconds)

    def leave(time: float) -> Pose | None:
        if part(time) >= 1:
            return None
        return Pose(*before, opacity=1 - part(time) if look == "head" and seconds else 1.0)

    def come(time: float) -> Pose | None:
        if part(time) <= 0:
            return None
        return Pose(*after, wipe=part(time)) if wipe else Pose(*after, opacity=part(time))

    layers = (
        Layer(first, look, leave, cast.random.uniform(0, 1), _CHANGE),
        Layer(second, look, come, cast.random.uniform(0, 1), _CHANGE),
    )
    return Scene(kind, _CHANGE + seconds + 1.5, layers, cast.background, shake=shake)


def _fade(cast: Cast, kind: str) -> Scene:
    """One person fades to black in 0.4 s, and another comes out of it."""
    first, second = cast.people[:2]
    before, after = _place(cast), _place(cast)
    out, into = _ramp(_CHANGE - 0.4, 0.4), _ramp(_CHANGE + 0.1, 0.4)
    layers = (
        Layer(first, "full", lambda time: Pose(*before, opacity=1 - out(time)), anchor=_CHANGE),
        Layer(second, "full", lambda time: Pose(*after, opacity=into(time)), anchor=_CHANGE),
    )
    return Scene(kind, _CHANGE + 2, layers, cast.background * 0)


def _slides(
    cast: Cast, kind: str, *, tile: bool, seconds: float = 0.0, rows: int = 1, columns: int = 1, pages: int = 4
) -> Scene:
    """Photographs, each for 1.2 s in place of another: one that fills the frame, or one or more on a page that stays."""
    layers = []
    height = _FACE if rows == 1 else _FACE * 0.7
    for index, photo in enumerate(cast.photos[: rows * columns * pages]):
        page, place = divmod(index, rows * columns)
        row, column = divmod(place, columns)
        shown, gone = _ramp(1.2 * page - (seconds if page else 9), seconds), _ramp(1.2 * (page + 1), 0.0)
        x, y = (column + 0.5) / columns * _WIDTH, (row + 0.5) / rows * _HEIGHT
        layers.append(Layer(photo, "tile" if tile else "full", partial(_slide, x, y, height, shown, gone)))
    return Scene(kind, 1.2 * pages, layers, cast.background)


def _slide(
    x: float, y: float, height: float, shown: Callable[[float], float], gone: Callable[[float], float], time: float
) -> Pose | None:
    return None if gone(time) else Pose(x, y, height, shown(time))


def _inset(cast: Cast, kind: str, *, seconds: float = 0.0) -> Scene:
    """One person, and beside them a small image in which another gives way to a third."""
    host, guests = cast.people[0], cast.photos[:2]
    place = (0.3 * _WIDTH, 0.5 * _HEIGHT)
    small = (0.82 * _WIDTH, 0.3 * _HEIGHT)
    part = _ramp(_CHANGE, seconds)
    layers = (
        Layer(host, "full", lambda time: Pose(*place, _FACE)),
        Layer(guests[0], "tile", lambda time: Pose(*small, 0.6 * _FACE) if part(time) < 1 else None),
        Layer(guests[1], "tile", lambda time: Pose(*small, 0.6 * _FACE, part(time))),
    )
    return Scene(kind, _CHANGE + seconds + 1.5, layers, cast.background)


def _border(cast: Cast, kind: str, *, pause: float) -> Scene:
    """One person leaves at the left, and another comes in there after a pause."""
    speed, middle = 140.0, 0.45 * _WIDTH
    first, second = cast.people[:2]
    y = 0.5 * _HEIGHT
    leaves = (middle + 0.6 * _FACE) / speed  # seconds from the middle to out of sight

    def leave(time: float) -> Pose:
        return Pose(middle - speed * max(0.0, time - 1), y, _FACE)

    def come(time: float) -> Pose:
        return Pose(min(middle, -0.6 * _FACE + speed * (time - 1 - leaves - pause)), y, _FACE)

    layers = (Layer(first, "head", leave), Layer(second, "head", come))
    return Scene(kind, 2 * leaves + pause + 2, layers, cast.background)


def _crossing(cast: Cast, kind: str, *, people: int) -> Scene:
    """Two or three people pass each other, the later ones in front."""
    vary = cast.random.uniform
    layers = []
    for index, person in enumerate([*cast.people, *cast.photos][:people]):
        side = -1 if index % 2 else 1
        y, height, speed = 0.5 * _HEIGHT + vary(-12, 12), _FACE * vary(0.85, 1.1), side * vary(80, 110)
        start = _WIDTH / 2 - 2 * speed + (0 if index < 2 else 40)

        def pose(time: float, start: float = start, speed: float = speed, y: float = y, height: float = height) -> Pose:
            return Pose(start + speed * time, y, height)

        layers.append(Layer(person, "head", pose))
    return Scene(kind, 4.0, layers, cast.background)


def _bar(cast: Cast, kind: str, *, hidden: float, swap: bool) -> Scene:
    """One person goes behind a bar, and after some seconds the same or another one comes out at the other side."""
    first, second = cast.people[:2]
    speed, y, left, width = 120.0, 0.5 * _HEIGHT, 190, 100
    middle = left + width / 2
    enters = 1.5

    def go(time: float) -> Pose | None:
        x = middle + speed * (min(time, enters) - enters) + speed * max(0.0, time - enters - hidden)
        return Pose(x, y, _FACE) if time < enters + hidden / 2 or not swap else None

    def come(time: float) -> Pose | None:
        x = middle + speed * max(0.0, time - enters - hidden)
        return Pose(x, y, _FACE) if swap and time >= enters + hidden / 2 else None

    layers = (Layer(first, "head", go), Layer(second, "head", come))
    return Scene(kind, 2 * enters + hidden, layers, cast.background, Bar((left, width)))


CONTROLS = ("still", "shaking", "jump of one person", "out from a bar again")
"""Scenes in which no one takes the place of another: a second id of a person is one too many."""

SCRIPTS: Mapping[str, Script] = MappingProxyType({
    "still": _still,
    "shaking": partial(_still, shake=5.0),
    "jump of one person": partial(_still, jump=True),
    "out from a bar again": partial(_bar, hidden=0.7, swap=False),
    "cut": _change,
    "cut, shaking": partial(_change, shake=5.0),
    "cut before one background": partial(_change, look="head"),
    "dissolve 0.2 s": partial(_change, seconds=0.2),
    "dissolve 0.5 s": partial(_change, seconds=0.5),
    "dissolve 1.0 s": partial(_change, seconds=1.0),
    "dissolve 1.5 s": partial(_change, seconds=1.5),
    "dissolve of photographs 0.5 s": partial(_change, seconds=0.5, photos=True),
    "dissolve of photographs 1.5 s": partial(_change, seconds=1.5, photos=True),
    "dissolve before one background 0.5 s": partial(_change, look="head", seconds=0.5),
    "dissolve before one background 1.5 s": partial(_change, look="head", seconds=1.5),
    "through black": _fade,
    "wipe 0.6 s": partial(_change, seconds=0.6, wipe=True),
    "slideshow": partial(_slides, tile=False),
    "slideshow, dissolves 0.4 s": partial(_slides, tile=False, seconds=0.4),
    "photographs on a page": partial(_slides, tile=True),
    "photographs on a page, dissolves 0.4 s": partial(_slides, tile=True, seconds=0.4),
    "gallery": partial(_slides, tile=True, rows=2, columns=3, pages=3),
    "gallery, dissolves 0.4 s": partial(_slides, tile=True, rows=2, columns=3, pages=3, seconds=0.4),
    "inset": _inset,
    "inset, dissolve 0.5 s": partial(_inset, seconds=0.5),
    "one out, another in at the border": partial(_border, pause=0.3),
    "two cross": partial(_crossing, people=2),
    "three cross": partial(_crossing, people=3),
    "another out from a bar": partial(_bar, hidden=0.7, swap=True),
})  # fmt: skip
"""By what they show."""
