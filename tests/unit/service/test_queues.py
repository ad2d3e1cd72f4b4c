"""Slow clients lose what they cannot take, counted, and never hold back others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct

import pytest

from ferengine.results import Expression, Face, FrameResult, Scores, Timings
from ferengine.service import hub, live
from ferengine.service.analysis import MAX_WAITING, BusyError, ImageAnalysis
from ferengine.service.hub import Listener
from ferengine.service.live import LiveFrame, Viewer
from ferengine.service.messages import Encoded
from ferengine.service.timeline import SECONDS, Timeline

TIMES = Timings(0, 0, 0, 0, 0)


def result(number: int, *, track: int | None = 1, label: str = "happy", camera: str = "door") -> FrameResult:
    scores = {"happy": 0.25, "sad": 0.25, label: 0.75}
    face = Face(track, (1, 2, 3, 4), 0.9, 1.0, "detected", None, Expression(label, scores, Scores(label, scores)))
    return FrameResult(camera, number, number / 10, 5.0, (face,), TIMES)


def frame(number: int, *, key: bool = False, jpeg: bytes = b"") -> LiveFrame:
    return LiveFrame(number / 10, result(number), (640, 480), Encoded(key, 640, 480, fragment=b"x", jpeg=jpeg))


def test_a_viewer_begins_with_a_key_frame() -> None:
    viewer = Viewer("video")
    assert [viewer.offer(frame(n, key=n == 2)) for n in range(4)] == [0, 0, 0, 0]
    taken = [asyncio.run(viewer.take()) for _ in range(2)]
    assert [each.result.frame for each in taken if each] == [2, 3]


def test_a_frame_is_packed_once_for_all_viewers() -> None:
    sent = frame(3, key=True)
    assert sent.message is sent.message
    for message, more in ((sent.message, {}), (sent.message_after(4), {"skipped": 4})):
        [size] = struct.unpack_from(">I", message)
        head = {"time": 0.3, "key": True, "size": [640, 480], "result": sent.result.to_dict()} | more
        assert json.loads(message[4 : 4 + size]) == json.loads(json.dumps(head))
        assert message[4 + size :] == b"x"


def test_a_slow_viewer_is_taken_to_the_live_edge() -> None:
    viewer = Viewer("video")
    lost = [viewer.offer(frame(n, key=n in (0, live.QUEUE + 5))) for n in range(live.QUEUE + 7)]
    assert sum(lost) == viewer.skipped == live.QUEUE + 1
    taken = asyncio.run(viewer.take())
    assert taken is not None
    assert taken.result.frame == live.QUEUE + 5
    viewer.end("over")
    assert asyncio.run(viewer.take()) is not None  # what waits may still be taken
    assert asyncio.run(viewer.take()) is None


class NoFrames:
    """An engine without frames."""

    blur_frames = None

    def subscribe(self, *_: object, **__: object) -> NoFrames:
        return self

    def cancel(self) -> None:
        pass

    def join(self, timeout: float | None = None) -> bool:
        return True


def test_many_viewers_at_once_are_no_more_than_allowed() -> None:
    async def run() -> list[object]:
        videos = live.Live(NoFrames(), 2)  # type: ignore[arg-type]

        async def watch() -> None:
            async with videos.watch("door", "video"):
                await asyncio.sleep(0.1)

        found = await asyncio.gather(*(watch() for _ in range(5)), return_exceptions=True)
        await videos.close()
        return found

    refused = [each for each in asyncio.run(run()) if each is not None]
    assert [str(each) for each in refused] == 3 * ["2 clients are watching, which is the maximum: try again later"]


def test_who_watches_what_has_failed_is_told() -> None:
    async def run() -> list[str | None]:
        videos = live.Live(NoFrames(), 9)  # type: ignore[arg-type]
        told = []
        async with videos.watch("door", "video") as (video, _):
            video.error, video._deaths = "the encoder has died 3 times", live._DEATHS
            for kind in ("video", "jpeg"):
                async with videos.watch("door", kind) as (_, viewer):  # type: ignore[arg-type]
                    assert await asyncio.wait_for(viewer.take(), 60) is None
                    told.append(viewer.error)
        await videos.close()
        return told

    assert asyncio.run(run()) == 2 * ["the encoder has died 3 times"]


def test_no_more_images_come_at_once_than_may_wait() -> None:
    analysis = ImageAnalysis({})
    with contextlib.ExitStack() as coming:
        for _ in range(MAX_WAITING):
            coming.enter_context(analysis.place())
        with pytest.raises(BusyError, match="8 images wait already"):
            coming.enter_context(analysis.place())
    with analysis.place():
        pass


def test_a_viewer_of_images_gets_the_newest() -> None:
    viewer = Viewer("jpeg")
    assert [viewer.offer(frame(n, jpeg=b"j")) for n in range(3)] == [0, 1, 1]
    taken = asyncio.run(viewer.take())
    assert taken is not None
    assert taken.result.frame == 2


def test_a_slow_listener_loses_the_oldest() -> None:
    listener = Listener(frozenset({"door"}))
    assert listener.wants("door", "result")
    assert not listener.wants("lobby", "result")
    assert not listener.wants("door", "event")
    lost = [listener.offer(str(n)) for n in range(hub.QUEUE + 3)]
    assert sum(lost) == listener.take_dropped() == 3
    assert listener.take_dropped() == 0
    assert asyncio.run(listener.take(1)) == "3"
    listener.end()
    for _ in range(hub.QUEUE - 1):
        assert asyncio.run(listener.take(1)) is not None
    with pytest.raises(EOFError):
        asyncio.run(listener.take(1))


def test_a_listener_waits_no_longer_than_told() -> None:
    assert asyncio.run(Listener(None).take(0.01)) is None


def test_the_timeline_has_one_sample_a_second() -> None:
    timeline = Timeline()
    for number in range(100):
        timeline.add(result(number, label="happy" if number < 50 else "sad"), 1000 + number / 10)
    [person] = timeline.to_dict(1010)["door"]
    assert person["track"] == 1
    assert [sample[1] for sample in person["samples"]] == 5 * ["happy"] + 5 * ["sad"]
    assert person["samples"][0] == [1000, "happy", 0.75]


def test_the_timeline_forgets() -> None:
    timeline = Timeline()
    for number in range(200):
        timeline.add(result(number, track=number), 1000 + number)
    assert len(timeline.to_dict(1200)["door"]) == 64
    assert timeline.to_dict(1200 + SECONDS + 1)["door"] == []
    timeline.add(result(0, camera="lobby"), 1500)
    timeline.add(result(0, track=None, camera="lobby"), 1500)
    assert len(timeline.to_dict(1500)["lobby"]) == 1
    timeline.forget("lobby")
    assert "lobby" not in timeline.to_dict(1500)
