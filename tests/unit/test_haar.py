"""The Haar cascade: the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detect.haar import HaarDetector
from ferengine.errors import MissingDependencyError
from ferengine.sources.portraits import PORTRAITS


@pytest.mark.parametrize("index", [0, 1])
def test_finds_the_portraits(index: int) -> None:
    found = HaarDetector().detect(np.ascontiguousarray(PORTRAITS[index].load()))
    assert len(found) >= 1
    assert found.landmarks is None
    assert ((found.scores >= 0) & (found.scores < 1)).all()
    assert (np.diff(found.scores) <= 0).all()


def test_nothing_in_a_plain_picture() -> None:
    assert len(HaarDetector().detect(np.full((200, 200, 3), 90, np.uint8))) == 0
    assert len(HaarDetector().detect(np.zeros((10, 10, 3), np.uint8))) == 0


def test_a_wheel_without_the_cascade_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ferengine.vision import cv2

    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere/")
    with pytest.raises(MissingDependencyError, match="opencv-contrib-python"):
        HaarDetector()
