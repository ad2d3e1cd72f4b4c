"""The queues of the render workers: what a full one does to others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ferengine.runtime.joiner import Joined
from ferengine.runtime.output_workers import HOLD, QUEUE, OutputDispatcher, OutputWorker
from ferengine.stages.records import VIDEO_READER, WINDOW_READER, RenderItem
from ferengine.stages.start_messages import VideoPart


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


def test_a_window_paces_its_own_showing_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred results of a file in a second: the video takes all, the window sixty; of a camera it takes all."""
    clock = [100.0]
    monkeypatch.setattr("ferengine.runtime.output_workers.time.monotonic", lambda: clock[0])
    window = OutputWorker("window", WINDOW_READER, complete=False)
    video = OutputWorker("video", VIDEO_READER, complete=True)
    file, live = SimpleNamespace(number=0, live=False), SimpleNamespace(number=1, live=True)
    shown = []
    for number in range(200):
        clock[0] = 100.0 + number / 200
        assert video.takes(file, clock[0])  # type: ignore[arg-type]
        assert window.takes(live, clock[0])  # type: ignore[arg-type]
        shown.append(window.takes(file, clock[0]))  # type: ignore[arg-type]
    assert 45 <= sum(shown) <= 60


def test_what_several_lives_of_a_worker_have_written() -> None:
    video = OutputWorker("video", VIDEO_READER, complete=True)
    video.note_written(0, 30)
    video.note_written(0, 30)
    video.note_written(1, 7)  # in another life
    video.note_written(0, 5)
    assert video.written == 72
    video.parts = [VideoPart(camera, f"{camera}{part}.mp4", 64, 48, 0.0) for camera in (0, 1) for part in (1, 2)]
    video.note_joined(0, 65)
    assert (video.written, [part.path for part in video.parts]) == (72, ["01.mp4", "11.mp4", "12.mp4"])
    video.note_joined(0, 95)  # a worker was killed between the end of a second of video and its report
    assert video.written == 102
    video.note_refused(1)
    assert [part.path for part in video.parts] == ["01.mp4", "11.mp4"]
