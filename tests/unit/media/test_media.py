"""Snapshots and clips: their names, what they show, how long they stay, and what happens when they cannot be written."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from disk_help import largest_file
from ferengine.errors import SinkError
from ferengine.media.camera import CameraMedia
from ferengine.media.files import finish_leftovers, open_partial, partial_of
from ferengine.media.messages import Record
from ferengine.media.recorder import MediaRecorder
from ferengine.media.requests import EventMedia, MediaRequest, MediaSettings
from ferengine.media.retention import Retention
from ferengine.media.worker import MediaWorker
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.person_events import Event, EventDetector, EventKind
from ferengine.sinks.sink_thread import SinkThread
from results_help import face, result

KINDS: frozenset[EventKind] = frozenset({"appeared", "expression", "disconnected"})


def settings_of(folder: Path, **more: object) -> MediaSettings:
    values = {"snapshots": folder, "clips": folder, "kinds": KINDS, "before": 1.0, "after": 2.0, "drawn": False} | more
    return MediaSettings(**values)  # type: ignore[arg-type]


def image(number: int) -> NDArray[np.uint8]:
    """A frame that shows its number as black and white stripes, one a bit."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8)
    return np.broadcast_to(np.repeat(255 * bits, 8)[None, :, None], (48, 64, 3)).copy()


def shown(path: Path | str) -> list[int]:
    """The numbers of the frames of a clip or a snapshot."""
    if str(path).endswith(".jpg"):
        frames = [np.asarray(cv2.imread(str(path)))]
    else:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [sum((int(frame[24, 8 * bit + 4, 1]) > 127) << bit for bit in range(8)) for frame in frames]


def request(folder: Path, name: str, at: float, begin: float, end: float) -> MediaRequest:
    return MediaRequest("door", at, folder / f"{name}.jpg", folder / f"{name}.mp4", begin, end)


# --- what they are called


def test_an_event_has_the_same_files_for_every_output(tmp_path: Path) -> None:
    media = EventMedia(settings_of(tmp_path))
    attach, attach_too = media.for_output(), media.for_output()
    first = attach(Event("appeared", "a/b", 1764097200.25, 7, "happy"))
    assert first.snapshot == str(tmp_path / "a_b-20251125T190000.250Z-appeared-7.jpg")
    assert first.clip == str(tmp_path / "a_b-20251125T190000.250Z-appeared-7.mp4")
    again = attach_too(Event("appeared", "a/b", 1764097200.5, 7, "happy"))  # its queue had dropped some frames
    assert (again.snapshot, again.clip) == (first.snapshot, first.clip)
    other = attach(Event("appeared", "a/b", 1764097200.5, 8, "happy"))
    assert other.snapshot != first.snapshot
    assert other.clip == first.clip  # it is in the clip that is going on
    assert attach(Event("left", "a/b", 1764097201.0, 7)).clip is None
    assert [(each.begin - 1764097200, each.end - 1764097200) for each in media.take()] == [(-0.75, 2.25), (-0.75, 2.5)]
    assert media.take() == ()


def test_two_scene_cuts_within_a_second_are_two_events(tmp_path: Path) -> None:
    media = EventMedia(settings_of(tmp_path, kinds=frozenset({"scene_cut"})))
    one, two, three = (media.for_output() for _ in range(3))
    cuts = [Event("scene_cut", "door", at) for at in (1.0, 1.4, 1.8)]
    first = [one(cut).snapshot for cut in cuts]
    assert len(set(first)) == 3
    assert [two(cut).snapshot for cut in cuts] == first
    assert [three(cut).snapshot for cut in cuts[1:]] == first[1:]  # it has missed the frame of the first
    assert len(media.take()) == 3


def test_a_file_that_begins_anew_has_new_files(tmp_path: Path) -> None:
    media = EventMedia(settings_of(tmp_path))
    one, two = media.for_output(), media.for_output()
    appeared = Event("appeared", "talk", 0.5, 1, "happy")
    media.note("talk", 9.0)
    first = one(appeared)
    media.note("talk", 0.0)
    second = one(appeared)
    assert (second.snapshot, second.clip) == (str(first.snapshot)[:-4] + "-2.jpg", str(first.clip)[:-4] + "-2.mp4")
    assert [two(appeared) for _ in range(2)] == [first, second]  # an output that is behind
    assert len(media.take()) == 2


def test_two_runs_may_write_to_one_folder(tmp_path: Path) -> None:
    event = Event("appeared", "talk", 0.5, 1, "happy")
    one, two = (EventMedia(settings_of(tmp_path)).for_output()(event) for _ in range(2))
    assert (one.snapshot, one.clip) != (two.snapshot, two.clip)
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())  # the names are reserved
    assert finish_leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_of_a_video_and_those_that_exist(tmp_path: Path) -> None:
    media = EventMedia(settings_of(tmp_path))
    attach = media.for_output()
    (tmp_path / "talk-000012.500s-expression-1.mp4").touch()
    event = attach(Event("expression", "talk", 12.5, 1, "sad", before="happy"))
    assert event.snapshot == str(tmp_path / "talk-000012.500s-expression-1.jpg")
    assert event.clip == str(tmp_path / "talk-000012.500s-expression-1-2.mp4")
    assert attach(Event("disconnected", "other", 1764097200.0)).clip is None  # it has shown nothing
    media.note("talk", 14.0)
    ended = attach(Event("disconnected", "talk", 1764097200.0))  # a file has media seconds; its events have not
    assert ended.snapshot == str(tmp_path / "talk-000014.000s-disconnected.jpg")
    assert ended.clip == event.clip
    long = attach(Event("appeared", 90 * "門", 1.0, 1))
    assert str(long.clip).endswith(f"{33 * '門'}-000001.000s-appeared-1.mp4")  # as long as a file system takes
    assert partial_of(Path(str(long.clip))).exists()


def test_a_clip_lasts_a_minute_at_most(tmp_path: Path) -> None:
    media = EventMedia(settings_of(tmp_path))
    attach = media.for_output()
    paths = [attach(Event("expression", "door", float(at), 1, str(at))).clip for at in range(0, 120, 2)]
    assert len(set(paths)) == 3
    requests = media.take()
    assert max(each.end - each.begin for each in requests) == 59.0  # one more would be 61
    assert {each.at for each in requests} == set(range(0, 120, 2))


# --- what they show


def test_a_clip_has_the_seconds_before_and_after(tmp_path: Path) -> None:
    camera = CameraMedia(1.0)
    for number in range(100):
        camera.add(image(number), number / 10)
        if number == 50:
            camera.request(request(tmp_path, "a", 5.0, 4.0, 7.0))
        if number == 60:  # another event goes on with it
            camera.request(request(tmp_path, "a", 6.0, 4.0, 8.0))
    assert shown(tmp_path / "a.mp4") == list(range(40, 81))
    assert shown(tmp_path / "a.jpg") == [60]
    assert [(each.path.name, each.is_short, each.error) for each in camera.take_written()] == [
        ("a.jpg", False, None), ("a.jpg", False, None), ("a.mp4", False, None),
    ]  # fmt: skip
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 10 for number in range(41)], abs=1e-3)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_event_that_is_found_late_still_has_its_clip(tmp_path: Path) -> None:
    camera = CameraMedia(1.0)
    for number in range(30):
        camera.add(image(number), number / 10)
    camera.request(request(tmp_path, "a", 1.0, 0.0, 2.0))
    assert camera.is_busy
    while camera.is_busy:
        camera.work()
    camera.work()
    assert shown(tmp_path / "a.mp4") == list(range(21))
    assert shown(tmp_path / "a.jpg") == [10]
    camera.request(request(tmp_path, "a", 1.9, 0.0, 3.9))  # that clip is over
    camera.end()
    assert shown(tmp_path / "a.mp4") == list(range(21))


def test_the_end_of_a_camera_finishes_its_clips_and_says_that_they_are_short(tmp_path: Path) -> None:
    camera = CameraMedia(1.0)
    camera.request(request(tmp_path, "a", 1.0, 0.0, 3.0))
    camera.request(request(tmp_path, "b", 9.0, 8.0, 9.5))
    for number in range(15):
        camera.add(image(number), number / 10)
    camera.end()
    assert shown(tmp_path / "a.mp4") == list(range(15))
    assert shown(tmp_path / "b.jpg") == [14]
    by_name = {each.path.name: each for each in camera.take_written()}
    assert by_name["a.mp4"].is_short
    assert by_name["b.mp4"].error == f"{tmp_path / 'b.mp4'}: its camera has shown no frame"
    assert not (tmp_path / "b.mp4").exists()
    camera.request(request(tmp_path, "c", 1.0, 0.0, 3.0))
    camera.add(image(1), 0.0)  # the file begins anew
    camera.add(image(2), 3.5)
    assert shown(tmp_path / "c.mp4") == [1]


def test_faces_are_blurred_and_drawn_as_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (96, 128, 3), np.uint8)
    files = {}
    for name, more in {"plain": {}, "blurred": {"blur_frames": 2}, "drawn": {"drawn": True}}.items():
        worker = MediaWorker(settings_of(tmp_path, **more))
        for number in range(12):
            read = result(number, *([face(1, "happy")] if number else []))
            requests = (request(tmp_path, name, 0.0, 0.0, 1.0),) if number == 11 else ()
            worker.record(Record(result=read, width=128, height=96, requests=requests), noise.copy())
        worker.record(Record(finish=True), None)
        files[name] = np.asarray(cv2.imread(str(tmp_path / f"{name}.jpg")), float)
    inside = np.s_[4:40, 3:30]
    assert files["plain"][inside].std() > 50
    assert files["blurred"][inside].std() < 30  # in the frame before the face was found
    assert np.abs(files["plain"] - files["drawn"]).max() > 60


# --- how long they stay


def test_old_files_go_first_and_others_are_not_touched(tmp_path: Path) -> None:
    names = [f"door-{number:06}.000s-appeared-1.mp4" for number in range(6)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000.0 + number, 1000.0 + number))
    (tmp_path / "holiday.mp4").write_bytes(bytes(1000))
    retention = Retention(tmp_path, 1.0, 450)
    retention.enforce(1010.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names[2:], "holiday.mp4"]
    (tmp_path / names[2]).unlink()  # someone else has deleted it
    retention.enforce(1003.5 + 86400)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names[4:], "holiday.mp4"]
    new = tmp_path / "door-000009.000s-left-1-2.jpg"
    new.write_bytes(bytes(400))
    retention.add(new)
    retention.enforce(1010.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "holiday.mp4"]
    assert retention.deleted == 6


def test_what_a_killed_run_was_writing_plays_as_far_as_it_got(tmp_path: Path) -> None:
    camera, name = CameraMedia(1.0), "door-000000.000s-appeared-1"
    whole = tmp_path / f"{name}.mp4"
    camera.request(request(tmp_path, name, 0.0, 0.0, 9.0))
    for number in range(35):
        camera.add(image(number), number / 10)
    partial = partial_of(whole)
    data = partial.read_bytes()
    assert finish_leftovers(tmp_path) == []  # it is being written
    camera.end()
    whole.unlink()
    partial.write_bytes(data + b"\0\0\1\0moof")
    partial_of(whole.with_stem(f"{name}-2")).touch()
    partial_of(tmp_path / "holiday.mp4").touch()  # another program's
    half, busy = tmp_path / "door-000001.000s-appeared-1.jpg", tmp_path / "door-000002.000s-appeared-1.jpg"
    partial_of(half).write_bytes(b"half of a snapshot")
    writing = open_partial(busy)
    assert finish_leftovers(tmp_path) == [whole]
    assert shown(whole) == list(range(30))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        partial_of(busy).name, ".holiday.partial.mp4", f"{name}.jpg", whole.name,
    ]  # fmt: skip
    os.close(writing)


# --- when they cannot be written


def test_a_full_disk_keeps_what_plays_and_the_next_is_tried_again(tmp_path: Path) -> None:
    camera = CameraMedia(1.0)
    rng = np.random.default_rng(1)
    with largest_file(120_000):
        camera.request(request(tmp_path, "a", 0.0, 0.0, 9.0))
        for number in range(40):
            camera.add(rng.integers(0, 255, (120, 160, 3), np.uint8), number / 10)
    failed = [each for each in camera.take_written() if each.error is not None]
    assert [each.path.name for each in failed] == ["a.mp4"]
    assert failed[0].error == f"{tmp_path / 'a.mp4'} cannot be written: File too large; what plays of it is kept"
    assert 0 < len(shown(tmp_path / "a.mp4")) < 40
    camera.request(request(tmp_path, "b", 3.5, 3.0, 3.8))
    camera.end()
    assert [(each.path.name, each.error) for each in camera.take_written()] == [("b.jpg", None), ("b.mp4", None)]


class Queue:
    """Results with their images."""

    dropped = waiting = 0

    def __init__(self, results: Iterator[FrameResult]) -> None:
        self._results = results

    def take(self, timeout: float | None = None) -> tuple[FrameResult, NDArray[np.uint8]] | None:
        each = next(self._results, None)
        if each is None:
            raise EOFError
        return each, image(each.frame % 120)

    def close(self) -> None:
        pass


def recorder_of(folder: Path, frames: int) -> tuple[MediaRecorder, EventDetector]:
    media = EventMedia(settings_of(folder))
    people = (result(number, face(1, "happy" if number < 60 else "sad")) for number in range(frames))
    return MediaRecorder(media, Queue(people)), EventDetector(media.for_output())


def feed(recorder: MediaRecorder, frames: int, other: EventDetector) -> list[Event]:
    events = []
    for _ in range(frames):
        each = recorder.feed.take()
        assert each is not None
        recorder.write(each)
        events += other.add(each)
    recorder.flush_if_due()
    return events


def test_the_recorder_writes_what_other_outputs_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder, other = recorder_of(tmp_path / "made", 100)
    with caplog.at_level("INFO"):
        events = feed(recorder, 80, other)
        event = CameraEvent("door", "disconnected", 1764097200.0, "gone")
        events += other.add_camera_event(event)
        recorder.write_camera_event(event)
        recorder.close()
        recorder.close()
    assert [each.kind for each in events] == ["appeared", "expression", "left", "disconnected"]
    appeared, changed, _, gone = events
    assert (appeared.snapshot, appeared.clip) != (None, None)
    assert shown(str(appeared.clip)) == list(range(26))
    assert shown(str(changed.snapshot)) == [67]
    assert shown(str(changed.clip)) == list(range(57, 80))
    assert gone.clip == changed.clip
    assert shown(str(gone.snapshot)) == [79]
    assert (recorder.written, recorder.short, recorder.failed, recorder.dropped) == (5, 1, 0, 0)
    assert "5 written, 1 of them shorter than asked for, 0 not written" in caplog.text


def test_a_child_that_dies_is_replaced_and_what_plays_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder, other = recorder_of(tmp_path, 200)
    [appeared] = feed(recorder, 20, other)
    child = recorder._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    events = feed(recorder, 100, other)
    recorder.close()
    assert "1 clips were cut short, 0 files are missing" in caplog.text
    assert 0 < len(shown(str(appeared.clip))) < 26
    assert [each.kind for each in events] == ["expression"]
    assert shown(str(events[0].clip)) == list(range(57, 88))
    assert (recorder.written, recorder.short, recorder.failed) == (4, 1, 0)


def test_what_there_is_no_time_for_is_cut_short_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As after Ctrl-C, when the last clips take longer than the outputs may."""
    recorder, other = recorder_of(tmp_path, 200)
    [appeared] = feed(recorder, 22, other)
    child = recorder._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    thread = SinkThread("media", recorder, recorder.feed, give_up=recorder.give_up)
    thread.start()
    thread.abandon()
    assert not thread.busy
    assert "the run was stopped): 1 clips were cut short, 0 files are missing" in caplog.text
    assert thread.error == "snapshots and clips: the run was stopped before all of them were encoded"
    assert 0 < len(shown(str(appeared.clip))) < 26
    assert (recorder.written, recorder.short, recorder.failed) == (2, 1, 0)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_not_written_is_an_error_at_the_end(tmp_path: Path) -> None:
    recorder, other = recorder_of(tmp_path / "made", 100)
    feed(recorder, 4, other)
    for path in list((tmp_path / "made").iterdir()):
        path.unlink()
    (tmp_path / "made").rmdir()
    [event] = feed(recorder, 90, other)[:1]
    with pytest.raises(SinkError, match="files were not written, or not in full"):
        recorder.close()
    assert recorder.written == 0
    assert recorder.failed == recorder.dropped == 4
    assert not Path(str(event.clip)).exists()
