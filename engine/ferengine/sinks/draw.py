"""Draws results onto frames: boxes, track ids, labels and the scores of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.results import UNCERTAIN, Expression, Face, FrameResult
from ferengine.vision import cv2

Image: TypeAlias = NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

_PALETTE: tuple[Color, ...] = (
    (76, 76, 235), (96, 174, 108), (199, 110, 158), (50, 190, 245), (224, 138, 60),
    (200, 200, 70), (190, 190, 190), (80, 140, 245), (170, 120, 245), (120, 220, 180),
)  # fmt: skip
"""BGR, by the index of the class in the model."""
_UNKNOWN: Color = (225, 225, 225)
_INK: Color = (24, 22, 20)
_PAPER: Color = (245, 245, 245)
_FAINT: Color = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SMALL = 0.82
"""Scale of small text."""
_MAX_BARS = 8
_MAX_NAME_LENGTH = 14


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes that grow with the frame: ``font`` scale, ``line`` and ``text_line`` thickness, ``row`` height,
    ``pad``."""

    font: float
    line: int
    text_line: int
    row: int
    pad: int

    @staticmethod
    def of(image: Image) -> _Style:
        height, width = image.shape[:2]
        font = 0.27 + min(height, width * 9 / 16) / 2250
        return _Style(
            font=font,
            line=max(1, round(2.4 * font)),
            text_line=max(1, round(1.9 * font)),
            row=round(29 * font),
            pad=max(2, round(9 * font)),
        )

    def text_size(self, text: str, scale: float = 1.0) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, scale * self.font, self.text_line)
        return width, height


def draw_faces(image: Image, result: FrameResult) -> None:
    """Draw a result onto its frame, in place.

    Each face gets its box, coloured by its smoothed label (with bold corners if it was detected in this frame), a tag with
    track and label (and in small text the smoothed gender, if it was read), and one bar per class of the smoothed scores. The
    camera, the number of the frame and its latency are in the corner. Everything is moved or cut to stay inside the frame.

    Args:
        image: BGR uint8 (H, W, 3).
        result: The result of this frame.
    """
    draw_still(image, result.faces)
    _draw_corner(image, result, _Style.of(image))


def draw_still(image: Image, faces: Iterable[Face]) -> None:
    """Draw faces onto a still image, in place, as ``draw_faces`` does.

    Args:
        image: BGR uint8 (H, W, 3).
        faces: The faces found in it.
    """
    style = _Style.of(image)
    for face in faces:
        box = _visible(face, image)
        if box is not None:
            _draw_face(image, face, box, style)


def _visible(face: Face, image: Image) -> Rectangle | None:
    """The face's box in whole pixels, or None if no part of it is in the frame."""
    x, y, w, h = face.box
    left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
    height, width = image.shape[:2]
    return (left, top, right, bottom) if left < width and top < height and right > 0 and bottom > 0 else None


def _draw_face(image: Image, face: Face, box: Rectangle, style: _Style) -> None:
    expression = face.expression
    color = _color(expression)
    _draw_box(image, box, color, face.origin == "detected", style)
    gender = "" if face.gender is None else face.gender.smoothed.label
    tag = _draw_tag(image, _tag_text(face), gender, box, color, style)
    if expression is not None:
        _draw_bars(image, expression.smoothed.scores, expression.smoothed.label, box, tag, style)


def _color(expression: Expression | None) -> Color:
    if expression is None or expression.smoothed.label == UNCERTAIN:
        return _UNKNOWN
    names = list(expression.smoothed.scores)
    return _PALETTE[names.index(expression.smoothed.label) % len(_PALETTE)]


def _tag_text(face: Face) -> str:
    parts = [] if face.track is None else [f"#{face.track}"]
    if face.expression is not None:
        smoothed = face.expression.smoothed
        parts.append(f"{smoothed.label} {100 * max(smoothed.scores.values()):.0f}%")
    elif face.reason is not None:
        parts.append(face.reason)
    return " ".join(parts)


def _draw_box(image: Image, box: Rectangle, color: Color, detected: bool, style: _Style) -> None:
    left, top, right, bottom = box
    cv2.rectangle(image, (left, top), (right, bottom), color, style.line, cv2.LINE_AA)
    if not detected:
        return
    arm = max(4, min(right - left, bottom - top) // 6)
    for x, to_x in ((left, arm), (right, -arm)):
        for y, to_y in ((top, arm), (bottom, -arm)):
            points = np.array([[x + to_x, y], [x, y], [x, y + to_y]], np.int32)
            cv2.polylines(image, [points], False, color, style.line + 2, cv2.LINE_AA)


def _draw_tag(image: Image, text: str, small: str, box: Rectangle, color: Color, style: _Style) -> Rectangle:
    """Draw a filled tag above the box, or inside its top if there is no room, and return its rectangle.

    It holds ``text`` and, behind it, ``small`` in smaller letters.
    """
    if not text and not small:
        return box[0], box[1], box[0], box[1]
    width, height = style.text_size(text)
    wide = width + 2 * style.pad + (style.text_size(small, _SMALL)[0] + style.pad if small else 0)
    tall = height + 2 * style.pad
    above = box[1] - style.line - tall
    area = _inside(image, box[0] - style.line, above if above >= 0 else box[1], wide, tall)
    cv2.rectangle(image, area[:2], (area[2] - 1, area[3] - 1), color, cv2.FILLED)
    left, baseline = area[0] + style.pad, area[3] - style.pad
    _write(image, text, (left, baseline), _INK, style)
    _write(image, small, (left + width + style.pad, baseline), _INK, style, _SMALL)
    return area


def _draw_bars(image: Image, scores: Mapping[str, float], label: str, box: Rectangle, tag: Rectangle, style: _Style) -> None:
    """Draw one bar per class on a darkened panel beside the box: to its right, else left, else over its border.

    Of many classes the best ``_MAX_BARS`` are shown.
    """
    names = list(scores)
    shown = names if len(names) <= _MAX_BARS else sorted(names, key=lambda name: -scores[name])[:_MAX_BARS]
    name_width = max(style.text_size(_short(name), _SMALL)[0] for name in shown)
    bar_width = round(2.6 * style.row)
    width = name_width + bar_width + 3 * style.pad
    gap = style.line + style.pad
    right_of, left_of = box[2] + gap, min(box[0], tag[0]) - gap - width
    frame_width = image.shape[1]
    left = right_of if right_of + width <= frame_width or left_of < 0 else left_of
    top = box[1] if left >= tag[2] or left + width <= tag[0] else max(box[1], tag[3])
    area = _inside(image, left, top, width, len(shown) * style.row + 2 * style.pad)
    panel = image[area[1] : area[3], area[0] : area[2]]
    cv2.convertScaleAbs(panel, panel, 0.38)
    bar_left = area[0] + name_width + 2 * style.pad
    for number, name in enumerate(shown):
        middle = area[1] + style.pad + number * style.row + style.row // 2
        best = name == label
        baseline = middle + style.text_size(name, _SMALL)[1] // 2
        _write(image, _short(name), (area[0] + style.pad, baseline), _PAPER if best else _FAINT, style, _SMALL)
        thick = max(2, round(0.22 * style.row))
        _bar(image, bar_left, middle, bar_width, thick, (70, 66, 62))
        color = _PALETTE[names.index(name) % len(_PALETTE)]
        _bar(image, bar_left, middle, round(bar_width * min(1.0, max(0.0, scores[name]))), thick, color)


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 2] + ".."


def _bar(image: Image, left: int, middle: int, length: int, thick: int, color: Color) -> None:
    if length > 0:
        cv2.rectangle(image, (left, middle - thick), (left + length - 1, middle + thick), color, cv2.FILLED)


def _draw_corner(image: Image, result: FrameResult, style: _Style) -> None:
    text = f"{result.camera}  frame {result.frame}  {result.latency_ms:.0f} ms"
    width, height = style.text_size(text)
    frame_height = image.shape[0]
    tall = height + 2 * style.pad
    area = _inside(image, style.pad, frame_height - style.pad - tall, width + 2 * style.pad, tall)
    panel = image[area[1] : area[3], area[0] : area[2]]
    cv2.convertScaleAbs(panel, panel, 0.38)
    _write(image, text, (area[0] + style.pad, area[3] - style.pad), _PAPER, style)


def _write(image: Image, text: str, at: tuple[int, int], color: Color, style: _Style, scale: float = 1.0) -> None:
    cv2.putText(image, text, at, _FONT, scale * style.font, color, style.text_line, cv2.LINE_AA)


def _inside(image: Image, left: int, top: int, width: int, height: int) -> Rectangle:
    """The rectangle moved into the frame, and cut if it is larger than the frame."""
    frame_height, frame_width = image.shape[:2]
    left = max(0, min(left, frame_width - width))
    top = max(0, min(top, frame_height - height))
    return left, top, min(frame_width, left + width), min(frame_height, top + height)
