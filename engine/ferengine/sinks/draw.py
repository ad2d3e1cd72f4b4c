"""Draws results onto frames: boxes, track ids, labels and the scores of each class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ferengine.classification.pose import rotation
from ferengine.errors import UsageError, name_hint
from ferengine.frames import AnyImage, drawable_image
from ferengine.results import REASON_WORDS, UNCERTAIN, DrawExtra, Expression, Face, FrameResult, Pose
from ferengine.sinks.layout import Rectangle, Taken, line_places, moved_inside, panel_places, tag_places
from ferengine.sinks.lettering import Color, Image, baseline, blend, rounded_mask, text_mask
from ferengine.vision import cv2

_PALETTE: tuple[Color, ...] = (
    (76, 76, 235), (96, 174, 108), (199, 110, 158), (50, 190, 245), (224, 138, 60),
    (200, 200, 70), (190, 190, 190), (80, 140, 245), (170, 120, 245), (120, 220, 180),
)  # fmt: skip
"""BGR, by the index of the class in the model."""
_UNKNOWN: Color = (225, 225, 225)
_INK: Color = (24, 22, 20)
_PAPER: Color = (245, 245, 245)
_FAINT: Color = (176, 172, 168)
_TROUGH: Color = (78, 74, 70)
_AXES: tuple[Color, Color, Color] = ((80, 80, 240), (110, 200, 90), (240, 150, 60))
"""To the face's right as the viewer sees it, to its chin, and where it looks."""
_SHADE = 0.66
"""Opacity of what lies under bars and captions."""
_MAX_BARS = 8
_MAX_NAME_LENGTH = 14


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes in pixels that grow with the frame: ``text`` and ``small`` are heights of capitals, ``row`` is the height of a
    bar with its name."""

    text: int
    small: int
    line: int
    row: int
    pad: int

    @staticmethod
    def of(image: Image) -> _Style:
        height, width = image.shape[:2]
        unit = 5.5 + min(height, width * 9 / 16) / 105
        return _Style(
            text=max(6, round(unit)),
            small=max(5, round(0.84 * unit)),
            line=max(1, round(0.115 * unit)),
            row=max(9, round(1.62 * unit)),
            pad=max(3, round(0.6 * unit)),
        )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A face in sight, with its box in whole pixels."""

    face: Face
    box: Rectangle

    @property
    def color(self) -> Color:
        return _color(self.face.expression)


def draw_faces(image: AnyImage, result: FrameResult, extras: Collection[DrawExtra] = ()) -> None:
    """Draw a result onto its frame, in place.

    Each face gets its box, coloured by its smoothed label (with bold corners if it was detected in this frame), a tag with
    track and label (if it is uncertain with the reason, and in small text the smoothed gender, if it was read), and one bar per
    class of the smoothed scores. The camera, the number of the frame and its latency are in the corner. Everything is moved or
    cut to stay inside the frame. Tags and bars never cover another face: where there is no room, tags are shortened, and what
    still finds none is left out.

    Args:
        image: BGR uint8 (H, W, 3).
        result: The result of this frame.
        extras: What else to draw: "landmarks" (in the frames in which the face was detected), "pose" (three axes), "heads" (a
            line for each further head of the model).

    Raises:
        UsageError: The image is another array, or read-only, or a view whose pixels do not lie side by side, or there is no
            such extra.
    """
    drawn = _packed(drawable_image(image))
    _draw_still(drawn, result.faces, extras)
    _draw_corner(drawn, result, _Style.of(drawn))


def draw_still(image: AnyImage, faces: Iterable[Face], extras: Collection[DrawExtra] = ()) -> None:
    """Draw faces onto a still image, in place, as ``draw_faces`` does.

    Args:
        image: BGR uint8 (H, W, 3).
        faces: The faces found in it.
        extras: What else to draw: "landmarks", "pose", "heads".

    Raises:
        UsageError: As ``draw_faces``.
    """
    _draw_still(_packed(drawable_image(image)), faces, extras)


def _packed(image: Image) -> Image:
    """The image, which OpenCV can draw on in place: it takes no pixels apart, in another order or overlapping."""
    height, width = image.shape[:2]
    if image.strides[1:] != (3, 1) or (height > 1 and image.strides[0] < 3 * width):
        raise UsageError("the image's pixels must lie side by side: draw on a copy (np.ascontiguousarray(image))")
    return image


def _draw_still(image: Image, faces: Iterable[Face], extras: Collection[DrawExtra]) -> None:
    asked: Collection[str] = [extras] if isinstance(extras, str) else extras
    for extra in asked:
        if extra not in get_args(DrawExtra):
            raise UsageError(f"there is nothing called {extra!r} to draw: {name_hint(extra, get_args(DrawExtra))}")
    style = _Style.of(image)
    shown = [_Shown(face, box) for face in faces if (box := _visible(face, image)) is not None]
    for each in shown:
        _draw_box(image, each, style)
        if "landmarks" in asked:
            _draw_landmarks(image, each, style)
        if "pose" in asked and each.face.pose is not None:
            _draw_axes(image, each, each.face.pose, style)
    taken, (height, width) = Taken(), image.shape[:2]
    for number, each in enumerate(shown):
        left, top, right, bottom = each.box
        taken.add((max(0, left), max(0, top), min(width, right), min(height, bottom)), number)
    tags = [_draw_tag(image, each, number, taken, style) or each.box[:2] + each.box[:2] for number, each in enumerate(shown)]
    if "heads" in asked:
        for number, (each, tag) in enumerate(zip(shown, tags, strict=True)):
            _draw_heads(image, each, number, tag, taken, style)
    for number, (each, tag) in enumerate(zip(shown, tags, strict=True)):
        _draw_bars(image, each, number, tag, taken, style)


def _visible(face: Face, image: Image) -> Rectangle | None:
    """The face's box in whole pixels, or None if no part of it is in the frame."""
    x, y, w, h = face.box
    left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
    height, width = image.shape[:2]
    return (left, top, right, bottom) if left < width and top < height and right > 0 and bottom > 0 else None


def _color(expression: Expression | None) -> Color:
    if expression is None or expression.smoothed.label == UNCERTAIN:
        return _UNKNOWN
    names = list(expression.smoothed.scores)
    return _PALETTE[names.index(expression.smoothed.label) % len(_PALETTE)]


def _tag_texts(face: Face) -> list[tuple[str, str]]:
    """What a tag may say, the longest first; each with what follows in small letters."""
    track = [] if face.track is None else [f"#{face.track}"]
    name = more = ""
    if face.expression is not None:
        smoothed = face.expression.smoothed
        name, more = smoothed.label, f" {100 * smoothed.confidence:.0f}%"
        if face.expression.reason is not None:
            more = f": {REASON_WORDS[face.expression.reason]}"
    elif face.reason is not None:
        name = face.reason
    gender = "" if face.gender is None else face.gender.smoothed.label
    long, short = " ".join([*track, *filter(None, [name + more])]), " ".join([*track, *filter(None, [name])])
    texts = [(long, gender), (long, ""), (short, ""), (" ".join(track), "")]
    return [pair for pair in dict.fromkeys(texts) if any(pair)]


def _draw_box(image: Image, shown: _Shown, style: _Style) -> None:
    left, top, right, bottom = shown.box
    cv2.rectangle(image, (left, top), (right, bottom), shown.color, style.line, cv2.LINE_AA)
    if shown.face.origin != "detected":
        return
    arm = max(4, min(right - left, bottom - top) // 6)
    for x, to_x in ((left, arm), (right, -arm)):
        for y, to_y in ((top, arm), (bottom, -arm)):
            points = np.array([[x + to_x, y], [x, y], [x, y + to_y]], np.int32)
            cv2.polylines(image, [points], False, shown.color, style.line + 2, cv2.LINE_AA)


def _draw_landmarks(image: Image, shown: _Shown, style: _Style) -> None:
    for x, y in shown.face.landmarks or ():
        center = round(16 * x), round(16 * y)
        cv2.circle(image, center, 16 * (style.line + 3), _INK, cv2.FILLED, cv2.LINE_AA, 4)
        cv2.circle(image, center, 16 * (style.line + 2), _PAPER, cv2.FILLED, cv2.LINE_AA, 4)


def _draw_axes(image: Image, shown: _Shown, pose: Pose, style: _Style) -> None:
    left, top, right, bottom = shown.box
    x, y = (left + right) / 2, (top + bottom) / 2
    length = 0.35 * math.sqrt((right - left) * (bottom - top))
    ends = length * rotation(pose) @ np.diag([1.0, 1.0, -1.0])  # z is away from the viewer, and the face looks at him
    for axis, color in enumerate(_AXES):
        begin, end = (round(x), round(y)), (round(x + ends[0, axis]), round(y + ends[1, axis]))
        cv2.line(image, begin, end, color, style.line + 1, cv2.LINE_AA)


def _draw_tag(image: Image, shown: _Shown, number: int, taken: Taken, style: _Style) -> Rectangle | None:
    """Draw a filled tag with the longest text that finds room, and return its rectangle, which is taken then."""
    frame = image.shape[1], image.shape[0]
    for text, small in _tag_texts(shown.face):
        parts = [text_mask(text, style.text, bold=True)] if text else []
        parts += [text_mask(small, style.small)] if small else []
        width = sum(part.shape[1] for part in parts) + style.pad * (1 + len(parts))
        height = 2 * style.pad + style.text
        area = taken.first_free(tag_places(shown.box, width, height, style.line, frame), number)
        if area is None:
            continue
        taken.add(area)
        blend(image, rounded_mask(area[2] - area[0], area[3] - area[1], style.pad), area[0], area[1], shown.color)
        left, foot = area[0] + style.pad, area[1] + style.pad + style.text
        for part, size in zip(parts, [style.text, style.small] if text else [style.small], strict=False):
            blend(image, part, left, foot - baseline(size), _INK)
            left += part.shape[1] + style.pad
        return area
    return None


def _draw_heads(image: Image, shown: _Shown, number: int, tag: Rectangle, taken: Taken, style: _Style) -> None:
    """Draw a line for each further head on a shaded panel above the tag or below the face, if there is room."""
    lines = [text_mask(f"{name}: {reading.summary()}", style.small) for name, reading in shown.face.heads.items()]
    if not lines:
        return
    width = max(line.shape[1] for line in lines) + 2 * style.pad
    height = len(lines) * style.row + 2 * style.pad
    frame = image.shape[1], image.shape[0]
    area = taken.first_free(line_places(shown.box, tag, width, height, style.line, frame), number)
    if area is None:
        return
    taken.add(area)
    blend(image, rounded_mask(area[2] - area[0], area[3] - area[1], style.pad), area[0], area[1], _INK, _SHADE)
    for row, line in enumerate(lines):
        middle = area[1] + style.pad + row * style.row + style.row // 2
        blend(image, line, area[0] + style.pad, middle + style.small // 2 - baseline(style.small), _PAPER)


def _draw_bars(image: Image, shown: _Shown, number: int, tag: Rectangle, taken: Taken, style: _Style) -> None:
    """Draw one bar per class on a shaded panel beside the box, if there is room.

    Of many classes the best ``_MAX_BARS`` are shown.
    """
    if shown.face.expression is None:
        return
    smoothed = shown.face.expression.smoothed
    scores, names = smoothed.scores, list(smoothed.scores)
    drawn = names if len(names) <= _MAX_BARS else sorted(names, key=lambda name: -scores[name])[:_MAX_BARS]
    name_width = max(text_mask(_short(name), style.small).shape[1] for name in drawn)
    bar_width = round(2.6 * style.row)
    width, height = name_width + bar_width + 3 * style.pad, len(drawn) * style.row + 2 * style.pad
    gap = style.line + style.pad
    area = taken.first_free(panel_places(shown.box, tag, width, height, gap, (image.shape[1], image.shape[0])), number)
    if area is None:
        return
    taken.add(area)
    blend(image, rounded_mask(area[2] - area[0], area[3] - area[1], style.pad), area[0], area[1], _INK, _SHADE)
    bar_left, thick = area[0] + name_width + 2 * style.pad, max(2, round(0.2 * style.row))
    for row, name in enumerate(drawn):
        middle = area[1] + style.pad + row * style.row + style.row // 2
        top = middle + style.small // 2 - baseline(style.small)
        blend(
            image, text_mask(_short(name), style.small), area[0] + style.pad, top, _PAPER if name == smoothed.label else _FAINT
        )
        _bar(image, bar_left, middle, bar_width, thick, _TROUGH)
        color = _PALETTE[names.index(name) % len(_PALETTE)]
        _bar(image, bar_left, middle, round(bar_width * min(1.0, max(0.0, scores[name]))), thick, color)


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 2] + ".."


def _bar(image: Image, left: int, middle: int, length: int, thick: int, color: Color) -> None:
    if length > 0:
        cv2.rectangle(image, (left, middle - thick), (left + length - 1, middle + thick), color, cv2.FILLED)


def _draw_corner(image: Image, result: FrameResult, style: _Style) -> None:
    text = text_mask(f"{result.camera}  frame {result.frame}  {result.latency_ms:.0f} ms", style.small)
    height, width = image.shape[:2]
    across, down = text.shape[1] + 2 * style.pad, style.small + 2 * style.pad
    left, bottom = style.pad, height - style.pad
    area = moved_inside((left, bottom - down, left + across, bottom), width, height)
    blend(image, rounded_mask(area[2] - area[0], area[3] - area[1], style.pad), area[0], area[1], _INK, _SHADE)
    blend(image, text, area[0] + style.pad, area[3] - style.pad - baseline(style.small), _PAPER)
