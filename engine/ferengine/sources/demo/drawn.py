"""The faces of the demo where its portraits are not installed: drawn, with expressions that change and heads that turn.

They fill the boxes of the portraits that they stand for, and their eyes, nose and mouth lie about where those of the
portraits do. A drawing is a pure function of who it is and of the time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import fields

from ferengine.pip_hint import install_extra
from ferengine.sources.demo.drawing import BELOW, Drawing, Mien, Person
from ferengine.sources.demo.portraits import PORTRAITS, CutOut, Portrait, Sprite, is_installed

PEOPLE = (
    Person((168, 196, 236), (38, 58, 92), (104, 98, 186), (120, 96, 60), (128, 82, 44), 1.25),
    Person((128, 160, 206), (30, 30, 34), (92, 92, 160), (38, 52, 84), (70, 96, 62), 0.12),
    Person((74, 104, 152), (22, 22, 26), (70, 66, 124), (26, 34, 52), (60, 60, 150), 0.7),
    Person((178, 204, 240), (78, 138, 196), (110, 108, 190), (142, 120, 84), (120, 116, 110), 0.16),
)
REST = Mien(smile=0.1, brows=-0.1, lids=-0.3)
MIENS = (
    REST,
    Mien(smile=1.0, gape=0.55, brows=0.12, lids=-0.25),
    REST,
    Mien(gape=1.0, brows=1.0, lids=0.7, round=0.55, smile=-0.1),
    REST,
    Mien(smile=-1.0, gape=0.5, frown=2.2, brows=-1.0, lids=0.3),
)
"""What each person shows, one after the other, and again. The default model reads neutral, happy, surprise and angry."""

_SECONDS = 2.4
"""How long each is shown, the change to the next included."""
_AHEAD = 2.4
"""How many of them each person is ahead of the one before."""
_CHANGE = 0.5
"""Seconds that a change takes."""
_TURN_SECONDS = 7.3
_TURN = math.radians(20)
"""The largest turn of a head to the side, and how long one there and back takes."""
_MAX_HEIGHT = 220
"""Of a drawn face, pixels; larger ones are enlarged."""

_DRAWINGS = 12.5
"""A second of media time: faces move at the rate of the frames, and change at this one."""


log = logging.getLogger(__name__)


def make_faces(looks: Sequence[tuple[Portrait, int, float, float]], *, drawn: bool) -> list[Callable[[float], CutOut]]:
    """What the faces of a scene look like, each as a function of the time in seconds.

    They are the portraits where all of these are installed, else drawn ones.

    Args:
        looks: Of each face: its portrait, the number of the person that is drawn instead, the maximum height that it is shown
            at in pixels, and how far below the chin it has faded out, in face heights.
        drawn: Draw them anyway.
    """
    if not drawn and all(is_installed(portrait) for portrait in PORTRAITS):
        return [_still(Sprite(portrait, height, bust)) for portrait, _, height, bust in looks]
    if not drawn:
        log.info("the demo shows drawn faces: %s for its portraits", install_extra("demo"))
    return [DrawnFace(person, height, bust) for _, person, height, bust in looks]


def _still(sprite: Sprite) -> Callable[[float], CutOut]:
    return lambda _seconds: sprite


def mien_at(person: int, seconds: float) -> Mien:
    """What a person shows at a time: each of ``MIENS`` in turn, with smooth changes."""
    step, part = divmod(seconds / _SECONDS + _AHEAD * person, 1.0)
    now, then = MIENS[int(step) % len(MIENS)], MIENS[(int(step) + 1) % len(MIENS)]
    t = min(max((part - 1) * _SECONDS / _CHANGE + 1, 0.0), 1.0)
    blend = t * t * (3 - 2 * t)
    values = {each.name: (1 - blend) * getattr(now, each.name) + blend * getattr(then, each.name) for each in fields(Mien)}
    return Mien(**values)


def turn_at(person: int, seconds: float) -> float:
    """How far a person's head is turned to the side at a time, radians; positive to the viewer's right."""
    return _TURN * math.sin(2 * math.pi * (seconds / _TURN_SECONDS + 0.37 * person))


class DrawnFace:
    """A drawn person over time; a call with a time in seconds returns the sprite to paint.

    Args:
        person: Index into ``PEOPLE``, taken modulo their number.
        face_height: The maximum height that the face is shown at, pixels.
        bust: How far below the chin the drawing has faded out, in face heights.
    """

    def __init__(self, person: int, face_height: float, bust: float) -> None:
        self._person = person
        self._height = max(8, min(_MAX_HEIGHT, math.ceil(face_height)))
        self._below = min(bust, BELOW)
        self._number = -1
        self._last: CutOut | None = None

    def __call__(self, seconds: float) -> CutOut:
        """What the person looks like ``seconds`` after the start."""
        number = math.floor(seconds * _DRAWINGS + 1e-6)
        if self._last is None or number != self._number:
            self._number, self._last = number, self._draw(number / _DRAWINGS)
        return self._last

    def _draw(self, seconds: float) -> CutOut:
        person = self._person
        drawing = Drawing(PEOPLE[person % len(PEOPLE)], self._height, turn_at(person, seconds), self._below)
        return CutOut(drawing.draw(mien_at(person, seconds)), drawing.middle, self._height)
