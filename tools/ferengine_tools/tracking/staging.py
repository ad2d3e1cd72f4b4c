"""Scenes made of people: layers that come, move, mix and go, with who is where in each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box
from ferengine.vision import cv2
from ferengine_tools.tracking.actors import Actor
from ferengine_tools.tracking.lines import Sighting, as_boxes

Image = NDArray[np.uint8]

SIZE = (400, 224)
"""Width and height of a frame, pixels."""

_VISIBLE = 0.9
"""Part of a face that must be seen, and opacity that it must have, to count."""

_HEAD = (1.5, 1.7)
"""Width and height of the ellipse of a head, in widths and heights of its box."""

Look: TypeAlias = Literal["full", "head", "tile"]
"""How a person is put into the frame: with all that is around it, cut out, or as an image in a rectangle."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face is at one time: centre and height of its box in pixels, opacity, and how much of the frame is uncovered.

    Attributes:
        x: Of the centre.
        y: Of the centre.
        height: Of the box.
        opacity: In [0, 1].
        wipe: The columns from which on the layer is not drawn, as a fraction of the width.
    """

    x: float
    y: float
    height: float
    opacity: float = 1.0
    wipe: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One person in a scene; later layers are drawn over earlier ones.

    Attributes:
        actor: Who.
        look: How it is put into the frame.
        pose: Where at a time in seconds; None where it is not in the scene.
        offset: Seconds into its clip at time 0.
        anchor: When its face is where ``pose`` says; before and after it moves as in its clip.
    """

    actor: Actor
    look: Look
    pose: Callable[[float], Pose | None]
    offset: float = 0.0
    anchor: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Bar:
    """What hides faces: an upright bar of grey.

    Attributes:
        place: Of its left edge and its width, pixels.
    """

    place: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A made scene.

    Attributes:
        kind: What it shows.
        seconds: How long it is.
        layers: Who is in it.
        background: BGR, of ``SIZE``.
        bar: Drawn over everything, if there is one.
        shake: By how many pixels the camera shakes.
    """

    kind: str
    seconds: float
    layers: Sequence[Layer]
    background: Image
    bar: Bar | None = None
    shake: float = 0.0


def draw(scene: Scene, timestamp: float, names: Sequence[str]) -> tuple[Image, Sighting]:
    """A frame of a scene, and who is where in it. A face that is mixed with another or partly hidden is ignored.

    Args:
        scene: The scene.
        timestamp: Seconds from its beginning.
        names: Of the people; their places in it are their numbers.
    """
    width, height = SIZE
    dx, dy = (scene.shake * np.sin((7.1 * timestamp, 5.3 * timestamp + 1)) * np.cos(23 * timestamp)).tolist()
    frame = scene.background.copy()
    seen: list[tuple[int, Box, float]] = []
    for layer in scene.layers:
        pose = layer.pose(timestamp)
        if pose is None or pose.opacity <= 0:
            continue
        image, (x, y, w, h) = layer.actor.at(layer.offset + timestamp)
        _, base = layer.actor.at(layer.offset + layer.anchor)
        scale = pose.height / base[3]
        left, top = pose.x + dx - scale * (base[0] + base[2] / 2), pose.y + dy - scale * (base[1] + base[3] / 2)
        box = (left + scale * x, top + scale * y, scale * w, scale * h)
        shift = np.array([[scale, 0, left], [0, scale, top]])
        drawn = cv2.warpAffine(image, shift, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cover = _cover(layer.look, image, shift, box) * np.float32(pose.opacity)
        cover[:, round(pose.wipe * width) :] = 0
        if layer.look == "full" and pose.opacity == pose.wipe == 1:
            frame = np.asarray(drawn, np.uint8)
        else:
            _mix(frame, drawn, cover)
        seen = [(person, other, visible * (1 - _within(cover, other))) for person, other, visible in seen]
        seen.append((names.index(layer.actor.name), box, _within(cover, box)))
    if scene.bar is not None:
        left_edge, bar_width = scene.bar.place
        frame[:, left_edge : left_edge + bar_width] = 96
        cover = np.zeros((height, width), np.float32)
        cover[:, left_edge : left_edge + bar_width] = 1
        seen = [(person, box, visible * (1 - _within(cover, box))) for person, box, visible in seen]
    sure = [face for face in seen if face[2] >= _VISIBLE]
    mixed = [face[1] for face in seen if 0.02 < face[2] < _VISIBLE]
    return frame, Sighting(
        timestamp,
        tuple(person for person, _, _ in sure),
        as_boxes(box for _, box, _ in sure),
        (None,) * len(sure),
        as_boxes(mixed),
    )


def _mix(frame: Image, drawn: NDArray[np.generic], cover: NDArray[np.float32]) -> None:
    """Draw over a frame where a cover says."""
    x, y, w, h = cv2.boundingRect(np.asarray(cover > 0, np.uint8))
    inside = np.s_[y : y + h, x : x + w]
    over, under, part = np.asarray(drawn[inside], np.float32), np.asarray(frame[inside], np.float32), cover[inside][..., None]
    frame[inside] = np.rint(under + part * (over - under))


def _cover(look: Look, image: Image, shift: NDArray[np.float64], box: Box) -> NDArray[np.float32]:
    """How much of a layer each pixel of the frame takes, float32 (H, W)."""
    width, height = SIZE
    if look == "full":
        return np.ones((height, width), np.float32)
    cover = np.zeros((height, width), np.float32)
    if look == "tile":
        corners = np.rint(shift @ np.array([[0, image.shape[1]], [0, image.shape[0]], [1, 1]])).astype(int)
        (left, right), (top, bottom) = np.maximum(corners, 0)
        cover[top:bottom, left:right] = 1
        return cover
    x, y, w, h = box
    centre = (round(x + w / 2), round(y + 0.45 * h))
    cv2.ellipse(cover, centre, (round(_HEAD[0] * w / 2), round(_HEAD[1] * h / 2)), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), max(1.0, h / 20)), np.float32)


def _within(cover: NDArray[np.float32], box: Box) -> float:
    """The mean of a cover over a box, of which what is outside the frame counts as not covered."""
    x, y, w, h = box
    left, top = max(0, round(x)), max(0, round(y))
    inside = cover[top : max(top, round(y + h)), left : max(left, round(x + w))]
    return float(inside.sum()) / max(1.0, round(w) * round(h))
