"""Crop, resize and normalise a face, in C++ and as a loop over cv2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ferengine._native import crop_faces
from ferengine.vision import cv2
from ferengine_tools.bench.record import OWN, Metric
from ferengine_tools.bench.scenes import circling
from ferengine_tools.bench.timing import timing

_SIDE, _FACE = 48, 144


def metrics(seconds: float) -> Iterator[Metric]:
    """Microseconds a face of 144 pixels."""
    [frame, *_], (x, y, w, h) = circling(_FACE)
    squares = np.array([[x + w / 2, y + h / 2, w, 0]], np.float32)
    out = np.empty((1, _SIDE, _SIDE), np.float32)
    left, top = int(x), int(y)

    def loop(method: int) -> None:
        small = cv2.resize(frame[top : top + _FACE, left : left + _FACE], (_SIDE, _SIDE), interpolation=method)
        gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        out[0] = (gray.astype(np.float32) - 129.5) / 65.0

    ways = {
        OWN: lambda: crop_faces(frame, squares, out, 129.5, 65.0),
        "cv2, area": lambda: loop(cv2.INTER_AREA),
        "cv2, bilinear": lambda: loop(cv2.INTER_LINEAR),
    }
    for way, work in ways.items():
        taken = timing(work, seconds=seconds)
        yield Metric("crop", f"{_FACE} px face", way, 1e6 * taken.seconds, "us", taken.spread)
