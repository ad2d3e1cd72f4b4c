"""The ground truth of the demo: where each face truly is, in every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ferengine.results import Box, Landmarks
from ferengine.sources.demo import DemoSource
from ferengine.sources.demo.motion import Actor, Pose


@dataclass(frozen=True, slots=True)
class DemoFace:
    """Where one face of the demo is.

    Attributes:
        person: Counts from 0 and stays with the face.
        box: The box (x, y, w, h) that MTCNN finds on the still portrait, moved and scaled; rotation leaves it upright, with
            the same centre and size.
        landmarks: Its five points.
        angle: Degrees clockwise.
        scale: In pixels of the portrait.
        occluded: The fraction of the box behind the occluder.
    """

    person: int
    box: Box
    landmarks: Landmarks
    angle: float
    scale: float
    occluded: float


def demo_truth(source: DemoSource, index: int) -> list[DemoFace]:
    """The faces of frame ``index``, in order of ``person``; needs neither ``open`` nor the extra ``demo``."""
    bar = source.bar(index)
    return [_face(actor, pose, bar) for actor, pose in source.poses(index)]


def _face(actor: Actor, pose: Pose, bar: tuple[float, float] | None) -> DemoFace:
    box = actor.box(pose)
    scale = pose.height / actor.portrait.box[3]
    angle = math.radians(pose.angle)
    center_x, center_y = actor.portrait.center
    points = [
        (
            pose.x + scale * ((px - center_x) * math.cos(angle) - (py - center_y) * math.sin(angle)),
            pose.y + scale * ((px - center_x) * math.sin(angle) + (py - center_y) * math.cos(angle)),
        )
        for px, py in actor.portrait.landmarks
    ]
    landmarks: Landmarks = (points[0], points[1], points[2], points[3], points[4])
    occluded = 0.0 if bar is None else _covered(box[0], box[0] + box[2], *bar)
    return DemoFace(actor.person, box, landmarks, pose.angle, scale, occluded)


def _covered(left: float, right: float, bar_left: float, bar_right: float) -> float:
    """The fraction of [left, right] inside the bar, exactly 1 where all of it is."""
    inside = max(0.0, min(bar_right, right) - max(bar_left, left))
    return 1.0 if bar_left <= left and right <= bar_right else inside / (right - left)
