"""Face detectors: MTCNN, and the Haar cascade as the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ferengine.detect.base import Detections, Detector

__all__ = ["Detections", "Detector", "create_detector"]


def create_detector(
    name: Literal["mtcnn", "haar"],
    *,
    min_face: float = 40.0,
    thresholds: Sequence[float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
    threads: int = 1,
) -> Detector:
    """The detector called ``name``; thresholds, factor and threads concern MTCNN alone. Raises UsageError."""
    if name == "haar":
        from ferengine.detect.haar import HaarDetector

        return HaarDetector(min_face)
    from ferengine.detect.mtcnn import MtcnnDetector

    return MtcnnDetector(min_face, thresholds, factor, threads=threads)
