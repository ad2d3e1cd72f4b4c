"""MTCNN in plain Python over cv2 and ONNX Runtime: what the engine's own, in C++, is tested and measured against.

The steps between the networks are those of ``ferengine.detection.mtcnn``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.frames import readable_frame
from oracles.plain_mtcnn.boxes import (
    Boxes,
    corners_to_xywh,
    decode_proposals,
    non_maximum_suppression,
    place_landmarks,
    regress,
    square,
)
from oracles.plain_mtcnn.sampling import crops, normalise, pyramid

_LEVEL_OVERLAP, _WINDOW_OVERLAP, _OVERLAP = 0.5, 0.6, 0.7
"""Overlap above which the weaker box is dropped: within a pyramid level, and at every later step."""

_LEVEL_CANDIDATES = 2000
"""Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade."""


class PlainMtcnn:
    """The same faces, up to rounding, as ``ferengine.detection.mtcnn.MtcnnDetector`` with the same arguments."""

    def __init__(
        self,
        min_face: float = 40.0,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        max_candidates: int = 400,
    ) -> None:
        self._min_face = min_face
        self._thresholds = tuple(thresholds)
        self._factor = factor
        self._max_candidates = max_candidates
        networks = mtcnn_networks()
        self.pnet = _session(networks["pnet"])
        self.rnet = _session(networks["rnet"])
        self.onet = _session(networks["onet"])

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3)."""
        frame = readable_frame(frame)
        proposals = self.propose(frame)
        if not len(proposals):
            return Detections.none()
        refined = self._refine(frame, proposals)
        if not len(refined):
            return Detections.none()
        return self._decide(frame, refined)

    def propose(self, frame: NDArray[np.uint8]) -> Boxes:
        windows, boxes, scores = [np.empty((0, 4), np.float32)], [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        for scale, level in pyramid(frame, self._min_face, self._factor):
            probabilities, offsets = self.pnet.run(["probabilities", "boxes"], {"input": normalise(level[None])})
            seen, moved, level_scores = decode_proposals(probabilities[0, 0], offsets[0], self._thresholds[0], scale)
            best = np.argsort(-level_scores, kind="stable")[:_LEVEL_CANDIDATES]
            keep = best[non_maximum_suppression(seen[best], level_scores[best], _LEVEL_OVERLAP)]
            windows.append(seen[keep])
            boxes.append(moved[keep])
            scores.append(level_scores[keep])
        return self._squares(np.concatenate(windows), np.concatenate(boxes), np.concatenate(scores), _WINDOW_OVERLAP)

    def _refine(self, frame: NDArray[np.uint8], boxes: Boxes) -> Boxes:
        images = normalise(crops(frame, boxes, 24))
        probabilities, offsets = self.rnet.run(["probabilities", "boxes"], {"input": images})
        face = probabilities > self._thresholds[1]
        moved = regress(boxes[face], offsets[face])
        return self._squares(moved, moved, probabilities[face], _OVERLAP)

    def _squares(self, windows: Boxes, boxes: Boxes, scores: NDArray[np.float32], overlap: float) -> Boxes:
        """What the next network looks at: the best boxes whose windows overlap little, best first."""
        keep = non_maximum_suppression(windows, scores, overlap)[: self._max_candidates]
        return square(boxes[keep])

    def _decide(self, frame: NDArray[np.uint8], boxes: Boxes) -> Detections:
        images = normalise(crops(frame, boxes, 48))
        probabilities, offsets, points = self.onet.run(["probabilities", "boxes", "landmarks"], {"input": images})
        face = probabilities > self._thresholds[2]
        boxes, scores = boxes[face], probabilities[face]
        landmarks = place_landmarks(boxes, points[face])
        boxes = regress(boxes, offsets[face])
        keep = non_maximum_suppression(boxes, scores, _OVERLAP, "min")
        return Detections(corners_to_xywh(boxes[keep]), scores[keep], landmarks[keep])


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
