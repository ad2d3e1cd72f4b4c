"""What the supervisor says of a source that has been opened; no worker is started."""

from __future__ import annotations

import logging

import pytest

from ferengine import Engine
from ferengine.stages.messages import SourceOpened


@pytest.mark.parametrize(("side", "says"), [(7000, False), (16000, True)])
def test_frames_that_take_long_are_said_once_with_the_hint(
    side: int, says: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine("demo")
    supervisor = engine._supervisor
    [camera] = supervisor.state.cameras
    monkeypatch.setattr(supervisor.rings, "begin", lambda camera, nbytes: None)
    with caplog.at_level(logging.WARNING):
        supervisor._note_open(camera, SourceOpened(camera.number, side, side, 25.0, False, 0.0, 3, 0.0))
    said = "demo has frames of 16000x16000 pixels, which take long to decode and to search: --size 3840x2160 scales them down"
    assert [record.getMessage() for record in caplog.records] == [said] * says
    assert camera.size == (side, side)
    engine.close()
