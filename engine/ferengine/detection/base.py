"""The interface of a face detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """The n faces of one frame, best score first.

    ``boxes``: float32 (n, 4), x, y, w, h in pixels, as the detector regressed them (may leave the frame);
    ``scores``: float32 (n,), in [0, 1]; ``landmarks``: float32 (n, 5, 2), x, y in pixels of the left eye, right
    eye (as the viewer sees them), nose, left and right mouth corner, or ``None`` where the detector has none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def none(*, landmarks: bool = True) -> Detections:
        """No face at all."""
        return Detections(
            np.empty((0, 4), np.float32),
            np.empty(0, np.float32),
            np.empty((0, 5, 2), np.float32) if landmarks else None,
        )


class Detector(Protocol):
    """Finds the faces of a frame. Knows nothing of processes; not thread-safe."""

    def detect(self, frame: NDArray[np.uint8], near: NDArray[np.float32] | None = None) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3), which may be read-only and have padded rows.

        With ``near``, boxes (n, 4) x, y, w, h, those around them at least.
        """
        ...
