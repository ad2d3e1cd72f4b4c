"""Anti-aliased text and panels for drawing onto images.

OpenCV's only fonts are Hershey's strokes, which look thin and ragged as it draws them at small sizes. Drawn larger with round
strokes, spaced by the ink of each letter and scaled down they make an even, rounded face.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2

Image: TypeAlias = NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]
"""BGR."""

_SUPERSAMPLING = 6
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_CAPITAL = 21.0
"""Pixels of a capital at scale 1."""
_DESCENT = 0.55
"""Of the height of a capital: how far letters reach below the line (g, y, and the stroke itself)."""
_ASCENT = 1.4
"""How far they reach above it, brackets included."""
_STROKE = 0.13
_STROKE_BOLD = 0.16
_SPACING = 0.22
_BLANK = 0.55


@lru_cache(maxsize=1024)
def text_mask(text: str, size: int, bold: bool = False) -> Image:
    """The coverage of each pixel by a line of text.

    Args:
        text: Accents are left out, as the font has none, and a character that it lacks is "?".
        size: Height of a capital in pixels.
        bold: Whether the strokes are heavier.

    Returns:
        uint8 (H, W), 0 to 255; do not write to it. The line on which letters stand is ``baseline(size)`` below its top.
    """
    words, left = [], 0.0
    for number, word in enumerate(_plain(text).split(" ")):
        left += _BLANK * size if number else 0
        if word:
            ink = _word(word, size, bold)
            words.append((round(left), ink))
            left += ink.shape[1] + _SPACING * size
    line = np.zeros((_height(size), words[-1][0] + words[-1][1].shape[1] if words else max(1, round(left))), np.uint8)
    for at, ink in words:
        line[:, at : at + ink.shape[1]] = ink
    line.flags.writeable = False
    return line


def baseline(size: int) -> int:
    """Pixels from the top of a ``text_mask`` to the line on which its letters stand."""
    return round(_ASCENT * size)


def _height(size: int) -> int:
    return baseline(size) + max(1, round(_DESCENT * size))


@lru_cache(maxsize=4096)
def _word(word: str, size: int, bold: bool) -> Image:
    """One word as wide as its ink: where there are many faces, it is words that come again, not lines."""
    unit = size * _SUPERSAMPLING
    letters, left = [], 0
    for letter in word:
        ink = _letter(letter, size, bold)
        letters.append((left, ink))
        left += ink.shape[1] + round(_SPACING * unit)
    width, height = -(-(left - round(_SPACING * unit)) // _SUPERSAMPLING), _height(size)
    line = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    for at, ink in letters:
        place = line[:, at : at + ink.shape[1]]
        np.maximum(place, ink[:, : place.shape[1]], out=place)
    return np.asarray(cv2.resize(line, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@lru_cache(maxsize=1024)
def _letter(letter: str, size: int, bold: bool) -> Image:
    """One letter, supersampled, as wide as its ink."""
    unit = size * _SUPERSAMPLING
    scale, thickness = unit / _FONT_CAPITAL, max(1, round((_STROKE_BOLD if bold else _STROKE) * unit))
    (width, _), _ = cv2.getTextSize(letter, _FONT, scale, thickness)
    image = np.zeros((_height(size) * _SUPERSAMPLING, width + 2 * thickness), np.uint8)
    cv2.putText(image, letter, (thickness, baseline(size) * _SUPERSAMPLING), _FONT, scale, 255, thickness, cv2.LINE_AA)
    inked = np.flatnonzero(image.any(axis=0))
    return image[:, inked[0] : inked[-1] + 1]


def _plain(text: str) -> str:
    """The text in the letters of the font: one "?" for each character that it lacks; invisible marks are left out."""
    return "".join(map(_plain_letter, text))


@lru_cache(maxsize=1024)
def _plain_letter(letter: str) -> str:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return ""
    letters = "".join(each for each in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(each))
    return letters if letters and all(" " <= each <= "~" for each in letters) else "?"


@lru_cache(maxsize=512)
def rounded_mask(width: int, height: int, radius: int) -> Image:
    """The coverage by a rectangle with round corners, uint8 (height, width); do not write to it."""
    radius = min(radius, width // 2, height // 2)
    mask = np.full((height, width), 255, np.uint8)
    steps = radius - 0.5 - np.arange(radius)
    corner = np.clip(radius + 0.5 - np.hypot(steps[:, None], steps), 0, 1) * 255
    mask[:radius, :radius] = corner
    mask[:radius, width - radius :] = corner[:, ::-1]
    mask[height - radius :, :radius] = corner[::-1]
    mask[height - radius :, width - radius :] = corner[::-1, ::-1]
    mask.flags.writeable = False
    return mask


def blend(image: Image, mask: Image, left: int, top: int, color: Color, opacity: float = 1.0) -> None:
    """Lay a colour over an image where a mask covers it, in place; what is outside of the image is left out."""
    height, width = image.shape[:2]
    x, y = max(0, left), max(0, top)
    right, bottom = min(width, left + mask.shape[1]), min(height, top + mask.shape[0])
    if x >= right or y >= bottom:
        return
    under = image[y:bottom, x:right]
    cover = cv2.cvtColor(mask[y - top : bottom - top, x - left : right - left], cv2.COLOR_GRAY2BGR)
    if opacity < 1:
        cover = cv2.convertScaleAbs(cover, alpha=opacity)
    cv2.multiply(under, cv2.bitwise_not(cover), under, scale=1 / 255)
    cv2.add(under, cv2.LUT(cover, _ramp(color)), under)


@lru_cache(maxsize=64)
def _ramp(color: Color) -> Image:
    """The colour at each coverage, uint8 (1, 256, 3)."""
    return np.asarray(np.rint(np.arange(256)[None, :, None] * np.array(color) / 255), np.uint8)
