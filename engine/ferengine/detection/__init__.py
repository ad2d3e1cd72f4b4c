"""Face detectors: MTCNN, on the CPU or a GPU, and the Haar cascade as the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from ferengine.detection.base import Detections, Detector
from ferengine.errors import UsageError

if TYPE_CHECKING:
    from ferengine.inference.select import BackendSettings

__all__ = ["Detections", "Detector", "create_detector"]


def create_detector(
    name: Literal["mtcnn", "haar"],
    *,
    min_face: float = 40.0,
    thresholds: Sequence[float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
    backend: BackendSettings | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> Detector:
    """The detector called ``name``; all but ``min_face`` concerns MTCNN alone.

    ``backend``: what may run its networks (default: the CPU); ``on_failure`` is told why a GPU that was meant to does not,
    or no longer does. Raises UsageError for another name, and what MtcnnDetector and HaarDetector raise.
    """
    if name == "haar":
        from ferengine.detection.haar import HaarDetector

        return HaarDetector(min_face)
    if name == "mtcnn":
        from ferengine.detection.mtcnn import MtcnnDetector

        def on_cpu() -> Detector:
            return MtcnnDetector(min_face, thresholds, factor)

        if backend is None:
            return on_cpu()
        from ferengine.detection.open_detector import open_on_device

        return open_on_device(backend, on_cpu, min_face, thresholds, factor, on_failure)
    raise UsageError(f"the detector is mtcnn or haar, not {name}")
