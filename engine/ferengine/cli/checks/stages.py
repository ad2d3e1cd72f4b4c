"""Detectors and crop on built-in inputs whose outputs are known, and the backend that networks run on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.cli.checks.base import Finding
from ferengine.pip_hint import pip_install

_MTCNN_BOX = (91.9, 62.8, 135.4, 194.1)
_HAAR_BOX = (64.0, 61.0, 192.0, 192.0)
"""Where each finds the drawn face: x, y, w, h in pixels."""
_MIN_IOU = 0.8
_MIN_SCORE = 0.9
_EYE_TOLERANCE = 8.0
_CROP_TOLERANCE = 1.0
"""Of intensities from 0 to 255: each pixel of the image is rounded when it turns grey, and so is each of the crop."""


def check_backend() -> Finding:
    """What networks run on here, and why."""
    from ferengine.inference.onnxruntime import VERSION, available_providers
    from ferengine.inference.select import choose_backend, choose_variant
    from ferengine.models.registry import DEFAULT, load_model
    from ferengine.models.settings import BackendSettings

    if not available_providers()["ort"]:  # a GPU backend needs it too, to go on when the GPU fails
        return Finding("fail", f"ONNX Runtime {VERSION} has no CPU provider", pip_install("--force-reinstall", "onnxruntime"))
    name, reason = choose_backend("auto")
    variant = choose_variant(load_model(DEFAULT), BackendSettings()).manifest.name
    return Finding("ok", f"--backend auto takes {name}, for {variant}: {reason} (ONNX Runtime {VERSION})")


def check_mtcnn() -> Finding:
    """MTCNN on the drawn face: its box, its score and the eyes where they were drawn."""
    return _check_detector("mtcnn", _MTCNN_BOX, "fail")


def check_haar() -> Finding:
    """The Haar cascade on the drawn face; a run does without it."""
    return _check_detector("haar", _HAAR_BOX, "warn")


def _check_detector(
    name: Literal["mtcnn", "haar"], expected: tuple[float, float, float, float], otherwise: Literal["warn", "fail"]
) -> Finding:
    from ferengine.cli.checks.drawn_face import EYES, drawn_face
    from ferengine.detection import create_detector
    from ferengine.tracking.matching import iou_matrix

    hint = "reinstall ferengine and its requirements, and report this if it stays"
    found = create_detector(name).detect(drawn_face())
    if len(found) != 1:
        return Finding(otherwise, f"{name} finds {len(found)} faces in an image of one", hint)
    iou = float(iou_matrix(found.boxes, np.array([expected], np.float32))[0, 0])
    if iou < _MIN_IOU or found.scores[0] < _MIN_SCORE:
        return Finding(otherwise, f"{name} finds the drawn face elsewhere: IoU {iou:.2f}, score {found.scores[0]:.2f}", hint)
    if found.landmarks is not None:
        off = float(np.abs(found.landmarks[0, :2] - np.array(EYES)).max())
        if off > _EYE_TOLERANCE:
            return Finding(otherwise, f"{name} puts the drawn face's eyes {off:.0f} pixels beside them", hint)
    return Finding("ok", f"{name} finds the drawn face (score {found.scores[0]:.3f}, IoU {iou:.2f} with the stored box)")


def check_crop() -> Finding:
    """The C++ crop of an image whose intensities rise evenly: upright, small, rotated and half outside.

    Any mean over an area of such an image is the intensity in the middle of the area.
    """
    from ferengine.tracking.cropper import FaceCropper

    squares = np.array([[128, 128, 187.3, 0], [101.7, 150.2, 96, 0], [0, 128, 96, 0], [120, 110, 30, 0], [128, 131, 133, 0.31]],
                       np.float32)  # fmt: skip
    crops = FaceCropper(_CROP_SIZE).crop(_ramp(), squares)
    off = max(float(np.abs(crop - _expected_crop(square)).max()) for crop, square in zip(crops, squares, strict=True))
    if off > _CROP_TOLERANCE:
        return Finding("fail", f"the C++ crop has intensities that are up to {off:.1f} of 255 off",
                       "build ferengine again on this machine: pip install --force-reinstall --no-cache-dir .")  # fmt: skip
    return Finding("ok", f"the C++ crop has the right intensities, within {off:.2f} of 255")


_CROP_SIZE, _RAMP_SIDE, _RAMP_RED = 48, 256, 90
_WEIGHTS = np.array([0.114, 0.587, 0.299])
"""Of blue, green and red in grey: ITU-R BT.601."""


def _ramp() -> NDArray[np.uint8]:
    """BGR uint8 (256, 256, 3): blue rises by 1 with each column, green with each row."""
    image = np.full((_RAMP_SIDE, _RAMP_SIDE, 3), _RAMP_RED, np.uint8)
    image[..., 0], image[..., 1] = np.arange(_RAMP_SIDE), np.arange(_RAMP_SIDE)[:, None]
    return image


def _expected_crop(square: NDArray[np.float32]) -> NDArray[np.float64]:
    """The intensities that the crop of a square (cx, cy, side, angle) of ``_ramp`` has, float64 (48, 48)."""
    cx, cy, side, angle = square.astype(np.float64)
    along = ((np.arange(_CROP_SIZE) + 0.5) / _CROP_SIZE - 0.5) * side
    u, v = along[None, :], along[:, None]
    blue = cx + u * np.cos(angle) - v * np.sin(angle) - 0.5  # a pixel's middle lies half a pixel from its edge
    green = cy + u * np.sin(angle) + v * np.cos(angle) - 0.5
    color = np.stack([blue, green, np.full_like(blue, _RAMP_RED)], axis=-1)
    expected: NDArray[np.float64] = np.clip(color, 0, _RAMP_SIDE - 1) @ _WEIGHTS
    return expected
