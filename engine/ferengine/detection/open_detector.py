"""MTCNN on a GPU where there is one, and back to the CPU when it fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections, Detector
from ferengine.detection.mtcnn_device import MtcnnDeviceDetector
from ferengine.errors import FerengineError, UsageError
from ferengine.inference.select import BackendSettings, choose_backend

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import Network
    from ferengine.inference.onnxruntime import NetworkRunner

log = logging.getLogger(__name__)


def open_on_device(
    settings: BackendSettings,
    on_cpu: Callable[[], Detector],
    min_face: float,
    thresholds: Sequence[float],
    factor: float,
    on_failure: Callable[[str], None] | None = None,
) -> Detector:
    """MTCNN as ``settings`` ask for it, else what ``on_cpu`` makes; ``on_failure`` is told why (default: logged).

    ONNX Runtime's own TensorRT-RTX provider and its CPU provider do not run MTCNN: the cascade in C++ does. Raises as
    ``choose_backend`` does.
    """
    name, _ = choose_backend(settings.backend)
    if name not in ("tensorrt", "ort-cuda"):
        return on_cpu()
    tell = on_failure or _warn
    try:
        runners = _runners(name, settings)
    except FerengineError as error:
        tell(str(error))
        return on_cpu()
    return FallbackDetector(MtcnnDeviceDetector(runners, min_face, thresholds, factor), on_cpu, tell)


def _runners(name: str, settings: BackendSettings) -> Mapping[Network, NetworkRunner]:
    if name == "tensorrt":
        from ferengine.inference.tensorrt.load import open_mtcnn

        folder = Path(settings.engines) if settings.engines else None
        return open_mtcnn(settings.engine_precision, folder, build=settings.build)
    from ferengine.detection.mtcnn_weights import mtcnn_networks
    from ferengine.inference.onnxruntime import OrtRunner

    return {network: OrtRunner(model) for network, model in mtcnn_networks().items()}


def _warn(reason: str) -> None:
    log.warning("MTCNN runs on the CPU, not on the GPU: %s", reason)


class FallbackDetector:
    """``first`` until it fails, then what ``make_second`` makes; the frames that it failed on are searched again."""

    def __init__(
        self, first: MtcnnDeviceDetector, make_second: Callable[[], Detector], on_failure: Callable[[str], None]
    ) -> None:
        self._first: MtcnnDeviceDetector | None = first
        self._second: Detector | None = None
        self._make_second = make_second
        self._on_failure = on_failure

    @property
    def frames_at_once(self) -> int:
        """How many frames ``detect_many`` gains from."""
        return 1 if self._first is None else 16

    def detect(self, frame: NDArray[np.uint8], near: NDArray[np.float32] | None = None) -> Detections:
        """As MtcnnDetector's; a GPU searches the whole frame, ``near`` or not."""
        return self.detect_many([frame], [near])[0]

    def detect_many(
        self, frames: Sequence[NDArray[np.uint8]], near: Sequence[NDArray[np.float32] | None] | None = None
    ) -> list[Detections]:
        """``detect`` for each of ``frames``."""
        if self._first is not None:
            try:
                return self._first.detect_many(frames)
            except UsageError:
                raise
            except FerengineError as error:
                traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
                self._fall_back(str(error))
        assert self._second is not None
        return [self._second.detect(frame, boxes) for frame, boxes in zip(frames, near or [None] * len(frames), strict=True)]

    def close(self) -> None:
        """Release the device."""
        if self._first is not None:
            self._first.close()
            self._first = None

    def _fall_back(self, reason: str) -> None:
        self._second = self._make_second()
        self.close()
        self._on_failure(reason)
