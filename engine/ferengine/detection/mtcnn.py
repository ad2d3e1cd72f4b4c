"""MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23(10), 2016: P-Net over an image pyramid proposes, R-Net refines, O-Net decides.

All of it runs in C++ (csrc/mtcnn/), on the frame in place. The steps between the networks are those of the ``mtcnn``
package, from which the weights come, but for two: P-Net's windows are suppressed before they are moved, as in the authors'
own code, and large faces are averaged, not sampled. On 467 labelled faces these find 409 where the package's steps find 404.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine._native import MtcnnCascade
from ferengine.detection.base import Detections, Detector, Frame, Near, check_min_face, is_number, paired
from ferengine.detection.mtcnn_weights import read_weights
from ferengine.errors import UsageError, shown
from ferengine.frames import readable_frame
from ferengine.models.settings import MIN_FACE, MTCNN_FACTOR, MTCNN_THRESHOLDS

CELL = 12
"""Side of the window that P-Net judges, pixels."""


class MtcnnDetector(Detector):
    """Faces with five landmarks, by the three networks of MTCNN, on one core.

    Unlike other detectors it is thread-safe. It releases the GIL.

    Args:
        min_face: Width of the smallest face to look for, pixels, at least 12. It sets the pyramid and filters nothing: faces
            of half that width are sometimes found.
        thresholds: Of P-, R- and O-Net, each in [0, 1).
        factor: Step between pyramid levels, in (0.2, 0.96).
        max_candidates: How many boxes go on from P-Net to R-Net, and from R-Net to O-Net, best first. On photographs of
            crowds 300 find what no limit finds, 200 lose one face in 300.

    Raises:
        UsageError: A value is out of these ranges.
        MissingDependencyError: There are no weights.
        ModelError: The weights are not the pinned ones.

    Example:
        >>> detector = MtcnnDetector(min_face=30)
        >>> len(detector.detect(np.zeros((120, 160, 3), np.uint8)))
        0
    """

    def __init__(
        self,
        min_face: float = MIN_FACE,
        thresholds: Sequence[float] = MTCNN_THRESHOLDS,
        factor: float = MTCNN_FACTOR,
        max_candidates: int = 400,
    ) -> None:
        check_min_face(min_face)
        values = list(thresholds) if isinstance(thresholds, Iterable) else []
        if len(values) != 3 or not all(is_number(value) and 0 <= value < 1 for value in values):
            raise UsageError(f"thresholds must be three numbers in [0, 1), not {shown(thresholds)}")
        if not (is_number(factor) and 0.2 < factor < 0.96):
            raise UsageError(f"the pyramid factor must lie between 0.2 and 0.96, not {shown(factor)}")
        if not (is_number(max_candidates) and max_candidates >= 1):
            raise UsageError(f"max_candidates must be at least 1, not {shown(max_candidates)}")
        self._cascade = MtcnnCascade(
            read_weights("pnet"),
            read_weights("rnet"),
            read_weights("onet"),
            min_face=min_face,
            factor=factor,
            thresholds=tuple(thresholds),
            max_candidates=max_candidates,
        )

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        """As ``Detector.detect``.

        With ``near`` only the surroundings of these boxes are searched (one side of the box beyond it), for faces of about
        0.7 to 1.4 times their sizes: new faces elsewhere are not found.
        """
        return self.detect_many([frame], [near])[0]

    def detect_many(self, frames: Sequence[Frame], near: Sequence[Near | None] | None = None) -> list[Detections]:
        """As ``Detector.detect_many``; R-Net and O-Net see the candidates of all frames in one batch."""
        searched, regions, positions = [], [], []
        for position, (frame, boxes) in enumerate(zip(frames, paired(frames, near), strict=False)):
            frame = readable_frame(frame)
            boxes = None if boxes is None else corners(boxes)
            if frame.size:
                searched.append(frame)
                regions.append(boxes)
                positions.append(position)
        found = [Detections.none() for _ in frames]
        for position, arrays in zip(positions, self._cascade.detect(searched, regions), strict=True):
            found[position] = Detections(*arrays)
        return found


def corners(boxes: Near) -> NDArray[np.float32]:
    """Boxes x, y, w, h as x1, y1, x2, y2, float32 (n, 4). Raises UsageError where they are none, or not finite."""
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim == 2 and boxes.shape[1] == 4:
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        if np.isfinite(found).all():
            return found
    raise UsageError("near must hold finite boxes of shape (n, 4): x, y, w, h")
