"""MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23(10), 2016: P-Net over an image pyramid proposes, R-Net refines, O-Net decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ferengine.detect.base import Detections
from ferengine.detect.boxes import Boxes, decode_proposals, non_maximum_suppression, regress, square
from ferengine.detect.mtcnn_weights import mtcnn_networks
from ferengine.errors import UsageError
from ferengine.vision import cv2

CELL = 12
"""P-Net's window, pixels."""

_LEVEL_CANDIDATES = 2000
"""Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade."""


class MtcnnDetector:
    """Faces with five landmarks, by the three networks of MTCNN in ONNX Runtime.

    ``min_face``: smallest face, pixels (at least 12). ``thresholds``: of P-, R- and O-Net, each in [0, 1).
    ``factor``: step between pyramid levels, in (0.2, 0.96). ``max_candidates``: boxes that go on from P-Net to R-Net and
    from R-Net to O-Net, best first. ``threads``: of each inference session. Raises UsageError for other values.
    """

    def __init__(
        self,
        min_face: float = 40.0,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        max_candidates: int = 400,
        threads: int = 1,
    ) -> None:
        if not (math.isfinite(min_face) and min_face >= CELL):
            raise UsageError(f"min_face must be at least {CELL} pixels, not {min_face}")
        if len(thresholds) != 3 or not all(0 <= value < 1 for value in thresholds):
            raise UsageError(f"thresholds must be three numbers in [0, 1), not {tuple(thresholds)}")
        if not 0.2 < factor < 0.96:
            raise UsageError(f"the pyramid factor must lie between 0.2 and 0.96, not {factor}")
        if max_candidates < 1:
            raise UsageError(f"max_candidates must be at least 1, not {max_candidates}")
        self._min_face = min_face
        self._thresholds = tuple(thresholds)
        self._factor = factor
        self._most = max_candidates
        networks = mtcnn_networks()
        self._pnet, self._rnet, self._onet = (_session(networks[name], threads) for name in ("pnet", "rnet", "onet"))

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3); rows may be padded. Raises UsageError for another array."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UsageError(f"a frame is a BGR uint8 array of shape (H, W, 3), not {frame.dtype} {frame.shape}")
        boxes = self._propose(frame)
        boxes = self._refine(frame, boxes)
        return self._decide(frame, boxes)

    def _propose(self, frame: NDArray[np.uint8]) -> Boxes:
        found, scores = [], []
        for scale, level in pyramid(frame, self._min_face, self._factor):
            probabilities, offsets = self._pnet.run(["probabilities", "offsets"], {"input": _normalise(level[None])})
            boxes, level_scores = decode_proposals(probabilities[0, 0], offsets[0], self._thresholds[0], scale)
            best = np.argsort(-level_scores, kind="stable")[:_LEVEL_CANDIDATES]
            boxes, level_scores = boxes[best], level_scores[best]
            keep = non_maximum_suppression(boxes, level_scores, 0.5)
            found.append(boxes[keep])
            scores.append(level_scores[keep])
        if not found:
            return np.empty((0, 4), np.float32)
        boxes, all_scores = np.concatenate(found), np.concatenate(scores)
        return square(boxes[non_maximum_suppression(boxes, all_scores, 0.7)[: self._most]])

    def _refine(self, frame: NDArray[np.uint8], boxes: Boxes) -> Boxes:
        if not len(boxes):
            return boxes
        probabilities, offsets = self._rnet.run(["probabilities", "offsets"], {"input": _crops(frame, boxes, 24)})
        sure = probabilities > self._thresholds[1]
        boxes, scores = regress(boxes[sure], offsets[sure]), probabilities[sure]
        return square(boxes[non_maximum_suppression(boxes, scores, 0.7)[: self._most]])

    def _decide(self, frame: NDArray[np.uint8], boxes: Boxes) -> Detections:
        if not len(boxes):
            return Detections.none()
        names = ["probabilities", "offsets", "landmarks"]
        probabilities, offsets, points = self._onet.run(names, {"input": _crops(frame, boxes, 48)})
        sure = probabilities > self._thresholds[2]
        windows, scores = boxes[sure], probabilities[sure]
        size = windows[:, None, 2:] - windows[:, None, :2] + 1
        landmarks = windows[:, None, :2] + points[sure].reshape(-1, 2, 5).transpose(0, 2, 1) * size - 1
        boxes = regress(windows, offsets[sure])
        keep = non_maximum_suppression(boxes, scores, 0.7, "min")
        corners = boxes[keep]
        return Detections(
            np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
            scores[keep],
            np.ascontiguousarray(landmarks[keep], np.float32),
        )


def pyramid(frame: NDArray[np.uint8], min_face: float, factor: float) -> list[tuple[float, NDArray[np.uint8]]]:
    """(scale, picture) of each level: the first shows faces of ``min_face`` pixels 12 pixels wide, each further one is
    ``factor`` times the last, until a side falls below 12 pixels. Each is the area average of the frame itself: made
    from level to level they take a sixth of the time, but 2 points of recall are lost."""
    height, width = frame.shape[:2]
    levels = []
    scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        size = (int(width * scale + 1), int(height * scale + 1))
        levels.append((scale, np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)))
        scale *= factor
    return levels


def _normalise(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR uint8 (n, H, W, 3) -> RGB float32 (n, 3, H, W), (level - 127.5) / 128."""
    planar = pictures[..., ::-1].transpose(0, 3, 1, 2)
    return np.ascontiguousarray((planar.astype(np.float32) - 127.5) * (1 / 128))


def _crops(frame: NDArray[np.uint8], boxes: Boxes, size: int) -> NDArray[np.float32]:
    """The boxes of ``frame``, area-resized to ``size``, beyond the frame filled with what is 0 to the networks."""
    height, width = frame.shape[:2]
    crops = np.full((len(boxes), size, size, 3), 127, np.uint8)
    corners = np.rint(boxes).astype(int)
    for crop, (x1, y1, x2, y2) in zip(crops, corners, strict=True):
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, width), min(y2 + 1, height)
        if right <= left or bottom <= top:
            continue
        part = frame[top:bottom, left:right]
        if (left, top, right, bottom) != (x1, y1, x2 + 1, y2 + 1):
            whole = np.full((y2 + 1 - y1, x2 + 1 - x1, 3), 127, np.uint8)
            whole[top - y1 : bottom - y1, left - x1 : right - x1] = part
            part = whole
        cv2.resize(part, (size, size), dst=crop, interpolation=cv2.INTER_AREA)
    return _normalise(crops)


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
