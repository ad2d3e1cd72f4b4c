"""The moving image of the README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ferengine.vision import cv2
from ferengine_tools.demo_animation import main

README_IMAGE = Path(__file__).parents[3] / "docs" / "pages" / "images" / "demo.webp"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "images" / "demo.webp"
    assert main([str(out), "--frames", "12"]) == 0
    read, animation = cv2.imreadanimation(str(out))
    assert read
    assert len(animation.frames) == 4
    assert list(animation.durations) == [100] * 4
    first, last = (np.asarray(animation.frames[index])[..., :3].astype(int) for index in (0, 3))
    assert first.shape == (360, 640, 3)
    assert np.abs(first - last).max() > 30
    assert main([str(tmp_path / "demo.gif")]) == 2
    assert "must end in .webp" in capsys.readouterr().err


def test_the_image_of_the_readme_moves_and_is_small() -> None:
    assert README_IMAGE.stat().st_size < 2_000_000
    read, animation = cv2.imreadanimation(str(README_IMAGE))
    assert read
    assert len(animation.frames) > 50
