"""An image of what the Haar cascade and MTCNN find in the built-in demo: the counterpart of Figure 5 of Zhao's paper.

    python -m ferengine_tools.detection_image OUT.jpg

Left the cascade, right MTCNN; above four strolling faces, below one tilted by 30 degrees. True boxes are drawn thin and white,
found ones thick and green. The portraits come with scikit-image and matplotlib and may be shown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.detection import Detector, create_detector
from ferengine.errors import SinkError, SourceError, UsageError
from ferengine.results import Box
from ferengine.sources.demo import DemoSource
from ferengine.sources.demo.motion import TURN_SECONDS
from ferengine.sources.demo.portraits import require_portraits
from ferengine.sources.spec import Scenario
from ferengine.vision import cv2
from ferengine_tools.detection_accuracy import match_greedily

_WIDTH, _HEIGHT, _FPS = 480, 300, 30.0
_TRUE, _FOUND, _INK, _BAND = (225, 225, 225), (90, 215, 80), (240, 240, 240), (36, 32, 28)
_CAPTION = 26
_SHOWN: tuple[tuple[Literal["haar", "mtcnn"], str], ...] = (("haar", "Haar cascade"), ("mtcnn", "MTCNN"))
_SCENES = ((Scenario.STROLL, 4, 0), (Scenario.TURN, 1, round(TURN_SECONDS / 2 * _FPS)))


def detection_image() -> NDArray[np.uint8]:
    """Return what the detectors find, BGR uint8 (H, W, 3).

    Raises:
        MissingDependencyError: The extra ``demo`` is missing.
    """
    require_portraits()
    detectors = [(create_detector(name, min_face=24.0), title) for name, title in _SHOWN]
    rows = []
    for scenario, faces, index in _SCENES:
        source = DemoSource(_WIDTH, _HEIGHT, _FPS, faces=faces, scenario=scenario)
        source.open()
        source.skip(index)
        captured = source.read()
        if captured is None:
            raise SourceError(f"the demo {scenario} has no frame {index}")
        truth = source.boxes(index)
        rows.append(np.hstack([_panel(captured.image, detector, title, truth) for detector, title in detectors]))
    return np.vstack(rows)


def _panel(frame: NDArray[np.uint8], detector: Detector, title: str, truth: Sequence[Box]) -> NDArray[np.uint8]:
    boxes = detector.detect(frame).boxes
    found = len(match_greedily(boxes, truth))
    panel = np.full((_HEIGHT + _CAPTION, _WIDTH, 3), _BAND, np.uint8)
    panel[_CAPTION:] = frame
    image = panel[_CAPTION:]
    for box, color, thick in [(box, _TRUE, 1) for box in truth] + [(tuple(box), _FOUND, 2) for box in boxes.tolist()]:
        x, y, w, h = map(round, box)
        cv2.rectangle(image, (x, y), (x + w, y + h), color, thick, cv2.LINE_AA)
    caption = f"{title}: {found} of {len(truth)} found, {len(boxes) - found} false"
    cv2.putText(panel, caption, (8, _CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return panel


def write_image(out: Annotated[Path, typer.Argument(help="A .jpg or .png file.")]) -> None:
    """Draw what the Haar cascade and MTCNN find in the built-in demo."""
    if out.suffix.lower() not in (".jpg", ".png"):
        raise UsageError(f"{out} must end in .jpg or .png")
    encoded = cv2.imencode(out.suffix.lower(), detection_image(), [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(encoded)
    except OSError as error:
        raise SinkError(f"{out} cannot be written: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(write_image), "python -m ferengine_tools.detection_image", arguments)


if __name__ == "__main__":
    sys.exit(main())
