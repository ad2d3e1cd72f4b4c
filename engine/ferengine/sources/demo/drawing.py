"""Draws one face with head and shoulders: shaded, anti-aliased, with what it shows and how far it is turned.

Coordinates are halves of the face's width and height, from its middle. The head is a ball that turns about its vertical axis;
hair, neck and shoulders behind it do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red."""
Points: TypeAlias = NDArray[np.float64]
"""(n, 2): x to the right and y down, from the middle of the face, in halves of the face's width and height."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a face looks like: colours of skin, hair, lips, eyes and clothes, and how long the hair is, in face heights."""

    skin: Color
    hair: Color
    lips: Color
    iris: Color
    clothes: Color
    hair_length: float


@dataclass(frozen=True, slots=True)
class Mien:
    """What a face shows; all 0 is a face at rest.

    Attributes:
        smile: How far the corners of the mouth go up, or down.
        gape: How far the mouth opens.
        brows: How far the brows go up, or down.
        frown: How far their inner ends go down (anger), or up (sadness).
        lids: How far the eyes open beyond their rest, or close.
        round: How much narrower the mouth gets.
    """

    smile: float = 0.0
    gape: float = 0.0
    brows: float = 0.0
    frown: float = 0.0
    lids: float = 0.0
    round: float = 0.0


_WIDTH = 0.78
"""Of a face's box, in its heights."""
_ABOVE, BELOW, _ASIDE = 0.55, 1.3, 1.05
"""What is drawn above, at most below, and to each side of the box, in its heights."""
_FADE = 0.45
"""Over which clothes fade out to the bottom, in heights of the box."""
_SHIFT = 5
"""Bits behind the point of coordinates."""


class Drawing:
    """One drawing under way: ``height`` is that of the face's box in pixels, ``turn`` in radians, ``below`` what is drawn
    below the box, in its heights."""

    def __init__(self, person: Person, height: int, turn: float, below: float = BELOW) -> None:
        self.person = person
        self._height = height
        self._turn = turn
        width = round(height * (_WIDTH + 2 * _ASIDE))
        rows = round(height * (1 + _ABOVE + below))
        self._fade = min(_FADE, below) * height
        self.middle = (width / 2, height * (_ABOVE + 0.5))
        self._image = np.zeros((rows, width, 3), np.uint8)
        self._image[:] = person.hair
        self._opacity = np.zeros((rows, width), np.uint8)

    def draw(self, mien: Mien) -> NDArray[np.uint8]:
        """Draw all of it, from the back to the front; BGRA uint8 (H, W, 4), premultiplied."""
        self._body()
        self._head()
        for side in (-1, 1):
            self._eye(side, mien)
            self._brow(side, mien)
        self._nose()
        self._mouth(mien)
        self._fringe()
        return self._finish()

    def _body(self) -> None:
        """Hair behind the head, neck and shoulders."""
        hair, long = self.person.hair, self.person.hair_length
        if long > 0.3:
            self._fill(_oval(0, -0.32 + long * 0.55, 1.36, 1.02 + long * 0.55), hair, solid=True, flat=True)
        shoulders = _smooth(
            [(-2.75, 3.8), (-2.62, 2.3), (-2.2, 1.72), (-0.9, 1.42), (0.9, 1.42), (2.2, 1.72), (2.62, 2.3), (2.75, 3.8)]
        )
        self._fill(shoulders, self.person.clothes, solid=True, flat=True)
        neck = np.array([(-0.56, 0.5), (0.56, 0.5), (0.6, 1.35), (0.3, 1.62), (-0.3, 1.62), (-0.6, 1.35)])
        self._fill(neck, _darker(self.person.skin, 0.74), solid=True, flat=True)

    def _head(self) -> None:
        """Ears, skull with hair, face, and their shading."""
        skin = self.person.skin
        self._fill(_oval(0, -0.36, 1.24, 1.08), self.person.hair, solid=True)
        for side in (-1, 1):
            self._fill(_oval(1.06 * side, 0.02, 0.13, 0.25), _darker(skin, 0.84), solid=True)
        outline = _smooth(
            [
                (0, -1.05),
                (0.6, -0.96),
                (0.96, -0.5),
                (1.0, 0.0),
                (0.93, 0.42),
                (0.7, 0.83),
                (0.32, 1.08),
                (0, 1.13),
                (-0.32, 1.08),
                (-0.7, 0.83),
                (-0.93, 0.42),
                (-1.0, 0.0),
                (-0.96, -0.5),
                (-0.6, -0.96),
            ]
        )
        self._fill(outline, skin, solid=True)
        self._rim(outline)
        self._soft(_oval(0, 1.22, 0.62, 0.16), _darker(skin, 0.5), 0.06, 0.5)  # below the chin
        for side in (-1, 1):
            self._soft(_oval(0.58 * side, 0.36, 0.28, 0.2), _mixed(skin, (110, 110, 225), 0.5), 0.07, 0.4)  # cheeks
            self._soft(_oval(0.44 * side, -0.27, 0.34, 0.16), _darker(skin, 0.62), 0.05, 0.55)  # sockets
        self._soft(_oval(-0.1, -0.62, 0.5, 0.2), _lighter(skin, 0.35), 0.09, 0.5)  # forehead

    def _rim(self, outline: Points) -> None:
        """Darken the face towards its edge."""
        place = self._pixels(outline)
        left, top = place.min(0) >> _SHIFT
        right, bottom = (place.max(0) >> _SHIFT) + 1
        inside = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(inside, [place - (np.array([left, top]) << _SHIFT).astype(np.int32)], (255,), cv2.LINE_8, _SHIFT)
        far = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3) * np.float32(5 / self._height), 1)
        light = np.where(inside > 0, 255 - 76 * (1 - far) ** 2, 255).astype(np.uint8)
        part = self._image[top:bottom, left:right]
        part[:] = cv2.multiply(part, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), scale=1 / 255)

    def _fringe(self) -> None:
        """Hair over the forehead and at the temples."""
        low = -0.66 if self.person.hair_length > 0.3 else -0.78
        top = [
            (-1.16, -0.1),
            (-1.26, -0.6),
            (-0.95, -1.2),
            (-0.4, -1.46),
            (0.3, -1.48),
            (0.95, -1.22),
            (1.26, -0.6),
            (1.16, -0.1),
        ]
        edge = [
            (1.0, -0.3),
            (0.93, low + 0.12),
            (0.55, low - 0.12),
            (0.05, low - 0.16),
            (-0.35, low - 0.06),
            (-0.8, low + 0.08),
            (-1.0, -0.3),
        ]
        self._fill(_smooth(top + edge), self.person.hair, solid=True)
        for offset in (-0.5, -0.1, 0.35):
            strand = _smooth(
                [(offset - 0.2, -1.3), (offset + 0.15, -1.22), (offset + 0.36, low - 0.3), (offset + 0.25, low - 0.34)]
            )
            self._soft(strand, _lighter(self.person.hair, 0.3), 0.03, 0.6)

    def _finish(self) -> NDArray[np.uint8]:
        """The drawing, premultiplied; clothes fade out to the bottom."""
        rows = len(self._image)
        fade = np.clip((rows - np.arange(rows, dtype=np.float32)) / self._fade, 0, 1)
        fading = (255 * fade * fade * (3 - 2 * fade)).astype(np.uint8)[:, None]
        alpha = cv2.multiply(self._opacity, np.ascontiguousarray(np.broadcast_to(fading, self._opacity.shape)), scale=1 / 255)
        color = cv2.multiply(self._image, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        return np.asarray(cv2.merge([*cv2.split(color), alpha]), np.uint8)

    def _eye(self, side: int, mien: Mien) -> None:
        x, y = 0.445 * side, -0.24
        open_ = max(0.02, 0.088 * (1 + mien.lids))
        corner = 0.015 * side
        lid = [(x - 0.235, y + corner), (x - 0.12, y - 0.8 * open_), (x, y - open_), (x + 0.12, y - 0.8 * open_)]
        under = [(x + 0.235, y - corner), (x + 0.12, y + 0.62 * open_), (x, y + 0.72 * open_), (x - 0.12, y + 0.62 * open_)]
        outline = _smooth(lid + under)
        self._fill(outline, (232, 236, 240))
        mask = np.zeros_like(self._opacity)
        cv2.fillPoly(mask, [self._pixels(outline)], (255,), cv2.LINE_AA, _SHIFT)
        within = self._image.copy()
        look = x + 0.05 * math.sin(self._turn)
        for radius, color in ((0.118, _darker(self.person.iris, 0.6)), (0.1, self.person.iris), (0.05, (16, 16, 18))):
            self._fill(_oval(look, y - 0.008, radius, radius * 0.78), color, onto=within)
        self._fill(_oval(look - 0.035, y - 0.04, 0.022, 0.018), (252, 252, 252), onto=within)
        cv2.copyTo(within, mask, self._image)
        upper = np.array([(x - 0.25, y + corner + 0.012), *lid[1:], (x + 0.25, y - corner + 0.012)])
        self._line(_smooth_line(upper), (34, 36, 44), 0.024)
        self._soft(_oval(x, y + open_ + 0.07, 0.2, 0.03), _darker(self.person.skin, 0.66), 0.02, 0.45)

    def _brow(self, side: int, mien: Mien) -> None:
        y = -0.475 - 0.13 * mien.brows
        inner = (0.2, y + 0.03 + 0.12 * mien.frown)
        points = [
            inner,
            (0.42, y - 0.05 + 0.03 * mien.frown),
            (0.6, y - 0.045 - 0.01 * mien.frown),
            (0.74, y + 0.045 - 0.03 * mien.frown),
        ]
        upper = _smooth_line(np.array([(px * side, py) for px, py in points]))
        thick = np.interp(np.linspace(0, 1, len(upper)), [0, 0.3, 1], [0.055, 0.06, 0.015])
        lower = upper + np.column_stack([np.zeros(len(upper)), thick])
        self._fill(np.vstack([upper, lower[::-1]]), _darker(self.person.hair, 0.8))
        if mien.frown > 0.1:
            crease = np.array([(0.09 * side, y - 0.02), (0.075 * side, y + 0.12)])
            self._line(crease, _darker(self.person.skin, 0.7), 0.016 * mien.frown)

    def _nose(self) -> None:
        skin = self.person.skin
        self._soft(
            _smooth([(-0.05, -0.3), (0.05, -0.3), (0.09, 0.12), (0, 0.2), (-0.09, 0.12)]), _lighter(skin, 0.4), 0.03, 0.55, 0.2
        )
        self._soft(_smooth([(0.1, -0.25), (0.16, -0.1), (0.2, 0.16), (0.12, 0.16)]), _darker(skin, 0.7), 0.03, 0.5, 0.2)
        self._soft(_oval(0, 0.265, 0.21, 0.05), _darker(skin, 0.58), 0.022, 0.75, 0.2)
        self._soft(_oval(0, 0.16, 0.1, 0.07), _lighter(skin, 0.45), 0.03, 0.55, 0.25)
        for side in (-1, 1):
            self._soft(_oval(0.105 * side, 0.235, 0.052, 0.03), _darker(skin, 0.34), 0.008, 0.9, 0.22)
            self._soft(_oval(0.2 * side, 0.2, 0.03, 0.07), _darker(skin, 0.7), 0.015, 0.55, 0.2)

    def _mouth(self, mien: Mien) -> None:
        y, half = 0.58 + 0.03 * mien.gape, 0.36 * (1 + 0.16 * max(mien.smile, 0)) * (1 - 0.42 * mien.round)
        lift = 0.115 * mien.smile
        gape = 0.17 * mien.gape * (1 + 0.5 * mien.round)
        corner = y - lift
        dip = 0.35 * lift
        upper_in = [
            (-half, corner),
            (-0.5 * half, y + dip - 0.15 * gape),
            (0, y + dip - 0.2 * gape),
            (0.5 * half, y + dip - 0.15 * gape),
            (half, corner),
        ]
        lower_in = [
            (half, corner),
            (0.5 * half, y + dip + 0.85 * gape),
            (0, y + dip + gape),
            (-0.5 * half, y + dip + 0.85 * gape),
            (-half, corner),
        ]
        upper = [
            (-half, corner),
            (-0.5 * half, y + dip - 0.2 * gape - 0.065),
            (-0.12, y + dip - 0.2 * gape - 0.095),
            (0, y + dip - 0.2 * gape - 0.07),
            (0.12, y + dip - 0.2 * gape - 0.095),
            (0.5 * half, y + dip - 0.2 * gape - 0.065),
            (half, corner),
        ]
        lower = [
            (half, corner),
            (0.55 * half, y + dip + 0.9 * gape + 0.09),
            (0, y + dip + gape + 0.12),
            (-0.55 * half, y + dip + 0.9 * gape + 0.09),
            (-half, corner),
        ]
        self._soft(_oval(0, y + dip + gape + 0.2, 0.26, 0.045), _darker(self.person.skin, 0.66), 0.03, 0.6)
        self._fill(np.vstack([_smooth_line(np.array(upper)), _smooth_line(np.array(lower))]), self.person.lips)
        self._soft(_oval(0, y + dip + gape + 0.055, 0.15, 0.022), _lighter(self.person.lips, 0.4), 0.015, 0.5)
        inside = np.vstack([_smooth_line(np.array(upper_in)), _smooth_line(np.array(lower_in))])
        if gape > 0.02:
            self._fill(inside, (36, 26, 62))
            mask = np.zeros_like(self._opacity)
            cv2.fillPoly(mask, [self._pixels(inside)], (255,), cv2.LINE_AA, _SHIFT)
            within = self._image.copy()
            teeth = min(0.07, 0.6 * gape) * (1 - 0.7 * mien.round)
            top = [(px, py - 0.02) for px, py in upper_in]
            self._fill(np.array(top + [(px * 0.94, py + teeth) for px, py in upper_in[::-1]]), (232, 238, 242), onto=within)
            self._fill(_oval(0, y + dip + gape, 0.5 * half, 0.4 * gape), (92, 84, 168), onto=within)
            cv2.copyTo(within, mask, self._image)
        else:
            self._line(_smooth_line(np.array(upper_in)), _darker(self.person.lips, 0.42), 0.02)
        for side in (-1, 1):
            self._soft(_oval(half * side, corner, 0.05, 0.035), _darker(self.person.skin, 0.55), 0.018, 0.55)
            if mien.smile > 0.2:
                fold = np.array([(0.3 * side, 0.24), (0.47 * side, 0.38), (0.5 * side, 0.54)])
                self._line(_smooth_line(fold), _darker(self.person.skin, 0.8), 0.022 * mien.smile)

    # --- strokes

    def _pixels(self, points: Points, depth: float = 0.0, *, flat: bool = False) -> NDArray[np.int32]:
        """Points of the face as OpenCV takes them. A head is a ball that turns; ``depth`` lies before it, in half widths."""
        x, y = points[:, 0], points[:, 1]
        if not flat:
            across = np.clip(x, -1.3, 1.3)
            around = np.arcsin(np.clip(across / 1.35, -1, 1)) + self._turn * 0.9
            x = 1.35 * np.sin(around) + depth * math.sin(self._turn) - 0.5 * math.sin(self._turn)
        place = np.column_stack(
            [self.middle[0] + x * _WIDTH / 2 * self._height * 0.96, self.middle[1] + y * self._height / 2 * 0.94]
        )
        return np.round(place * (1 << _SHIFT)).astype(np.int32)

    def _fill(
        self, points: Points, color: Color, *, solid: bool = False, flat: bool = False, onto: NDArray[np.uint8] | None = None
    ) -> None:
        """Fill a polygon; ``solid`` makes it opaque."""
        place = [self._pixels(points, flat=flat)]
        cv2.fillPoly(self._image if onto is None else onto, place, color, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.fillPoly(self._opacity, place, (255,), cv2.LINE_AA, _SHIFT)

    def _line(self, points: Points, color: Color, width: float) -> None:
        pixels = max(1, round(width * self._height / 2))
        cv2.polylines(self._image, [self._pixels(points)], False, color, pixels, cv2.LINE_AA, _SHIFT)

    def _soft(self, points: Points, color: Color, blur: float, strength: float, depth: float = 0.0) -> None:
        """Fill a polygon with soft edges: ``blur`` in face heights, ``strength`` up to 1."""
        place = self._pixels(points, depth)
        sigma = max(0.4, blur * self._height)
        margin = math.ceil(3 * sigma)
        low = np.maximum((place.min(0) >> _SHIFT) - margin, 0)
        high = np.minimum((place.max(0) >> _SHIFT) + margin + 1, self._opacity.shape[::-1])
        if (high <= low).any():
            return
        part = self._image[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(part.shape[:2], np.uint8)
        cv2.fillPoly(mask, [place - (low << _SHIFT).astype(np.int32)], (255,), cv2.LINE_AA, _SHIFT)
        cover = cv2.stackBlur(mask, (2 * math.ceil(sigma) + 1,) * 2)
        left = cv2.cvtColor(cv2.bitwise_not(cv2.convertScaleAbs(cover, alpha=strength)), cv2.COLOR_GRAY2BGR)
        paint = cv2.merge([cv2.convertScaleAbs(cover, alpha=strength * value / 255) for value in color])
        part[:] = cv2.add(cv2.multiply(part, left, scale=1 / 255), paint)


def _oval(x: float, y: float, a: float, b: float) -> Points:
    angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    return np.column_stack([x + a * np.cos(angles), y + b * np.sin(angles)])


def _smooth(points: Sequence[tuple[float, float]]) -> Points:
    """A closed curve through the points (Catmull and Rom's spline)."""
    array = np.array(points, np.float64)
    return _spline(np.vstack([array[-1:], array, array[:2]]))


def _smooth_line(points: Points) -> Points:
    """An open curve through the points."""
    return np.vstack([_spline(np.vstack([points[:1], points, points[-1:]])), points[-1:]])


_STEPS = np.linspace(0, 1, 6, endpoint=False)[:, None]
_BASIS = (
    0.5
    * np.hstack([np.ones_like(_STEPS), _STEPS, _STEPS**2, _STEPS**3])
    @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], np.float64)
)
"""Weights of the four points around each step of a spline."""


def _spline(points: Points) -> Points:
    four = np.stack([points[i : len(points) - 3 + i] for i in range(4)])
    return np.asarray(np.einsum("sk,knd->nsd", _BASIS, four).reshape(-1, 2), np.float64)


def _darker(color: Color, factor: float) -> Color:
    return _mixed(color, (0, 0, 0), 1 - factor)


def _lighter(color: Color, amount: float) -> Color:
    return _mixed(color, (255, 255, 255), amount)


def _mixed(one: Color, other: Color, amount: float) -> Color:
    blue, green, red = (round(a + amount * (b - a)) for a, b in zip(one, other, strict=True))
    return blue, green, red
