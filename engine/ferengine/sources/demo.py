"""The demo: portraits that move over a drawn background, with known face boxes.

It is what a newcomer without a camera sees, and the ground truth of tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SourceError, UsageError
from ferengine.results import Box, Landmarks
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.demo_paths import MAX_FACES, Actor, Pose, Scenario, cast
from ferengine.sources.portraits import Sprite
from ferengine.vision import cv2

OCCLUDED = range(60, 65)
"""The frames in which the occluder hides the first face wholly, unless others are named."""

_BAR_COLOR = (96, 74, 52)
_BAR_WIDTH = 1.4
"""Of the face's width: it covers the face as long as their middles are within 0.2 widths."""


@dataclass(frozen=True, slots=True)
class DemoFace:
    """Where one face of the demo truly is.

    ``person`` counts from 0 and stays with the face. ``box`` (x, y, w, h) is the box that MTCNN gives on the
    still portrait, moved and scaled; turning leaves it upright, with the same middle and size. ``angle``:
    degrees clockwise; ``scale``: of the portrait's own pixels; ``occluded``: share of the box behind the
    occluder.
    """

    person: int
    box: Box
    landmarks: Landmarks
    angle: float
    scale: float
    occluded: float


class DemoSource:
    """A rendered source of ``frames`` frames (``None``: endless) at ``fps``; see ``Scenario`` for what
    happens.

    ``faces`` (1 to 4) counts in the stroll only. ``occluder``: a bar passes over the first face, covering it
    wholly in exactly the given frames (``True``: ``OCCLUDED``), which the scenario "occlusion" implies. Frame
    i is a pure function of the arguments and i. Raises UsageError for arguments out of range.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        frames: int | None = 600,
        faces: int = 2,
        seed: int = 0,
        occluder: bool | range = False,
        scenario: Scenario | str = Scenario.STROLL,
    ) -> None:
        if scenario not in list(Scenario):
            raise UsageError(f"the demo has no scenario {str(scenario)!r}: choose one of {', '.join(Scenario)}")
        if width < 64 or height < 64:
            raise UsageError(f"a demo of {width}x{height} pixels is too small: at least 64x64")
        if not (math.isfinite(fps) and fps > 0) or (frames is not None and frames < 1):
            raise UsageError("the demo needs a positive rate and at least one frame")
        if not 1 <= faces <= MAX_FACES:
            raise UsageError(f"the demo shows 1 to {MAX_FACES} faces, not {faces}: for none use demo:empty")
        self._info = SourceInfo(width, height, fps, live=False, frames=frames)
        self._seed = seed
        scenario = Scenario(scenario)
        self._actors = cast(scenario, width, height, faces, seed)
        if isinstance(occluder, range):
            self._occluded = occluder
        else:
            self._occluded = OCCLUDED if occluder or scenario is Scenario.OCCLUSION else range(0)
        self._next = 0
        self._background: NDArray[np.uint8] | None = None
        self._sprites: list[Sprite] = []
        self._frame = np.empty((height, width, 3), np.uint8)

    def open(self) -> SourceInfo:
        """Load the portraits. Raises MissingDependencyError without the extra ``demo``."""
        self._sprites = [Sprite(actor.portrait, actor.largest, actor.bust) for actor in self._actors]
        self._background = _background(self._info.width, self._info.height, self._seed)
        return self._info

    def read(self) -> CapturedFrame | None:
        """Render the next frame into a buffer that the next call reuses."""
        if self._background is None:
            raise SourceError("the demo was not opened")
        index = self._next
        if self._info.frames is not None and index >= self._info.frames:
            return None
        self._next += 1
        np.copyto(self._frame, self._background)
        for sprite, (_, pose) in zip(self._sprites, self._poses(index), strict=True):
            sprite.paint(self._frame, pose.x, pose.y, pose.height, pose.angle)
        bar = self._bar(index)
        if bar is not None:
            left, right = max(0, math.floor(bar[0])), math.ceil(bar[1])
            self._frame[:, left:right] = _BAR_COLOR
        return CapturedFrame(self._frame, index / self._info.fps)

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` frames at no cost."""
        self._next += frames

    def close(self) -> None:
        """Free the images."""
        self._background, self._sprites = None, []

    def truth(self, index: int) -> list[DemoFace]:
        """The faces of frame ``index``, in order of ``person``; needs neither ``open`` nor the extra
        ``demo``."""
        bar = self._bar(index)
        return [_truth(person, actor, pose, bar) for person, (actor, pose) in enumerate(self._poses(index))]

    def _poses(self, index: int) -> list[tuple[Actor, Pose]]:
        return [(actor, actor.pose(index / self._info.fps)) for actor in self._actors]

    def _bar(self, index: int) -> tuple[float, float] | None:
        """Left and right border of the occluder in frame ``index``, where there is one.

        Its distance from the face's middle is cubic in time: it comes fast, slows down over the face, leaves
        fast.
        """
        if not self._occluded or not self._actors:
            return None
        actor, pose = self._poses(index)[0]
        _, _, w, _ = actor.box(pose)
        middle = (self._occluded[0] + self._occluded[-1]) / 2
        progress = (index - middle) / (len(self._occluded) / 2)
        offset = (_BAR_WIDTH - 1) / 2 * w * progress**3
        left, right = pose.x + offset - _BAR_WIDTH * w / 2, pose.x + offset + _BAR_WIDTH * w / 2
        return (left, right) if right > 0 and left < self._info.width else None


def _truth(person: int, actor: Actor, pose: Pose, bar: tuple[float, float] | None) -> DemoFace:
    box = actor.box(pose)
    scale = pose.height / actor.portrait.box[3]
    turn = math.radians(pose.angle)
    center_x, center_y = actor.portrait.center
    points = [
        (
            pose.x + scale * ((px - center_x) * math.cos(turn) - (py - center_y) * math.sin(turn)),
            pose.y + scale * ((px - center_x) * math.sin(turn) + (py - center_y) * math.cos(turn)),
        )
        for px, py in actor.portrait.landmarks
    ]
    landmarks: Landmarks = (points[0], points[1], points[2], points[3], points[4])
    occluded = 0.0 if bar is None else _covered(box[0], box[0] + box[2], *bar)
    return DemoFace(person, box, landmarks, pose.angle, scale, occluded)


def _covered(left: float, right: float, bar_left: float, bar_right: float) -> float:
    """The share of [left, right] inside the bar, exactly 1 where all of it is."""
    inside = max(0.0, min(bar_right, right) - max(bar_left, left))
    return 1.0 if bar_left <= left and right <= bar_right else inside / (right - left)


def _background(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """A diagonal gradient with cloudy light, darker corners and a little grain, BGR uint8 (height, width,
    3)."""
    rng = np.random.default_rng(seed)
    along_x, along_y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    blend = (0.55 * along_x + 0.45 * along_y)[..., None]
    image = (1 - blend) * np.array([150, 132, 92], np.float32) + blend * np.array([112, 84, 98], np.float32)
    for cells, strength in ((4, 16.0), (9, 7.0)):
        clouds = rng.standard_normal((cells, cells)).astype(np.float32)
        image += strength * cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    image *= 1 - 0.35 * ((along_x - 0.5) ** 2 + (along_y - 0.5) ** 2)[..., None] * 2
    image += rng.normal(0, 2, (height, width, 1)).astype(np.float32)
    return np.asarray(np.clip(image, 0, 255), np.uint8)
