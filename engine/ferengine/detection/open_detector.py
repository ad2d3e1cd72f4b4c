"""MTCNN on a GPU where there is one, and back to the CPU when it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ferengine.detection.base import Detections, Detector, Frame, Near
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_device import MtcnnDeviceDetector
from ferengine.errors import FerengineError, UsageError
from ferengine.inference.base import Runner
from ferengine.inference.fallback import Fallback, is_lost
from ferengine.inference.select import choose_backend
from ferengine.models.settings import BackendSettings

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import NetworkName

log = logging.getLogger(__name__)

_MAX_BATCH = 64
"""Rows that ONNX Runtime gets at once on a GPU: more take more memory and save no time."""


def open_mtcnn(
    settings: BackendSettings,
    min_face: float,
    thresholds: Sequence[float],
    factor: float,
    on_failure: Callable[[str], None] | None = None,
) -> Detector:
    """MTCNN on the backend that the settings name.

    ONNX Runtime's TensorRT-RTX provider and its CPU provider do not run MTCNN: the cascade in C++ does.

    Args:
        settings: The backend, the precision, and what TensorRT may use.
        min_face: As of ``MtcnnDetector``.
        thresholds: As of ``MtcnnDetector``.
        factor: As of ``MtcnnDetector``.
        on_failure: Called with the reason where a GPU that was to run it does not, or no longer does. By default it is logged.

    Raises:
        UsageError: As ``choose_backend`` and ``MtcnnDetector``.
        ModelError: As ``choose_backend`` and ``MtcnnDetector``.
        MissingDependencyError: As ``MtcnnDetector``.
        DeviceError: CUDA works no more in this process, and the settings say that it restarts.
    """

    def open_on_cpu() -> Detector:
        return MtcnnDetector(min_face, thresholds, factor)

    name, _ = choose_backend(settings.backend)
    if name not in ("tensorrt", "ort-cuda"):
        return open_on_cpu()
    try:
        runners = _open_runners(name, settings)
    except FerengineError as error:
        if settings.restarts and is_lost(error):
            raise
        (on_failure or _log_failure)(str(error))
        return open_on_cpu()
    on_gpu = MtcnnDeviceDetector(runners, min_face, thresholds, factor)
    return FallbackDetector(on_gpu, open_on_cpu, on_failure, restarts=settings.restarts)


def _open_runners(name: str, settings: BackendSettings) -> Mapping[NetworkName, Runner]:
    if name == "tensorrt":
        from ferengine.detection.mtcnn_engines import open_engines

        return open_engines(settings)
    from ferengine.detection.mtcnn_weights import mtcnn_networks
    from ferengine.inference.onnxruntime import OrtRunner

    return {network: OrtRunner(model, provider="ort-cuda", max_batch=_MAX_BATCH) for network, model in mtcnn_networks().items()}


def _log_failure(reason: str) -> None:
    log.warning("MTCNN runs on the CPU, not on the GPU: %s", reason)


class FallbackDetector(Detector):
    """One detector until it fails, then another, which searches the frames again that the first failed on.

    Arguments are those of ``ferengine.inference.fallback.Fallback``.
    """

    def __init__(
        self,
        first: Detector,
        open_second: Callable[[], Detector],
        on_failure: Callable[[str], None] | None = None,
        *,
        restarts: bool = False,
    ) -> None:
        self._fallback = Fallback(first, open_second, on_failure, restarts=restarts)

    @property
    def preferred_batch(self) -> int:
        return self._fallback.current.preferred_batch

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        return self.detect_many([frame], [near])[0]

    def detect_many(self, frames: Sequence[Frame], near: Sequence[Near | None] | None = None) -> list[Detections]:
        try:
            return self._fallback.current.detect_many(frames, near)
        except UsageError:
            raise
        except FerengineError as error:
            second = self._fallback.replace(error)
        return second.detect_many(frames, near)

    def close(self) -> None:
        self._fallback.close()
