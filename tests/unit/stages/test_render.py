"""Whose the files of a video worker are, over several of its lives."""

from __future__ import annotations

import socket
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine._native import FrameRing, WorkerPage
from ferengine.ipc.channel import data_pair, send_data
from ferengine.results import Face, FrameResult, IgnoredFace, Timings
from ferengine.sinks.video import VideoWriter
from ferengine.stages import render
from ferengine.stages.messages import AddRing, FromWorker, Rendered, SinkFailed, VideoJoined, VideoRefused
from ferengine.stages.records import WINDOW_READER, RenderItem
from ferengine.stages.render import RenderStage
from ferengine.stages.start_messages import Descriptor, SaveVideo, StartRender, VideoPart
from stages_help import context

IMAGE = np.zeros((48, 64, 3), np.uint8)


class Life:
    """One life of a video worker, which is given frames and has ended without a word before it closed anything."""

    def __init__(self, path: Path, parts: tuple[VideoPart, ...] = (), *, overwrite: bool = False) -> None:
        self.reports: list[FromWorker] = []
        self._page, (ours, theirs) = WorkerPage.create(), socket.socketpair()
        self._kept = ours, theirs
        videos = (SaveVideo(0, str(path), overwrite),)
        start = StartRender(Descriptor(self._page.fd), Descriptor(theirs.fileno()), 1, False, videos, parts, (), (), None)
        self.stage = RenderStage(start, context(self._page, self.reports))
        self.stage.open()

    def write(self, *stamps: float) -> None:
        for stamp in stamps:
            self.stage._write(0, IMAGE, FrameResult("door", 0, stamp, 0.0, (), Timings(0, 0, 0, 0, 0)))

    @property
    def parts(self) -> tuple[VideoPart, ...]:
        return tuple(report for report in self.reports if isinstance(report, VideoPart))


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


class Killed(BaseException):
    pass


def killed(*arguments: object, **named: object) -> VideoWriter:
    raise Killed


@pytest.mark.parametrize("made", [False, True])
def test_a_worker_killed_around_the_making_of_its_file_has_a_successor_that_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    path = tmp_path / "door.mp4"
    first = Life(path)
    with monkeypatch.context() as patched:
        patched.setattr(render, "VideoWriter", killed)
        with pytest.raises(Killed):
            first.write(0.0)
    assert first.parts == (VideoPart(0, str(path), 64, 48, 0.0),)
    if made:
        path.touch()  # it got that far
    second = Life(path, first.parts)
    second.write(0.1, 0.2)
    assert [part.path for part in second.parts] == [str(tmp_path / "door.part2.mp4") if made else str(path)]
    assert not [report for report in second.reports if isinstance(report, SinkFailed)]
    second.stage._end(0)
    assert path.stat().st_size > 0
    assert [each.name for each in tmp_path.iterdir()] == ["door.mp4"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_what_a_killed_worker_left_is_counted_where_nothing_came_after_it(tmp_path: Path, suffix: str) -> None:
    """It was killed between the end of a second of video and its report."""
    path = tmp_path / f"door.{suffix}"
    first = Life(path)
    first.write(*(number / 30 for number in range(75)))  # the third second is not complete
    with path.open("ab") as file:
        file.write(b"\0\0\1\0moof cut off")
    reported = sum(report.results for report in first.reports if isinstance(report, Rendered))
    assert reported == 60
    first.reports.clear()
    second = Life(path, (VideoPart(0, str(path), 64, 48, 0.0),))
    second.stage._end(0)
    assert second.reports == [VideoJoined(0, frames_in(path))]
    assert frames_in(path) >= reported
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("left", [b"", b"\0\0\0\x20ftyp cut off"])
def test_what_cannot_be_read_is_not_counted(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "door.mp4"
    path.write_bytes(left)
    life = Life(path, (VideoPart(0, str(path), 64, 48, 0.0),))
    life.stage._end(0)
    assert life.reports == []
    assert path.exists()


def test_a_file_of_another_maker_is_never_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "door.mp4"
    life = Life(path)

    def too_late(*arguments: object, **named: object) -> None:
        path.write_bytes(b"precious")  # between the look and the making

    monkeypatch.setattr(render, "check_output", too_late)
    life.write(0.0)
    assert [type(report) for report in life.reports] == [VideoPart, VideoRefused, SinkFailed]
    life.stage._end(0)
    assert path.read_bytes() == b"precious"


def test_a_file_that_may_be_overwritten_is_a_part_once_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "door.mp4"
    path.write_bytes(b"old")
    life = Life(path, overwrite=True)
    with monkeypatch.context() as patched:
        patched.setattr(render, "VideoWriter", killed)
        with pytest.raises(Killed):
            life.write(0.0)
    assert life.parts == ()
    again = Life(path, overwrite=True)
    again.write(0.0)
    assert again.parts == (VideoPart(0, str(path), 64, 48, 0.0),)
    again.stage._end(0)
    assert not path.read_bytes().startswith(b"old")


def test_a_window_shows_blurred_faces_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[NDArray[np.uint8]] = []

    class Screen:
        def __init__(self, title: str) -> None:
            pass

        def show(self, image: NDArray[np.uint8]) -> None:
            shown.append(image)

        def poll(self) -> bool:
            return False

        def close(self) -> None:
            pass

    monkeypatch.setattr(render, "Window", Screen)
    page, (results, inbox), ring = WorkerPage.create(), data_pair(), FrameRing.create(8, IMAGE.nbytes)
    stage = RenderStage(
        StartRender(Descriptor(page.fd), Descriptor(inbox.fileno()), WINDOW_READER, True, (), (), (), (), 2), context(page, [])
    )
    stage.open()
    stage.handle(AddRing(Descriptor(ring.fd), 0, 0, False))
    noise = np.random.default_rng(0).integers(0, 256, IMAGE.shape, np.uint8)
    face, hidden = (4.0, 8.0, 12.0, 16.0), IgnoredFace(2, (40.0, 8.0, 12.0, 16.0))
    seen = Face(1, face, 1.0, 1.0, "detected", None, None)
    for number in range(4):
        slot = ring.acquire(0)
        np.asarray(ring.payload(slot))[: noise.size] = noise.ravel()
        ring.publish(slot, number, 64, 48, 64 * 3, 3, number / 10, 0, 1 << WINDOW_READER)
        faces, ignored = ((seen,), (hidden,)) if number else ((), ())  # found in the second frame
        result = FrameResult("door", number, number / 10, 0.0, faces, Timings(0, 0, 0, 0, 0), False, ignored, number)
        assert send_data(results, RenderItem(0, 0, slot, result).encode())
        while stage.step():
            pass
    assert len(shown) == 2
    for image in shown:
        for x, y, w, h in (face, hidden.box):
            inside = image[int(y) + 4 : int(y + h) - 4, int(x) + 4 : int(x + w) - 4]
            assert inside.std() < 0.5 * noise.std()
        assert image[40:].std() > 0.9 * noise.std()  # the rest is as it was
    for end in (results, inbox):
        end.close()
