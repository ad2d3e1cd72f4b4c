"""The cameras of a long run: half of them read by capture workers, half pushed, all live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from numpy.typing import NDArray

from ferengine.engine import Engine
from ferengine.sources import SourceSpec
from ferengine.sources.demo import DemoSource
from ferengine.sources.push import PushSource

_SECONDS = 6
"""Length of the scene that is pushed over and over."""


def make_sources(cameras: int, fps: float, size: tuple[int, int]) -> list[SourceSpec | PushSource]:
    """The sources: every second one is pushed."""
    return [
        PushSource(f"pushed-{number}")
        if number % 2
        else SourceSpec("demo", "stroll", f"demo-{number}", pace="native", loop=0, fps=fps, size=size)
        for number in range(cameras)
    ]


class Pusher:
    """Pushes frames to cameras at a steady rate, in a thread, until it is closed.

    Args:
        engine: The engine.
        cameras: The names of its push cameras.
        fps: Frames a second of each.
        size: Width and height of the frames.

    Attributes:
        offered: Frames by camera, whatever became of them.
    """

    def __init__(self, engine: Engine, cameras: Sequence[str], fps: float, size: tuple[int, int]) -> None:
        self.offered = Counter[str]()
        self._engine, self._cameras, self._fps = engine, cameras, fps
        self._frames = _render(fps, size) if cameras else []
        self._over = Event()
        pool = ThreadPoolExecutor(1, "ferengine-pusher")
        self._running = pool.submit(self._push_all, self._over.wait)
        pool.shutdown(wait=False)

    def close(self) -> None:
        """Push nothing further. Raises what pushing raised."""
        self._over.set()
        self._running.result()

    def _push_all(self, wait: Callable[[float], bool]) -> None:
        began, number = time.monotonic(), 0
        while not wait(max(0.0, began + number / self._fps - time.monotonic())):
            for index, camera in enumerate(self._cameras):
                self._engine.push(camera, self._frames[(number + 7 * index) % len(self._frames)])
                self.offered[camera] += 1
            number += 1


def _render(fps: float, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    source = DemoSource(*size, fps=fps, frames=max(1, round(_SECONDS * fps)))
    source.open()
    frames = []
    while (captured := source.read()) is not None:
        frames.append(captured.image.copy())
    source.close()
    return frames
