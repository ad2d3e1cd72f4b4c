"""How the faces of the demo move: every pose is a pure function of the seed and the time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ferengine.results import Box
from ferengine.sources.demo.portraits import PORTRAITS, Portrait
from ferengine.sources.spec import Scenario


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face is.

    Attributes:
        x: Of its centre, pixels.
        y: Of its centre, pixels.
        height: Its height in pixels.
        angle: Degrees clockwise.
    """

    x: float
    y: float
    height: float
    angle: float


@dataclass(frozen=True, slots=True)
class Actor:
    """One face of a scenario.

    Attributes:
        portrait: Whose face it is.
        pose: Gives its pose at a time in media seconds.
        largest: The maximum height that it takes, pixels.
        bust: How far below the chin it fades out; see ``Sprite``.
        person: Who it is, a number from 0.
        during: From when to when it is in the scene, seconds; None if always.
    """

    portrait: Portrait
    pose: Callable[[float], Pose]
    largest: float
    bust: float
    person: int = 0
    during: tuple[float, float] | None = None

    def is_there(self, seconds: float) -> bool:
        """Whether it is in the scene."""
        return self.during is None or self.during[0] <= seconds < self.during[1]

    def box(self, pose: Pose) -> Box:
        """The axis-aligned face box at ``pose``; rotation moves neither its centre nor its size."""
        width = pose.height * self.portrait.box[2] / self.portrait.box[3]
        return pose.x - width / 2, pose.y - pose.height / 2, width, pose.height


Wave: TypeAlias = Callable[[float], float]
"""A smooth function of seconds with values in [-1, 1]."""

MAX_FACES = 4
TURN_SECONDS = 4.0
TURN_DEGREES = 30.0
_CROSSING_SECONDS = 8.0
_BUST = 2.0


def cast(scenario: Scenario, width: int, height: int, faces: int, seed: int) -> list[Actor]:
    """Return the actors of a scenario in a frame of ``width`` x ``height`` pixels, back to front."""
    if scenario is Scenario.EMPTY:
        return []
    rng = np.random.default_rng(seed)
    if scenario is Scenario.STROLL:
        drift = _wave(rng, 9.0, 14.0)
        return [_stroller(person, faces, width, height, rng, drift) for person in range(faces)]
    if scenario is Scenario.CROSSING:
        return _crossing(width, height)
    size = min(0.3 * height, 0.3 * width)
    wander = _wave(rng, 6.0, 10.0)

    def pose(seconds: float) -> Pose:
        turn = TURN_DEGREES * (1 - math.cos(2 * math.pi * seconds / TURN_SECONDS)) / 2
        return Pose(
            width * (0.5 + 0.03 * wander(seconds)),
            0.45 * height,
            size,
            turn if scenario is Scenario.TURN else 0.0,
        )

    return [Actor(PORTRAITS[0], pose, size, _BUST)]


def _stroller(person: int, faces: int, width: int, height: int, rng: np.random.Generator, drift: Wave) -> Actor:
    """One face that stays in its own column; all columns drift together, which leaves the gaps between them."""
    column = width / faces
    size = min(0.24 * height, 0.4 * column)
    sideways, upright = _wave(rng, 5.0, 8.0), _wave(rng, 4.5, 7.0)
    nearer, tilt = _wave(rng, 6.0, 11.0), _wave(rng, 3.5, 6.0)

    def pose(seconds: float) -> Pose:
        return Pose(
            x=column * (person + 0.5 + 0.14 * sideways(seconds) + 0.14 * drift(seconds)),
            y=height * (0.42 + 0.09 * upright(seconds)),
            height=size * (1 + 0.16 * nearer(seconds)),
            angle=10 * tilt(seconds),
        )

    return Actor(PORTRAITS[person % len(PORTRAITS)], pose, 1.16 * size, _BUST, person)


def _crossing(width: int, height: int) -> list[Actor]:
    """Two faces that swing across the frame in opposite directions; the lower one's box starts where the upper one's ends.

    The upper one is in front and fades early, so that neither covers the other's face.
    """
    size = min(0.26 * height, 0.26 * width)

    def swing(side: int) -> Callable[[float], Pose]:
        def pose(seconds: float) -> Pose:
            across = 0.3 * math.cos(2 * math.pi * seconds / _CROSSING_SECONDS)
            return Pose(width * (0.5 + side * across), 0.47 * height + side * size / 2, size, 0.0)

        return pose

    return [Actor(PORTRAITS[0], swing(1), size, _BUST), Actor(PORTRAITS[1], swing(-1), size, 0.3, 1)]


def _wave(rng: np.random.Generator, shortest: float, longest: float) -> Wave:
    """Two sines of random phase with periods between ``shortest`` and ``longest`` seconds."""
    periods = rng.uniform(shortest, longest, 2)
    phases = rng.uniform(0, 2 * math.pi, 2)

    def wave(seconds: float) -> float:
        first, second = np.sin(2 * math.pi * seconds / periods + phases)
        return float(0.65 * first + 0.35 * second)

    return wave
