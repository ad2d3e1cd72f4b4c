"""Detection in one frame, by the native MTCNN and by the plain one over cv2 and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

from ferengine.detection.mtcnn import MtcnnDetector
from ferengine_tools.bench.record import OWN, Figure
from ferengine_tools.bench.scenes import crowd
from ferengine_tools.bench.timing import timing
from ferengine_tools.plain_mtcnn import PlainMtcnn


def figures(seconds: float) -> Iterator[Figure]:
    """Milliseconds a frame, smallest face 40 pixels: one face and nine, everywhere and near where they are known to be."""
    own, plain = MtcnnDetector(), PlainMtcnn()
    for width, height in ((640, 480), (1280, 720)):
        for faces, words in ((1, "one face"), (9, "nine faces")):
            case, frame = f"{width}x{height}, {words}", crowd(width, height, faces)
            near = own.detect(frame).boxes
            for way, work in {
                OWN: lambda: own.detect(frame),  # noqa: B023 - called within this round
                "ferengine, near search": lambda: own.detect(frame, near),  # noqa: B023
                "plain, over ONNX Runtime": lambda: plain.detect(frame),  # noqa: B023
            }.items():
                taken = timing(work, seconds=seconds, least=5)
                yield Figure("mtcnn", case, way, 1e3 * taken.seconds, "ms", taken.spread)
