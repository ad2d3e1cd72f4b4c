"""Face detectors: MTCNN, and the Haar cascade as the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ferengine.detect.base import Detections, Detector
from ferengine.errors import UsageError

__all__ = ["Detections", "Detector", "create_detector"]


def create_detector(
    name: Literal["mtcnn", "haar"],
    *,
    min_face: float = 40.0,
    thresholds: Sequence[float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
) -> Detector:
    """The detector called ``name``; ``thresholds`` and ``factor`` concern MTCNN alone.

    Raises UsageError for another name, and what MtcnnDetector and HaarDetector raise.
    """
    if name == "haar":
        from ferengine.detect.haar import HaarDetector

        return HaarDetector(min_face)
    if name == "mtcnn":
        from ferengine.detect.mtcnn import MtcnnDetector

        return MtcnnDetector(min_face, thresholds, factor)
    raise UsageError(f"the detector is mtcnn or haar, not {name}")
