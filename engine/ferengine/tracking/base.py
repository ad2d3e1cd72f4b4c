"""The interface of a single-object tracker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box


@dataclass(frozen=True, slots=True)
class TrackerUpdate:
    """Where an object is now.

    Attributes:
        box: x, y, w, h in pixels.
        confidence: In [0, 1]; 0 if the object is lost.
    """

    box: Box
    confidence: float


class Tracker(Protocol):
    """Follows one object from frame to frame. Knows nothing of processes; not thread-safe."""

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        """Learn the object inside ``box`` (x, y, w, h in pixels) of ``frame``, BGR uint8 (H, W, 3)."""
        ...

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        """Find the object in the next ``frame``; the confidence is 0 if it is lost."""
        ...
