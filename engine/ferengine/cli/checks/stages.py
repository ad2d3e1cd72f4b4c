"""Detectors and crop on built-in inputs whose outputs are known, and the backend that networks run on."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ferengine.cli.checks.base import Finding

_MTCNN_BOX = (91.9, 62.8, 135.4, 194.1)
_HAAR_BOX = (64.0, 61.0, 192.0, 192.0)
"""Where each finds the drawn face: x, y, w, h in pixels."""
_MIN_IOU = 0.8
_MIN_SCORE = 0.9
_EYE_TOLERANCE = 8.0
_CROP_TOLERANCE = 0.51
"""Grey levels: the reference is not rounded."""


def check_backend() -> Finding:
    """What networks run on here, and why."""
    import onnxruntime

    from ferengine.inference.select import BackendSettings, choose_backend, choose_form
    from ferengine.models.registry import DEFAULT, load_model

    offered = onnxruntime.get_available_providers()
    if "CPUExecutionProvider" not in offered:  # a GPU backend needs it too, to go on when the GPU fails
        return Finding("fail", f"ONNX Runtime {onnxruntime.__version__} has no CPU provider, only {', '.join(offered)}",
                       "pip install --force-reinstall onnxruntime")  # fmt: skip
    name, reason = choose_backend("auto")
    form = choose_form(load_model(DEFAULT), BackendSettings()).manifest.name
    return Finding("ok", f"--backend auto takes {name}, for {form}: {reason} (ONNX Runtime {onnxruntime.__version__})")


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
    """The C++ crop against NumPy: large, small, turned and half outside."""
    from ferengine.cli.checks.drawn_face import drawn_face
    from ferengine.tracking.crop_reference import reference_crop
    from ferengine.tracking.cropper import FaceCropper

    frame = drawn_face()
    squares = np.array(
        [[160, 160, 187.3, 0], [161.7, 150.2, 96, 0], [300, 20, 120, 0], [160, 150, 30, 0], [158, 151, 133, 0.31]], np.float32
    )
    crops = FaceCropper(48).crop(frame, squares)
    references = np.stack([reference_crop(frame, square, 48) for square in squares])
    off = float(np.abs(crops - references).max())
    if off > _CROP_TOLERANCE:
        return Finding("fail", f"the C++ crop is up to {off:.1f} grey levels off its reference",
                       "build ferengine again on this machine: pip install --force-reinstall --no-cache-dir .")  # fmt: skip
    return Finding("ok", f"the C++ crop is within {off:.2f} grey levels of its reference")
