"""The moving image of the README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ferengine.vision import cv2
from ferengine_tools.demo_animation import animated_webp, main

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


def test_each_image_of_an_animation_is_complete(tmp_path: Path) -> None:
    images = [np.full((91, 161, 3), (96, 90, 84), np.uint8) for _ in range(4)]  # sides that need padding
    for index, image in enumerate(images):
        image[30:60, 30 * index : 30 * index + 40] = (40, 60, 230)
    file = tmp_path / "moving.webp"
    file.write_bytes(animated_webp(images, 40))
    read, animation = cv2.imreadanimation(str(file))
    assert read
    assert list(animation.durations) == [40] * 4
    assert animation.loop_count == 0
    for frame, image in zip(animation.frames, images, strict=True):
        alone = cv2.imdecode(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 75])[1], cv2.IMREAD_COLOR)
        assert np.array_equal(np.asarray(frame)[..., :3], alone)


def test_the_image_of_the_readme_moves_and_is_small() -> None:
    assert README_IMAGE.stat().st_size < 2_000_000
    read, animation = cv2.imreadanimation(str(README_IMAGE))
    assert read
    assert len(animation.frames) > 50
