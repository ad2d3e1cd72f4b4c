"""Frames handed to ``Engine.push``."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ferengine import Engine, PushSource
from ferengine.errors import FerengineError

_STAMPS = (
    None,
    None,
    0,
    0.5,
    -1.0,
    1e9,
    -1e9,
    1e11,
    1e12,
    float("nan"),
    float("inf"),
    "noon",
    True,
    2**70,
    np.float32(3),
    1j,
    object(),
)
_DTYPES = (np.uint8, np.int8, np.uint16, np.float32, np.float64, np.bool_, np.complex64, object, "S1", "M8[s]")


class Pushes:
    """Arrays of any shape, type and layout with any time stamp, pushed to a running engine. At the end each frame that was
    accepted has come out or is counted."""

    def __init__(self, _: Path) -> None:
        self._engine = Engine([PushSource("live"), PushSource("wait", wait=True)], detector="haar")
        self._results = self._engine.results()
        self._engine.start()
        self._engine.wait_ready()
        self._taken: dict[str, list[int]] = {"live": [], "wait": []}
        self._stamps: dict[str, list[float]] = {"live": [], "wait": []}
        self._accepted = {"live": 0, "wait": 0}
        self._consumer = threading.Thread(target=self._consume, daemon=True)
        self._consumer.start()

    def _consume(self) -> None:
        for result in self._results:
            self._taken[result.camera].append(result.frame)
            self._stamps[result.camera].append(result.timestamp)

    def run(self, chance: random.Random) -> None:
        camera = chance.choice(["live", "wait", "live", "wait", "wait", "none"])
        pushed = self._engine.push(camera, _array(chance), chance.choice(_STAMPS), timeout=30)  # type: ignore[arg-type]
        self._accepted[camera] += pushed.accepted

    def close(self) -> None:
        for name in self._accepted:
            self._engine.end_source(name)
        self._consumer.join()
        health = self._engine.health().cameras
        self._engine.close()
        assert self._taken["wait"] == list(range(self._accepted["wait"]))
        live = self._taken["live"]
        assert live == sorted(set(live))
        assert len(live) + health["live"].dropped["skipped"] == self._accepted["live"]
        for stamps in self._stamps.values():
            assert stamps == sorted(stamps)
        if self._engine.failures:
            raise FerengineError(str(self._engine.failures))


def _array(chance: random.Random) -> Any:
    if chance.random() < 0.05:
        return chance.choice([None, "x", b"x", [[1]], 3, object(), memoryview(b"123"), np.uint8(3)])
    sides = [chance.choice([0, 1, 2, 3, 16, 17, 31, 64, 200]) for _ in range(2)]
    channels = chance.choice([(), (1,), (3,), (3,), (3,), (4,), (2,), (5,), (3, 1)])
    shape = (*sides, *channels) if chance.random() < 0.95 else tuple(sides[: chance.randrange(2)])
    dtype = np.uint8 if chance.random() < 0.8 else chance.choice(_DTYPES)
    array: Any = np.zeros(shape, dtype)
    if array.dtype == np.uint8:
        array += np.arange(array.size, dtype=np.uint8).reshape(shape)
    match chance.randrange(9):
        case 0 if array.ndim:
            return array[::2]
        case 1 if array.ndim:
            return array[::-1]
        case 2 if array.ndim:
            return array[..., ::-1]
        case 3:
            return np.asfortranarray(array)
        case 4:
            return array.T
        case 5 if array.ndim >= 2 and array.size:
            huge = (chance.choice([1, 16384, 16385, 1 << 20]), chance.choice([1, 64, 16385]), 3)
            if huge[0] * huge[1] > 1 << 20:
                huge = (1 << 20, 1 << 20, 3)
            return np.lib.stride_tricks.as_strided(array, huge, (0, 0, 0))
        case 6:
            array.setflags(write=False)
            return array
        case 7 if array.dtype == np.uint8:
            return array.view(np.ma.MaskedArray) if chance.random() < 0.5 else np.asmatrix(array) if array.ndim == 2 else array
        case _:
            return array
