"""Frames for the tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine
from ferengine.sources.demo import DemoSource


@pytest.fixture(scope="session")
def images() -> list[NDArray[np.uint8]]:
    """Forty frames of the demo, BGR uint8 (480, 640, 3), all different."""
    source = DemoSource()
    source.open()
    frames = []
    for _ in range(40):
        captured = source.read()
        assert captured is not None
        frames.append(captured.image.copy())
    return frames


@pytest.fixture(scope="session")
def push_all() -> Callable[[Engine, str, list[NDArray[np.uint8]]], None]:
    """Pushes images to a camera, 30 a second of its time, and then ends it."""

    def push(engine: Engine, camera: str, frames: list[NDArray[np.uint8]]) -> None:
        for number, frame in enumerate(frames):
            assert engine.push(camera, frame, number / 30, timeout=60)
        engine.end_source(camera)

    return push
