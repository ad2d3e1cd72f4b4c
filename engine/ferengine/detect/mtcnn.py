"""MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23(10), 2016: P-Net over an image pyramid proposes, R-Net refines, O-Net decides.

The steps between the networks are those of the ``mtcnn`` package, from which the weights come: other implementations
of the same networks differ from it by several pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ferengine.detect.base import Detections
from ferengine.detect.boxes import (
    Boxes,
    corners_to_xywh,
    decode_proposals,
    non_maximum_suppression,
    place_landmarks,
    regress,
    square,
)
from ferengine.detect.frames import checked_frame
from ferengine.detect.mtcnn_weights import mtcnn_networks
from ferengine.detect.sampling import CELL, crops, normalise, pyramid
from ferengine.errors import UsageError

_LEVEL_OVERLAP, _OVERLAP = 0.5, 0.7
"""Overlap above which the weaker box is dropped: within a pyramid level, and at every later step."""

_LEVEL_CANDIDATES = 2000
"""Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade."""


class MtcnnDetector:
    """Faces with five landmarks, by the three networks of MTCNN in ONNX Runtime.

    ``min_face``: width of the smallest face sought, pixels, at least 12 (it sets the pyramid and filters nothing:
    faces of half that width are sometimes found). ``thresholds``: of P-, R- and O-Net, each in [0, 1).
    ``factor``: step between pyramid levels, in (0.2, 0.96). ``max_candidates``: boxes that go on from P-Net to
    R-Net, and from R-Net to O-Net, best first: on photographs of crowds 300 find what no limit finds, 200 lose one
    face in 300. ``threads``: of each inference session.
    Raises UsageError for other values, MissingDependencyError and ModelError when there are no weights.
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
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        self._min_face = min_face
        self._thresholds = tuple(thresholds)
        self._factor = factor
        self._max_candidates = max_candidates
        networks = mtcnn_networks()
        self._pnet = _session(networks["pnet"], threads)
        self._rnet = _session(networks["rnet"], threads)
        self._onet = _session(networks["onet"], threads)

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3); rows may be padded. Raises UsageError for another array."""
        frame = checked_frame(frame)
        proposals = self._propose(frame)
        if not len(proposals):
            return Detections.none()
        refined = self._refine(frame, proposals)
        if not len(refined):
            return Detections.none()
        return self._decide(frame, refined)

    def _propose(self, frame: NDArray[np.uint8]) -> Boxes:
        boxes, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        for scale, level in pyramid(frame, self._min_face, self._factor):
            probabilities, offsets = self._pnet.run(["probabilities", "boxes"], {"input": normalise(level[None])})
            level_boxes, level_scores = decode_proposals(probabilities[0, 0], offsets[0], self._thresholds[0], scale)
            best = np.argsort(-level_scores, kind="stable")[:_LEVEL_CANDIDATES]
            keep = best[non_maximum_suppression(level_boxes[best], level_scores[best], _LEVEL_OVERLAP)]
            boxes.append(level_boxes[keep])
            scores.append(level_scores[keep])
        return self._squares(np.concatenate(boxes), np.concatenate(scores))

    def _refine(self, frame: NDArray[np.uint8], boxes: Boxes) -> Boxes:
        pictures = normalise(crops(frame, boxes, 24))
        probabilities, offsets = self._rnet.run(["probabilities", "boxes"], {"input": pictures})
        face = probabilities > self._thresholds[1]
        return self._squares(regress(boxes[face], offsets[face]), probabilities[face])

    def _squares(self, boxes: Boxes, scores: NDArray[np.float32]) -> Boxes:
        """What the next network looks at: the best boxes that overlap little, best first."""
        keep = non_maximum_suppression(boxes, scores, _OVERLAP)[: self._max_candidates]
        return square(boxes[keep])

    def _decide(self, frame: NDArray[np.uint8], boxes: Boxes) -> Detections:
        pictures = normalise(crops(frame, boxes, 48))
        probabilities, offsets, points = self._onet.run(["probabilities", "boxes", "landmarks"], {"input": pictures})
        face = probabilities > self._thresholds[2]
        boxes, scores = boxes[face], probabilities[face]
        landmarks = place_landmarks(boxes, points[face])
        boxes = regress(boxes, offsets[face])
        keep = non_maximum_suppression(boxes, scores, _OVERLAP, "min")
        return Detections(corners_to_xywh(boxes[keep]), scores[keep], landmarks[keep])


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
