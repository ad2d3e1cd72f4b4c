"""MTCNN here and in the package facenet-pytorch, on a folder of annotated photographs.

    python -m ferengine_tools.detection_facenet FOLDER [--min-face 20] [--json]

Both have the same networks and weights, and are run with the same thresholds, on one core. The folder is that of
``ferengine_tools.detection_accuracy``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.detection import Detections, Detector, create_detector
from ferengine.detection.base import Near
from ferengine.errors import MissingDependencyError
from ferengine.json_text import json_text
from ferengine.models.settings import MIN_FACE
from ferengine.pip_hint import pip_install
from ferengine_tools.detection_accuracy import comparison, evaluate

PACKAGE = "facenet-pytorch"


class FacenetDetector(Detector):
    """MTCNN of facenet-pytorch, with its default thresholds, which are those of ``MtcnnDetector``.

    Args:
        min_face: Smallest face to look for, pixels.

    Raises:
        MissingDependencyError: The package cannot be imported, or one that it needs.
    """

    def __init__(self, min_face: float = MIN_FACE) -> None:
        try:
            torch, facenet = import_module("torch"), import_module("facenet_pytorch")
        except Exception as error:  # a third-party package may raise anything when it is imported
            raise MissingDependencyError(
                f"{PACKAGE} cannot be imported ({' '.join(str(error).split())}): {pip_install('torch', 'torchvision')}, and "
                f"{pip_install('--no-deps', PACKAGE)} (its own limits would replace NumPy and torch by old versions)"
            ) from None
        torch.set_num_threads(1)
        self._mtcnn = facenet.MTCNN(keep_all=True, min_face_size=min_face, device="cpu")

    def detect(self, frame: NDArray[np.uint8], near: Near | None = None) -> Detections:
        """As ``Detector.detect``; always in the whole frame."""
        boxes, scores, landmarks = self._mtcnn.detect(np.ascontiguousarray(frame[..., ::-1]), landmarks=True)
        if boxes is None:
            return Detections.none()
        corners = np.asarray(boxes, np.float32)
        order = np.argsort(-np.asarray(scores, np.float32), kind="stable")  # as all detectors here: best first
        return Detections(
            np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])[order],
            np.asarray(scores, np.float32)[order],
            np.asarray(landmarks, np.float32)[order],
        )


def compare_with_facenet(
    folder: Annotated[Path, typer.Argument(help="A folder with annotations.jsonl, as of ferengine_tools.detection_accuracy.")],
    min_face: Annotated[float, typer.Option(help="Minimum size of a face, pixels.")] = MIN_FACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Measure recall, false boxes and time of MTCNN here and in facenet-pytorch, on one core."""
    facenet = FacenetDetector(min_face)
    detectors: dict[str, Detector] = {"mtcnn": create_detector("mtcnn", min_face=min_face), _name(): facenet}
    accuracies = {name: evaluate(each, folder) for name, each in detectors.items()}
    metrics: dict[str, Any] = {name: each.to_dict() for name, each in accuracies.items()}
    print(json_text(metrics, indent=2) if as_json else comparison(accuracies))


def _name() -> str:
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:  # it is in the path without having been installed
        return PACKAGE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(compare_with_facenet), "python -m ferengine_tools.detection_facenet", arguments)


if __name__ == "__main__":
    sys.exit(main())
