"""Detection in one frame: MTCNN all in C++, and with its networks in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_device import MtcnnDeviceDetector
from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.inference.onnxruntime import OrtRunner
from ferengine_tools.bench.record import OWN, Metric
from ferengine_tools.bench.scenes import crowd
from ferengine_tools.bench.timing import timing

IN_ORT = "networks in ONNX Runtime"


def metrics(seconds: float) -> Iterator[Metric]:
    """Milliseconds a frame, smallest face 40 pixels: one face and nine, everywhere and near where they are known to be.

    Args:
        seconds: For each metric.

    Raises:
        MissingDependencyError: The extra ``demo`` is not installed.
    """
    own, in_ort = MtcnnDetector(), mtcnn_in_onnxruntime()
    for width, height in ((640, 480), (1280, 720)):
        for faces, words in ((1, "one face"), (9, "nine faces")):
            case, frame = f"{width}x{height}, {words}", crowd(width, height, faces)
            near = own.detect(frame).boxes
            for way, work in {
                OWN: lambda: own.detect(frame),  # noqa: B023 - called within this round
                "ferengine, near search": lambda: own.detect(frame, near),  # noqa: B023
                IN_ORT: lambda: in_ort.detect(frame),  # noqa: B023
            }.items():
                taken = timing(work, seconds=seconds, least=5)
                yield Metric("mtcnn", case, way, 1e3 * taken.seconds, "ms", taken.spread)


def mtcnn_in_onnxruntime() -> MtcnnDeviceDetector:
    """MTCNN with its three networks in ONNX Runtime on the CPU, in one thread."""
    return MtcnnDeviceDetector({name: OrtRunner(model) for name, model in mtcnn_networks().items()})
