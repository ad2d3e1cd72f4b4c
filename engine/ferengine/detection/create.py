"""Makes a detector by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ferengine.detection.base import Detector
from ferengine.errors import UsageError, shown
from ferengine.models.settings import MIN_FACE, MTCNN_FACTOR, MTCNN_THRESHOLDS, BackendSettings, DetectorName


def create_detector(
    name: DetectorName,
    *,
    min_face: float = MIN_FACE,
    thresholds: Sequence[float] = MTCNN_THRESHOLDS,
    factor: float = MTCNN_FACTOR,
    backend: BackendSettings | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> Detector:
    """A detector by its name.

    Args:
        name: Which.
        min_face: Width of the smallest face to look for, pixels.
        thresholds: MTCNN's, of P-, R- and O-Net.
        factor: MTCNN's step between pyramid levels.
        backend: What may run MTCNN's networks; without it the CPU does. RetinaFace takes its precision and always runs on the
            CPU.
        on_failure: Called with the reason where a GPU that was to run MTCNN does not, or no longer does. By default it is
            logged.

    Raises:
        UsageError: There is no such detector, or a value is out of range.
        MissingDependencyError: Something that the detector needs is not installed.
        ModelError: MTCNN's weights are damaged, or the backend cannot work here.

    Example:
        >>> import numpy as np
        >>> from ferengine.detection import create_detector
        >>> len(create_detector("mtcnn").detect(np.zeros((120, 160, 3), np.uint8)))
        0
    """
    if not isinstance(backend, BackendSettings | None):
        raise UsageError(f"backend must be BackendSettings, such as BackendSettings('ort'), or None, not {shown(backend)}")
    if on_failure is not None and not callable(on_failure):
        raise UsageError(f"on_failure must be a function of one text, or None, not {shown(on_failure)}")
    if name == "haar":
        from ferengine.detection.haar import HaarDetector

        return HaarDetector(min_face)
    if name == "retinaface":
        from ferengine.detection.retinaface import RetinaFaceDetector

        return RetinaFaceDetector(min_face) if backend is None else RetinaFaceDetector(min_face, precision=backend.precision)
    if name == "mtcnn":
        from ferengine.detection.mtcnn import MtcnnDetector

        if backend is None:
            return MtcnnDetector(min_face, thresholds, factor)
        from ferengine.detection.open_detector import open_mtcnn

        return open_mtcnn(backend, min_face, thresholds, factor, on_failure)
    raise UsageError(f"the detector is mtcnn, retinaface or haar, not {shown(name)}")
