"""The scenes that put identities to the test: cuts, entries, one face behind another, and one behind a bar for seconds.

Each repeats after a while, so that a demo may be endless.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ferengine.sources.demo.motion import Actor, Pose, cast
from ferengine.sources.demo.portraits import ASTRONAUT, HOPPER, Portrait
from ferengine.sources.spec import Scenario

OCCLUDED = range(60, 65)
"""The frames in which the occluder completely hides the first face, unless others are given."""

HIDDEN_SECONDS = 1.5, 3.5
"""When the face of the scenario "hiding" is hidden completely."""

_BUST = 2.0
_FRONT_BUST = 0.3
"""Of a face in front of another: it fades early, so that it covers no more than it must."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scenario shows.

    Attributes:
        actors: Back to front.
        occluded: The frames in which a bar completely hides the first of them.
        cycle: Seconds after which everything repeats; None if it does not.
        renews: Whether the people of the next cycle are others.
        shots: When each shot begins, seconds of the cycle, and which background it has.
    """

    actors: list[Actor]
    occluded: range = range(0)
    cycle: float | None = None
    renews: bool = False
    shots: tuple[tuple[float, int], ...] = ((0.0, 0),)

    def within(self, seconds: float) -> float:
        """The time within the cycle."""
        return seconds if self.cycle is None else seconds % self.cycle

    def background(self, seconds: float) -> int:
        """The number of the background at a time of the demo."""
        at = self.within(seconds)
        return next(number for start, number in reversed(self.shots) if start <= at)

    def person(self, actor: Actor, seconds: float) -> int:
        """The number of the person that an actor is at a time of the demo."""
        if self.cycle is None or not self.renews:
            return actor.person
        return actor.person + len(self.actors) * math.floor(seconds / self.cycle)


def make_scene(scenario: Scenario, width: int, height: int, fps: float, faces: int, seed: int) -> Scene:
    """The scene of a scenario in a frame of ``width`` x ``height`` pixels."""
    match scenario:
        case Scenario.CUTS:
            return _cuts(width, height, seed)
        case Scenario.ENTRIES:
            return _entries(width, height)
        case Scenario.PASSING:
            return _passing(width, height)
        case Scenario.HIDING:
            start, end = (round(seconds * fps) for seconds in HIDDEN_SECONDS)
            return Scene(cast(Scenario.OCCLUSION, width, height, 1, seed), range(start, max(start + 1, end)))
        case Scenario.OCCLUSION:
            return Scene(cast(scenario, width, height, faces, seed), OCCLUDED)
    return Scene(cast(scenario, width, height, faces, seed))


def _cuts(width: int, height: int, seed: int) -> Scene:
    """Shots of 0.8 to 2 seconds: one of two people, or both, one at least about where another was in the shot before.

    The second cut keeps the background (a jump cut): only the face shows that it is another person.
    """
    one, other, left, right = (ASTRONAUT, 0), (HOPPER, 1), 0.36, 0.64
    shots: tuple[tuple[int, tuple[tuple[tuple[Portrait, int], float], ...]], ...] = (
        (0, ((one, 0.5),)),
        (1, ((other, 0.5),)),
        (1, ((one, 0.5),)),
        (2, ((one, left), (other, right))),
        (3, ((other, left), (one, right))),
        (4, ((other, right),)),
        (5, ((one, 0.5),)),
        (6, ((other, left), (one, right))),
    )
    rng = np.random.default_rng(seed)
    size = min(0.3 * height, 0.3 * width)
    starts, actors, at = [], [], 0.0
    for background, cast_of_shot in shots:
        length = float(rng.uniform(0.8, 2.0))
        starts.append((at, background))
        for (portrait, person), x in cast_of_shot:
            pose = _swaying(x * width, 0.45 * height, size, float(rng.uniform(0, 2 * math.pi)))
            actors.append(Actor(portrait, pose, size, _BUST, person, (at, at + length)))
        at += length
    return Scene(actors, cycle=at, shots=tuple(starts))


def _entries(width: int, height: int) -> Scene:
    """Four people come in from the sides, at most two at a time, stay for a while and leave for good.

    There are two portraits: seconds lie between two people of one portrait, more than a tracker remembers.
    """
    size = min(0.26 * height, 0.2 * width)
    visits = ((ASTRONAUT, 0.3, 0.5, 6.0), (HOPPER, 0.7, 2.5, 8.5), (ASTRONAUT, 0.35, 13.0, 18.0), (HOPPER, 0.65, 15.0, 21.0))
    actors = []
    for person, (portrait, place, enters, leaves) in enumerate(visits):
        pose = _visit(width, height, size, place, enters, leaves)
        actors.append(Actor(portrait, pose, size, _BUST, person, (enters, leaves)))
    return Scene(actors, cycle=24.0, renews=True)


def _visit(width: int, height: int, size: float, place: float, enters: float, leaves: float) -> Callable[[float], Pose]:
    """In from the nearer side within 1.2 s, there until 1.2 s before the end, out by the same side."""
    outside = -size if place < 0.5 else width + size

    def pose(seconds: float) -> Pose:
        inside = min(1.0, (seconds - enters) / 1.2, (leaves - seconds) / 1.2)
        ease = inside * inside * (3 - 2 * inside)
        x = outside + (place * width - outside) * ease + 0.02 * width * math.sin(2.1 * seconds)
        return Pose(x, height * (0.42 + 0.015 * math.sin(3.0 * seconds)), size, 4 * math.sin(1.7 * seconds))

    return pose


def _passing(width: int, height: int) -> Scene:
    """Two faces swing across the frame at one height; the one in front hides the other completely where they meet."""
    size = min(0.26 * height, 0.26 * width)

    def swing(side: int) -> Callable[[float], Pose]:
        def pose(seconds: float) -> Pose:
            across = 0.3 * math.cos(2 * math.pi * seconds / 10.0)
            return Pose(width * (0.5 + side * across), 0.45 * height, size * (1.08 if side > 0 else 1.0), 0.0)

        return pose

    return Scene([
        Actor(HOPPER, swing(-1), size, _BUST, 1),
        Actor(ASTRONAUT, swing(1), 1.08 * size, _FRONT_BUST, 0),
    ])  # fmt: skip


def _swaying(x: float, y: float, size: float, phase: float) -> Callable[[float], Pose]:
    def pose(seconds: float) -> Pose:
        return Pose(x + 0.12 * size * math.sin(1.9 * seconds + phase), y, size, 5 * math.sin(1.3 * seconds + phase))

    return pose
