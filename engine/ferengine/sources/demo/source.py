"""Renders the demo's frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SourceError, UsageError
from ferengine.results import Box
from ferengine.sources.base import CapturedFrame, Kept, SourceInfo
from ferengine.sources.demo.drawn import make_faces
from ferengine.sources.demo.motion import MAX_FACES, Actor, Pose
from ferengine.sources.demo.portraits import CutOut, Portrait
from ferengine.sources.demo.scenes import OCCLUDED, make_scene
from ferengine.sources.spec import Scenario
from ferengine.vision import cv2

_BAR_COLOR = (96, 74, 52)
_BAR_WIDTH = 1.4
"""In widths of the face: the bar covers the face while their centres are within 0.2 widths."""

_Look = tuple[Portrait, int, float, float]

_HEAD = 1.2
"""Sides of the area that a head hides, in those of its face's box."""


@dataclass(frozen=True, slots=True)
class TrueFace:
    """A face of the demo's ground truth.

    Attributes:
        person: Who it is, a number from 0.
        box: x, y, w, h in pixels, whether or not it can be seen.
        hidden: The fraction of the box behind the occluder, behind a head or outside the frame, in [0, 1]; the largest where
            there are several.
    """

    person: int
    box: Box
    hidden: float


class _RenderedFrame(CapturedFrame):
    """A frame that is rendered into ``buffer``, which the frames of a source share, or straight to where it is written."""

    __slots__ = ("_index", "_render", "_rendered")

    def __init__(
        self, render: Callable[[int, NDArray[np.uint8]], None], buffer: NDArray[np.uint8], index: int, timestamp: float
    ) -> None:
        super().__init__(buffer, timestamp)
        self._render = render
        self._index = index
        self._rendered = False

    @property
    def image(self) -> NDArray[np.uint8]:
        if not self._rendered:
            self._render(self._index, self._image)
            self._rendered = True
        return self._image

    def write(self, out: NDArray[np.uint8]) -> None:
        self._render(self._index, out)


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
            scenarios "occlusion" and "hiding" imply it.
        scenario: What is shown.
        drawn: Show drawn faces also where the portraits of the extra ``demo`` are installed.

    Raises:
        UsageError: If an argument is out of range.
    """

    broken_frames = 0
    late_frames = 0
    left_out_frames = 0
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
        drawn: bool = False,
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
        self._drawn = drawn
        self._scene = make_scene(Scenario(scenario), width, height, fps, faces, seed)
        if isinstance(occluder, range):
            self._occluded = occluder
        else:
            self._occluded = OCCLUDED if occluder else self._scene.occluded
        self._next = 0
        self._backgrounds: dict[int, NDArray[np.uint8]] = {}
        self._faces: dict[_Look, Callable[[float], CutOut]] = {}
        self._frame = np.empty((height, width, 3), np.uint8)

    def open(self) -> SourceInfo:
        """Load the portraits, or draw faces where the extra ``demo`` is not installed."""
        looks = list(dict.fromkeys(_look(actor) for actor in self._scene.actors))
        self._faces = dict(zip(looks, make_faces(looks, drawn=self._drawn), strict=True))
        for _, number in self._scene.shots:
            self._backgrounds[number] = _background(self._info.width, self._info.height, self._seed, number)
        return self._info

    def read(self) -> CapturedFrame | None:
        """Return the next frame, which is rendered when it is looked at: one that is passed over costs nothing."""
        if not self._backgrounds:
            raise SourceError("the demo was not opened")
        index = self._next
        if self._info.frames is not None and index >= self._info.frames:
            return None
        self._next += 1
        return _RenderedFrame(self._render, self._frame, index, index / self._info.fps)

    def _render(self, index: int, out: NDArray[np.uint8]) -> None:
        seconds = index / self._info.fps
        np.copyto(out, self._backgrounds[self._scene.background(seconds)])
        for actor, pose in self.poses(index):
            self._faces[_look(actor)](seconds).paint(out, pose.x, pose.y, pose.height, pose.angle)
        bar = self.bar(index)
        if bar is not None:
            left, right = max(0, math.floor(bar[0])), math.ceil(bar[1])
            out[:, left:right] = _BAR_COLOR

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames, or over all up to the time stamp ``last``, at no cost."""
        self._next = round((last or 0.0) * self._info.fps) + 1 if frames is None else self._next + frames

    def close(self) -> None:
        """Free the images."""
        self._backgrounds, self._faces = {}, {}

    def boxes(self, index: int) -> list[Box]:
        """Return the true face boxes of a frame, back to front. Works before ``open`` and without the extra ``demo``."""
        return [actor.box(pose) for actor, pose in self.poses(index)]

    def poses(self, index: int) -> list[tuple[Actor, Pose]]:
        """Return the faces of frame ``index`` and where they are, back to front."""
        at = self._scene.within(index / self._info.fps)
        return [(actor, actor.pose(at)) for actor in self._scene.actors if actor.is_there(at)]

    def truth(self, index: int) -> list[TrueFace]:
        """Return who is where in a frame, back to front. Works before ``open`` and without the extra ``demo``."""
        poses, bar = self.poses(index), self.bar(index)
        boxes = [actor.box(pose) for actor, pose in poses]
        frame = 0.0, 0.0, float(self._info.width), float(self._info.height)
        faces = []
        for number, ((actor, _), box) in enumerate(zip(poses, boxes, strict=True)):
            hidden = [round(1 - _covered(box, frame), 9), *(_covered(box, _head(front)) for front in boxes[number + 1 :])]
            if bar is not None:
                hidden.append(_covered(box, (bar[0], 0.0, bar[1] - bar[0], float(self._info.height))))
            faces.append(TrueFace(self._scene.person(actor, index / self._info.fps), box, max(hidden)))
        return faces

    def bar(self, index: int) -> tuple[float, float] | None:
        """Return the left and right border of the occluder in frame ``index``, in pixels; None if it is not in the frame.

        Its distance from the face's centre is cubic in time: it comes fast, slows down over the face and leaves fast.
        """
        poses = self.poses(index)
        if not self._occluded or not poses:
            return None
        actor, pose = poses[0]
        _, _, w, _ = actor.box(pose)
        middle = (self._occluded[0] + self._occluded[-1]) / 2
        progress = (index - middle) / (len(self._occluded) / 2)
        offset = (_BAR_WIDTH - 1) / 2 * w * progress**3
        left, right = pose.x + offset - _BAR_WIDTH * w / 2, pose.x + offset + _BAR_WIDTH * w / 2
        return (left, right) if right > 0 and left < self._info.width else None


def _look(actor: Actor) -> _Look:
    """What tells cut-outs apart: who it is, as a portrait and as a drawn person, and at which size."""
    return actor.portrait, actor.person, actor.largest, actor.bust


def _head(box: Box) -> Box:
    """The area that the head of a face hides."""
    x, y, w, h = box
    return x - (_HEAD - 1) / 2 * w, y - (_HEAD - 1) / 2 * h, _HEAD * w, _HEAD * h


def _covered(box: Box, by: Box) -> float:
    """The fraction of a box inside another, so rounded that it is 0 and 1 where it should be."""
    width = min(box[0] + box[2], by[0] + by[2]) - max(box[0], by[0])
    height = min(box[1] + box[3], by[1] + by[3]) - max(box[1], by[1])
    return round(max(0.0, width) * max(0.0, height) / (box[2] * box[3]), 9)


def _background(width: int, height: int, seed: int, number: int = 0) -> NDArray[np.uint8]:
    """A diagonal gradient with cloudy light, darker corners and a little grain, BGR uint8 (height, width, 3).

    Others than the first are lit from another corner.
    """
    rng = np.random.default_rng(seed if number == 0 else (seed, number))
    along_x, along_y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    blend = (0.55 * along_x + 0.45 * along_y)[..., None]
    image = (1 - blend) * np.array([150, 132, 92], np.float32) + blend * np.array([112, 84, 98], np.float32)
    for cells, strength in ((4, 16.0), (9, 7.0)):
        clouds = rng.standard_normal((cells, cells)).astype(np.float32)
        image += strength * cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    image *= 1 - 0.35 * ((along_x - 0.5) ** 2 + (along_y - 0.5) ** 2)[..., None] * 2
    image += rng.normal(0, 2, (height, width, 1)).astype(np.float32)
    corner = image[:: -1 if number & 1 else 1, :: -1 if number & 2 else 1]
    return np.ascontiguousarray(np.clip(corner, 0, 255).astype(np.uint8))
