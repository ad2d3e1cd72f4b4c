"""The queues of the render workers: what a full one does to others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ferengine.runtime.joiner import Joined
from ferengine.runtime.output_workers import HOLD, QUEUE, OutputDispatcher, OutputWorker
from ferengine.stages.records import VIDEO_READER, WINDOW_READER, RenderItem


class StillRing:
    """A frame ring whose readers keep everything."""

    def __init__(self) -> None:
        self.kept: dict[int, list[tuple[int, int]]] = {VIDEO_READER: [], WINDOW_READER: []}

    def held(self, reader: int) -> list[tuple[int, int]]:
        return list(self.kept[reader])

    def release(self, slot: int, reader: int) -> None:
        self.kept[reader] = [item for item in self.kept[reader] if item[1] != slot]


@pytest.mark.parametrize("live", [True, False])
def test_each_output_has_its_own_queue_and_frames(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The video takes nothing, the window everything: only the video drops, and only from live sources."""
    monkeypatch.setattr(RenderItem, "encode", lambda item: b"x" * 60_000)
    outputs = [
        OutputWorker("video", VIDEO_READER, complete=True),
        OutputWorker("window", WINDOW_READER, complete=not live),
    ]
    dispatcher, ring = OutputDispatcher(outputs), StillRing()
    camera = SimpleNamespace(number=0, live=live, rings={0: ring}, hold=HOLD)
    taken = 0
    for number in range(60):
        for kept in ring.kept.values():
            kept.append((number, number))
        joined = Joined(SimpleNamespace(frame=number), 0, number)  # type: ignore[arg-type]
        dispatcher.offer(camera, joined)  # type: ignore[arg-type]
        while outputs[1].waiting or taken <= number:
            outputs[1].inbox_out.recv(1 << 20)
            taken += 1
            outputs[1].flush()
        ring.kept[WINDOW_READER].clear()
    assert (taken, outputs[1].dropped) == (60, 0)
    if live:
        assert len(ring.kept[VIDEO_READER]) == HOLD
        assert outputs[0].dropped == 60 - HOLD
    else:
        assert outputs[0].dropped == 0
        assert len(outputs[0].waiting) > QUEUE
        assert not dispatcher.has_room
    outputs[0].give_up("it died")
    assert dispatcher.has_room
    assert dispatcher.readers == [outputs[1].reader]
