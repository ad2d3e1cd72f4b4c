"""The stages on built-in inputs whose outputs are known: detectors, crop, classifiers and the backend they run on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.cli.checks.base import Finding
from ferengine.errors import ModelError
from ferengine.models.manifest import Manifest

_MTCNN_BOX = (91.9, 62.8, 135.4, 194.1)
_HAAR_BOX = (64.0, 61.0, 192.0, 192.0)
"""Where each finds the drawn face: x, y, w, h in pixels."""
_LEAST_IOU = 0.8
_LEAST_SCORE = 0.9
_EYE_TOLERANCE = 8.0
_LOGIT_TOLERANCE, _INT8_TOLERANCE = 0.05, 0.5
"""Of largest logits around 5: other orders of summation stay below 0.001, reduced precision below the first; int8 where its
sums saturate, without VNNI, below a quarter."""
_CROP_TOLERANCE = 0.51
"""Grey levels: the reference is not rounded."""


def check_backend() -> Finding:
    """What networks run on here, and why."""
    import onnxruntime

    from ferengine.classify.choose import BackendSettings, choose_backend, choose_form
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
    from ferengine.detect import create_detector
    from ferengine.track.matching import iou_matrix

    remedy = "reinstall ferengine and its requirements, and report this if it stays"
    found = create_detector(name).detect(drawn_face())
    if len(found) != 1:
        return Finding(otherwise, f"{name} finds {len(found)} faces in a picture of one", remedy)
    iou = float(iou_matrix(found.boxes, np.array([expected], np.float32))[0, 0])
    if iou < _LEAST_IOU or found.scores[0] < _LEAST_SCORE:
        return Finding(otherwise, f"{name} finds the drawn face elsewhere: IoU {iou:.2f}, score {found.scores[0]:.2f}", remedy)
    if found.landmarks is not None:
        off = float(np.abs(found.landmarks[0, :2] - np.array(EYES)).max())
        if off > _EYE_TOLERANCE:
            return Finding(otherwise, f"{name} puts the drawn face's eyes {off:.0f} pixels beside them", remedy)
    return Finding("ok", f"{name} finds the drawn face (score {found.scores[0]:.3f}, IoU {iou:.2f} with the stored box)")


def check_crop() -> Finding:
    """The C++ crop against NumPy: large, small, turned and half outside."""
    from ferengine.cli.checks.drawn_face import drawn_face
    from ferengine.track.crop_reference import reference_crop
    from ferengine.track.cropper import FaceCropper

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


def check_models() -> Finding:
    """Every shipped model: its hash, and its logits on the built-in faces against those of its manifest."""
    from ferengine.classify.quantised import has_vnni
    from ferengine.models.registry import list_models

    told, problems, untested = [], [], []
    for manifest in list_models():
        int8 = manifest.precision == "int8"
        tolerance = _INT8_TOLERANCE if int8 else _LOGIT_TOLERANCE
        try:
            off = largest_difference(manifest)
        except ModelError as error:
            problems.append(str(error))
            continue
        if off is None:
            untested.append(manifest.name)
        elif off > tolerance or np.isnan(off):
            problems.append(f"{manifest.name} gives logits up to {off:.3g} off those of its manifest")
        else:
            unused = ": not used on this processor, it has no VNNI" if int8 and not has_vnni() else ""
            told.append(f"{manifest.name} (logits within {off:.1g}{unused})")
    if problems:
        return Finding("fail", "; ".join(problems), "reinstall ferengine and onnxruntime, and report this if it stays")
    if untested:
        return Finding("warn", f"no stored logits to compare with: {', '.join(untested)}; right: {', '.join(told) or 'none'}",
                       "export these models again: ferengine export-onnx")  # fmt: skip
    return Finding("ok", ", ".join(told))


def largest_difference(manifest: Manifest) -> float | None:
    """Of the logits that the model gives on the built-in faces from those that its manifest holds; ``None`` where it
    holds none. Raises ModelError for a model that does not load or gives another number of scores."""
    from ferengine.classify.backend import OrtBackend
    from ferengine.models.registry import load_model
    from ferengine.models.self_test import self_test_crops

    model = load_model(manifest.name)
    if manifest.self_test is None:
        return None
    crops: NDArray[np.float32] = self_test_crops(manifest.input.size)[:, None].astype(np.float32)
    logits = OrtBackend(model.onnx).run((crops - manifest.input.mean) / np.float32(manifest.input.std))
    stored = np.array(manifest.self_test, np.float32)
    if logits.shape != stored.shape:
        raise ModelError(f"{manifest.name} gives scores of shape {logits.shape}, its manifest holds {stored.shape}")
    return float(np.abs(logits - stored).max())
