"""Whose the files of a video worker are, over several of its lives."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from ferengine._native import WorkerPage
from ferengine.results import FrameResult, Timings
from ferengine.sinks.video import VideoWriter
from ferengine.stages import render
from ferengine.stages.messages import Descriptor, FromWorker, SaveVideo, SinkFailed, StartRender, VideoPart, VideoRefused
from ferengine.stages.render import RenderStage
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
