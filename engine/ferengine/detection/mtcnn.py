"""MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23(10), 2016: P-Net over an image pyramid proposes, R-Net refines, O-Net decides.

All of it runs in C++ (csrc/mtcnn_*), on the frame in place. The steps between the networks are those of the ``mtcnn``
package, from which the weights come: other implementations of the same networks differ from it by several pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from ferengine._native import MtcnnCascade
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn_weights import read_weights
from ferengine.errors import UsageError
from ferengine.frames import readable_frame

CELL = 12
"""Side of the window that P-Net judges, pixels."""

Near = NDArray[np.float32]
"""Boxes of faces known from before: (n, 4), x, y, w, h in pixels."""


class MtcnnDetector:
    """Faces with five landmarks, by the three networks of MTCNN, on one core.

    ``min_face``: width of the smallest face sought, pixels, at least 12 (it sets the pyramid and filters nothing:
    faces of half that width are sometimes found). ``thresholds``: of P-, R- and O-Net, each in [0, 1).
    ``factor``: step between pyramid levels, in (0.2, 0.96). ``max_candidates``: boxes that go on from P-Net to
    R-Net, and from R-Net to O-Net, best first: on photographs of crowds 300 find what no limit finds, 200 lose one
    face in 300.
    Raises UsageError for other values, MissingDependencyError and ModelError when there are no weights.
    Unlike other detectors it is thread-safe, and releases the GIL.
    """

    def __init__(
        self,
        min_face: float = 40.0,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        max_candidates: int = 400,
    ) -> None:
        if not (math.isfinite(min_face) and min_face >= CELL):
            raise UsageError(f"min_face must be at least {CELL} pixels, not {min_face}")
        if len(thresholds) != 3 or not all(0 <= value < 1 for value in thresholds):
            raise UsageError(f"thresholds must be three numbers in [0, 1), not {tuple(thresholds)}")
        if not 0.2 < factor < 0.96:
            raise UsageError(f"the pyramid factor must lie between 0.2 and 0.96, not {factor}")
        if max_candidates < 1:
            raise UsageError(f"max_candidates must be at least 1, not {max_candidates}")
        self._cascade = MtcnnCascade(
            read_weights("pnet"),
            read_weights("rnet"),
            read_weights("onet"),
            min_face=min_face,
            factor=factor,
            thresholds=tuple(thresholds),
            max_candidates=max_candidates,
        )

    def detect(self, frame: NDArray[np.uint8], near: Near | None = None) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3); rows may be padded.

        With ``near``, boxes (n, 4) x, y, w, h of faces known from before, only their surroundings are searched (one side
        of the box beyond it) for faces of about 0.7 to 1.4 times their sizes: newcomers elsewhere are not
        found. Raises UsageError for other arrays.
        """
        return self.detect_many([frame], [near])[0]

    def detect_many(self, frames: Sequence[NDArray[np.uint8]], near: Sequence[Near | None] | None = None) -> list[Detections]:
        """``detect`` for each of ``frames``, of whatever sizes; R-Net and O-Net see the candidates of all in one batch.

        ``near``: what ``detect`` takes, for each frame. Raises UsageError for other arrays and lengths.
        """
        if near is not None and len(near) != len(frames):
            raise UsageError(f"near must hold one item a frame: {len(near)} for {len(frames)} frames")
        searched, regions, positions = [], [], []
        for position, (frame, boxes) in enumerate(zip(frames, near or repeat(None), strict=False)):
            frame = readable_frame(frame)
            boxes = None if boxes is None else _corners(boxes)
            if frame.size:
                searched.append(frame)
                regions.append(boxes)
                positions.append(position)
        found = [Detections.none() for _ in frames]
        for position, arrays in zip(positions, self._cascade.detect(searched, regions), strict=True):
            found[position] = Detections(*arrays)
        return found


def _corners(boxes: Near) -> NDArray[np.float32]:
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise UsageError("near must hold finite boxes of shape (n, 4): x, y, w, h")
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
