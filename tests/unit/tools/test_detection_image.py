"""The image of Haar against MTCNN on the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detection import Detections
from ferengine.vision import cv2
from ferengine_tools import detection_image as module
from ferengine_tools.detection_image import detection_image, main

GREEN = (90, 215, 80)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    return detection_image()


def test_four_panels_with_boxes_where_something_was_found(image: NDArray[np.uint8]) -> None:
    assert image.shape == (2 * 326, 2 * 480, 3)
    green = (image == GREEN).all(axis=2)
    panels = [green[row : row + 326, column : column + 480] for row in (0, 326) for column in (0, 480)]
    haar, mtcnn, haar_tilted, mtcnn_tilted = (int(panel.sum()) for panel in panels)
    assert mtcnn > 2 * haar > 0  # four boxes against one
    assert haar_tilted == 0
    assert mtcnn_tilted > 100


def test_the_caption_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One box on a face, one beside: the words handed to OpenCV say so."""
    words: list[str] = []
    monkeypatch.setattr(module.cv2, "putText", lambda image, text, *rest: words.append(text))

    class Fixed:
        def detect(self, frame: NDArray[np.uint8]) -> Detections:
            return Detections(np.float32([[10, 10, 50, 50], [200, 10, 50, 50]]), np.float32([0.9, 0.8]), None)

    frame = np.zeros((300, 480, 3), np.uint8)
    module._panel(frame, Fixed(), "Fixed", [(12.0, 12.0, 50.0, 50.0), (300.0, 100.0, 50.0, 50.0)])
    assert words == ["Fixed: 1 of 2 found, 1 false"]


def test_the_command(tmp_path: Path, image: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "images" / "haar.png"
    assert main([str(out)]) == 0
    written = cv2.imread(str(out))
    assert written is not None
    np.testing.assert_array_equal(written, image)
    assert main([str(tmp_path / "haar.gif")]) == 2
    assert "must end in .jpg or .png" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "haar.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err
