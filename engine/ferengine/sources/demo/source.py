"""Renders the demo's frames."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SourceError, UsageError
from ferengine.results import Box
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.demo.motion import MAX_FACES, Actor, Pose, cast
from ferengine.sources.demo.portraits import Sprite
from ferengine.sources.spec import Scenario
from ferengine.vision import cv2

OCCLUDED = range(60, 65)
"""The frames in which the occluder completely hides the first face, unless others are given."""

_BAR_COLOR = (96, 74, 52)
_BAR_WIDTH = 1.4
"""In widths of the face: the bar covers the face while their centres are within 0.2 widths."""


class DemoSource:
    """A rendered source; see ``Scenario`` for what it shows. Frame i is a pure function of the arguments and i.

    Args:
        width: Width of the frames in pixels, at least 64.
        height: Height of the frames in pixels, at least 64.
        fps: Frame rate.
        frames: The number of frames; None for an endless demo.
        faces: 1 to 4 faces; only in the scenario "stroll".
        seed: Seed of the motion and the background.
        occluder: Let a bar pass over the first face and cover it completely in exactly these frames (True: ``OCCLUDED``). The
            scenario "occlusion" implies it.
        scenario: What is shown.

    Raises:
        UsageError: If an argument is out of range.
    """

    broken_frames = 0
    late_frames = 0
    truncated = False
    replaced_stamps = 0

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
        """Load the portraits.

        Raises:
            MissingDependencyError: If the extra ``demo`` is not installed.
        """
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
        for sprite, (_, pose) in zip(self._sprites, self.poses(index), strict=True):
            sprite.paint(self._frame, pose.x, pose.y, pose.height, pose.angle)
        bar = self.bar(index)
        if bar is not None:
            left, right = max(0, math.floor(bar[0])), math.ceil(bar[1])
            self._frame[:, left:right] = _BAR_COLOR
        return CapturedFrame(self._frame, index / self._info.fps)

    def skip(self, frames: int | None, last: float | None = None) -> None:
        """Pass over ``frames`` frames, or over all up to the time stamp ``last``, at no cost."""
        self._next = round((last or 0.0) * self._info.fps) + 1 if frames is None else self._next + frames

    def close(self) -> None:
        """Free the images."""
        self._background, self._sprites = None, []

    def boxes(self, index: int) -> list[Box]:
        """Return the true face boxes of a frame, back to front. Works before ``open`` and without the extra ``demo``."""
        return [actor.box(pose) for actor, pose in self.poses(index)]

    def poses(self, index: int) -> list[tuple[Actor, Pose]]:
        """Return the faces of frame ``index`` and where they are, back to front."""
        return [(actor, actor.pose(index / self._info.fps)) for actor in self._actors]

    def bar(self, index: int) -> tuple[float, float] | None:
        """Return the left and right border of the occluder in frame ``index``, in pixels; None if it is not in the frame.

        Its distance from the face's centre is cubic in time: it comes fast, slows down over the face and leaves fast.
        """
        if not self._occluded or not self._actors:
            return None
        actor, pose = self.poses(index)[0]
        _, _, w, _ = actor.box(pose)
        middle = (self._occluded[0] + self._occluded[-1]) / 2
        progress = (index - middle) / (len(self._occluded) / 2)
        offset = (_BAR_WIDTH - 1) / 2 * w * progress**3
        left, right = pose.x + offset - _BAR_WIDTH * w / 2, pose.x + offset + _BAR_WIDTH * w / 2
        return (left, right) if right > 0 and left < self._info.width else None


def _background(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """A diagonal gradient with cloudy light, darker corners and a little grain, BGR uint8 (height, width, 3)."""
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
