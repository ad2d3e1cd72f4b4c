"""Face detectors: MTCNN, on the CPU or a GPU, and the Haar cascade as the baseline.

``create_detector`` is imported on first use: track and render workers know detections, and need no settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferengine.detection.base import Detections, Detector

if TYPE_CHECKING:
    from ferengine.detection.create import create_detector as create_detector

__all__ = ["Detections", "Detector", "create_detector"]


def __getattr__(name: str) -> object:
    if name != "create_detector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ferengine.detection import create

    return create.create_detector
