"""Pacing: a file at its own rate, on a clock that moves only when someone sleeps."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.demo import DemoSource
from ferengine.sources.paced import PacedSource


class FakeTime:
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Stamped:
    """A source whose frames carry nothing but the given time stamps."""

    def __init__(self, stamps: list[float], fps: float = 10.0) -> None:
        self._stamps = iter(stamps)
        self._fps = fps

    def open(self) -> SourceInfo:
        return SourceInfo(1, 1, self._fps, live=False)

    def read(self) -> CapturedFrame | None:
        stamp = next(self._stamps, None)
        return None if stamp is None else CapturedFrame(np.zeros((1, 1, 3), np.uint8), stamp)

    def skip(self, frames: int) -> None:
        for _ in range(frames):
            next(self._stamps, None)

    def close(self) -> None:
        pass


def paced(stamps: list[float]) -> tuple[PacedSource, FakeTime]:
    time = FakeTime()
    source = PacedSource(Stamped(stamps), clock=lambda: time.now, sleep=time.sleep)
    assert source.open().live
    return source, time


def test_pacing_does_not_drift() -> None:
    source, time = paced([i / 10 for i in range(50)])
    for index in range(50):
        captured = source.read()
        assert captured.timestamp == pytest.approx(index / 10)
        assert time.now == pytest.approx(50 + index / 10)
        time.now += 0.07  # the caller's own work
    assert source.read() is None
    assert source.lost == 0


def test_late_caller_loses_frames() -> None:
    source, time = paced([i / 10 for i in range(50)])
    source.read()
    time.now += 1.05
    assert source.read().timestamp == pytest.approx(1.0)
    assert source.lost == 9
    assert source.read().timestamp == pytest.approx(1.1)
    assert time.now == pytest.approx(51.1)
    time.now += 100
    assert source.read() is not None
    assert source.read() is None


def test_read_blocks_no_longer_than_a_period_and_50_ms() -> None:
    source, time = paced([0.0, 5.0, 5.1, 9.0])
    for _ in range(4):
        source.read()
    assert time.sleeps == pytest.approx([0.15, 0.1, 0.15])


def test_paced_demo_keeps_media_time_and_can_be_resumed() -> None:
    time = FakeTime()
    source = PacedSource(DemoSource(64, 64, fps=20.0), clock=lambda: time.now, sleep=time.sleep)
    source.open()
    source.skip(40)
    assert source.read().timestamp == pytest.approx(2.0)
    source.close()
