"""Wrapped sources: pacing on a clock that moves only when someone sleeps; size, rate and rotation of any source."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.frames import rotate
from ferengine.sources import open_source, parse_source
from ferengine.sources.base import CapturedFrame, Kept, Source, SourceInfo
from ferengine.sources.demo import DemoSource
from ferengine.sources.video import VideoFileSource
from ferengine.sources.wrappers import AdjustedSource, PacedSource, ThinnedSource


class Numbered:
    """``stamps`` as time stamps of images of 60x40 whose left column is white."""

    broken_frames = 0
    late_frames = 0
    left_out_frames = 0
    replaced_stamps = 0
    truncated = False

    def __init__(self, stamps: list[float], fps: float = 30.0, live: bool = False, media: list[float] | None = None) -> None:
        self._stamps = iter(stamps)
        self._media = None if media is None else iter(media)
        self._fps = fps
        self._live = live

    def open(self) -> SourceInfo:
        return SourceInfo(60, 40, self._fps, self._live, frames=None if self._live else 100)

    def read(self) -> CapturedFrame | None:
        stamp = next(self._stamps, None)
        image = np.zeros((40, 60, 3), np.uint8)
        image[:, 0] = 255
        return None if stamp is None else CapturedFrame(image, stamp, None if self._media is None else next(self._media))

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        for _ in range(frames or 0):
            next(self._stamps, None)

    def close(self) -> None:
        """Nothing to close."""


def stamps_of(source: Source) -> list[float]:
    stamps = []
    while (frame := source.read()) is not None:
        stamps.append(frame.timestamp)
    return stamps


@pytest.mark.parametrize(("size", "expected"), [((30, 30), (30, 20)), ((60, 10), (15, 10)), ((640, 480), (60, 40))])
def test_images_fit_into_the_size_in_proportion(size: tuple[int, int], expected: tuple[int, int]) -> None:
    source = AdjustedSource(Numbered([0.0]), size=size)
    info = source.open()
    frame = source.read()
    assert frame is not None
    assert (info.width, info.height) == expected == frame.image.shape[1::-1]


@pytest.mark.parametrize(("degrees", "white"), [(0, "left"), (90, "top"), (180, "right"), (270, "bottom")])
def test_turning_is_clockwise(degrees: int, white: str) -> None:
    source = AdjustedSource(Numbered([0.0]), rotate=degrees)
    info = source.open()
    frame = source.read()
    assert frame is not None
    assert (info.width, info.height) == frame.image.shape[1::-1] == ((60, 40) if degrees % 180 == 0 else (40, 60))
    sides = {"left": (slice(None), 0), "right": (slice(None), -1), "top": (0,), "bottom": (-1,)}
    assert [side for side, where in sides.items() if frame.image[where].all()] == [white]
    assert rotate(frame.image, -degrees).shape == (40, 60, 3)


@pytest.mark.parametrize(("given", "wanted", "every"), [(30, 10, 3), (30, 15, 2), (25, 5, 5)])
def test_thinning_keeps_the_rate(given: int, wanted: int, every: int) -> None:
    stamps = [round(i / given, 3) for i in range(60)]
    source = ThinnedSource(Numbered(stamps, given), fps=wanted)
    info = source.open()
    assert (info.fps, info.frames) == (wanted, None)
    assert stamps_of(source) == stamps[::every]
    assert source.left_out_frames == 60 - 60 // every


def test_rates_that_do_not_divide_are_met_on_average() -> None:
    source = ThinnedSource(Numbered([i / 25 for i in range(250)], 25), fps=10)
    source.open()
    assert 98 <= len(stamps_of(source)) <= 102


def test_a_pause_makes_no_burst() -> None:
    source = ThinnedSource(Numbered([0.0, 0.05, 0.1, 5.0, 5.05, 5.1, 5.15, 5.2], 20), fps=10)
    source.open()
    assert stamps_of(source) == [0.0, 0.1, 5.0, 5.1, 5.2]


def test_a_higher_rate_changes_nothing_and_skipping_counts_what_is_kept() -> None:
    stamps = [i / 30 for i in range(30)]
    plain = ThinnedSource(Numbered(stamps), fps=60)
    assert plain.open().frames == 100
    assert stamps_of(plain) == stamps
    thinned, reference = (ThinnedSource(Numbered(stamps), fps=10) for _ in range(2))
    thinned.open()
    reference.open()
    thinned.skip(4)
    assert thinned.left_out_frames == 0
    assert stamps_of(thinned) == stamps_of(reference)[4:]


def most_in(stamps: list[float], seconds: float) -> int:
    """Most frames within so many seconds."""
    return max(sum(begin <= stamp < begin + seconds for stamp in stamps) for begin in stamps)


def test_a_video_of_variable_rate_is_thinned_where_it_is_fast() -> None:
    stamps = [*(i / 15 for i in range(150)), *(10 + i / 60 for i in range(600)), *(20 + i / 15 for i in range(150))]
    source = ThinnedSource(Numbered(stamps, 20), fps=20)
    assert source.open().fps == 20
    kept = stamps_of(source)
    assert [stamp for stamp in kept if stamp < 10] == stamps[:150]
    assert len([stamp for stamp in kept if 10 <= stamp < 20]) == pytest.approx(200, abs=6)
    assert [stamp for stamp in kept if stamp >= 20] == stamps[-150:]
    assert most_in(kept, 1.0) <= 22


@pytest.mark.parametrize(("real", "kept"), [(30, 6000), (15, 6000), (19.9, 6000), (60, 2040 + 200)])
def test_a_camera_that_sends_more_than_it_says_is_thinned(real: float, kept: int) -> None:
    jitter = np.random.default_rng(3).uniform(-0.3, 0.3, 6000)
    stamps = list((np.arange(6000) + jitter) / real + 1.7e9)
    source = ThinnedSource(Numbered(stamps, 15, live=True), fps=max(real, 15) if real < 60 else 20)
    assert source.open().fps == 15
    delivered = stamps_of(source)
    assert len(delivered) == pytest.approx(kept, abs=6)
    if real == 60:  # once it has sent ten seconds more
        assert most_in(delivered[-400:], 1.0) <= 22


@pytest.mark.parametrize("fps", [25, 30, 60, 100])
@pytest.mark.parametrize("seconds", [0.12, 0.2, 1.0, 6.0, 10.0])
def test_frames_that_a_network_delivers_in_bunches_are_all_kept(seconds: float, fps: float) -> None:
    bunch = round(25 * seconds)
    stamps = [1.7e9 + index // bunch * seconds + index % bunch * 0.001 for index in range(3000)]
    source = ThinnedSource(Numbered(stamps, 25, live=True), fps)
    source.open()
    assert stamps_of(source) == stamps


@pytest.mark.parametrize(("fps", "every"), [(5, 5), (12.5, 2), (25, 1), (30, 1)])
@pytest.mark.parametrize("seconds", [0.04, 0.2, 1.0, 6.0, 10.0])
def test_of_bunches_the_frames_that_are_due_by_their_own_time_are_kept(seconds: float, fps: float, every: int) -> None:
    bunch = round(25 * seconds)
    stamps = [1.7e9 + index // bunch * seconds + index % bunch * 0.001 for index in range(3000)]
    media = [index / 25 for index in range(3000)]
    source = ThinnedSource(Numbered(stamps, 25, live=True, media=media), fps)
    source.open()
    kept = stamps_of(source)
    due = stamps[::every]
    assert set(due) <= set(kept)
    assert len(kept) - len(due) <= len(due) // 50  # at the beginning of a bunch
    assert source.left_out_frames == 3000 - len(kept)


@pytest.mark.parametrize(("segment", "kept"), [(2, 300), (6, 300), (10, 300), (20, 150)])
def test_a_stream_that_begins_with_three_segments_at_once_keeps_the_rate(segment: int, kept: int) -> None:
    """Of segments of 20 s, 60 s come at once, of which thirty are kept."""
    media = [index / 25 for index in range(25 * 60)]
    begin = [1.7e9 + (max(0, each // segment - 2)) * segment + each % segment * 0.001 for each in media]
    source = ThinnedSource(Numbered(begin, 25, live=True, media=media), fps=5)
    source.open()
    found = [round((stamp - 1.7e9) * 1e6) for stamp in stamps_of(source)]
    assert len(found) == pytest.approx(kept, abs=3)
    assert source.left_out_frames == len(media) - len(found)


@pytest.mark.parametrize("speed", [0.01, 0.2, 0.5, 3.0, 100.0])
def test_a_stream_whose_own_time_has_another_speed_keeps_the_rate(speed: float) -> None:
    stamps = [1.7e9 + index / 25 for index in range(25 * 600)]
    source = ThinnedSource(Numbered(stamps, 25, live=True, media=[speed * index / 25 for index in range(25 * 600)]), fps=5)
    source.open()
    kept = stamps_of(source)
    assert 3000 - 10 <= len(kept) <= 3000 + 30 * 5
    assert most_in(kept[-1000:], 1.0) <= 7


def test_a_pause_of_a_stream_is_not_made_up_for() -> None:
    times = [*(index / 25 for index in range(250)), *(60 + index / 25 for index in range(250))]
    source = ThinnedSource(Numbered([1.7e9 + each for each in times], 25, live=True, media=times), fps=5)
    source.open()
    assert len(stamps_of(source)) == pytest.approx(100, abs=4)


def test_frames_that_come_late_and_early_are_all_kept() -> None:
    jitter = np.random.default_rng(5).uniform(-2, 2, 3000)
    stamps = sorted((np.arange(3000) + jitter) / 25 + 1.7e9)
    source = ThinnedSource(Numbered(stamps, 25, live=True), fps=25)
    source.open()
    assert stamps_of(source) == stamps


def test_rounded_stamps_at_the_maximum_rate_are_all_kept() -> None:
    for rate in (25, 29.97, 30, 50, 59.94):
        stamps = [round(i / rate, 3) for i in range(1000)]
        source = ThinnedSource(Numbered(stamps, rate), fps=rate)
        source.open()
        assert stamps_of(source) == stamps


def test_a_thinned_source_at_its_maximum_rate_goes_on_behind_the_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for index in range(400):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="bgr24")
            frame.pts = 40 * index if index < 200 else 8000 + 10 * (index - 200)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reference = ThinnedSource(VideoFileSource(path), fps=30)
    assert reference.open().fps == pytest.approx(25, abs=0.1)
    stamps = stamps_of(reference)
    assert len(stamps) == pytest.approx(260, abs=3)
    for kept in (1, 50, 190, 230):
        resumed = ThinnedSource(VideoFileSource(path), fps=30)
        resumed.open()
        resumed.skip(kept, stamps[kept - 1])
        assert stamps_of(resumed)[0] == pytest.approx(stamps[kept], abs=0.02)
        stamps_of(resumed)
        assert resumed.broken_frames == 0  # what was left out is not broken


class FakeTime:
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def paced(stamps: list[float]) -> tuple[PacedSource, FakeTime]:
    time = FakeTime()
    source = PacedSource(Numbered(stamps, 10.0), clock=lambda: time.now, sleep=time.sleep)
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
    assert source.late_frames == 0


def test_late_caller_loses_frames() -> None:
    source, time = paced([i / 10 for i in range(50)])
    source.read()
    time.now += 1.05
    assert source.read().timestamp == pytest.approx(1.0)
    assert source.late_frames == 9
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


def test_pacing_of_a_source_that_is_slower_than_its_rate_goes_on() -> None:
    """Passing over late frames ends after a second: on a machine that cannot keep up it would not come to an end."""
    source, time = paced([i / 10 for i in range(1000)])
    read = source._source.read

    def slow_read() -> CapturedFrame | None:
        time.now += 0.3
        return read()

    source._source.read = slow_read  # type: ignore[method-assign]
    assert source.read().timestamp == 0.0
    time.now += 30
    before, delivered = time.now, []
    for _ in range(20):
        delivered.append(source.read().timestamp)
        assert time.now - before <= 1.6
        before = time.now
    assert delivered == sorted(set(delivered))
    assert len(delivered) + 1 + source.late_frames == round(10 * delivered[-1]) + 1


def replayed(
    monkeypatch: pytest.MonkeyPatch, stamps: list[float], given: float, **options: object
) -> tuple[PacedSource, FakeTime]:
    """What ``open_source`` makes of a file with such frames at its own rate."""
    time = FakeTime()
    monkeypatch.setattr("ferengine.sources._plain_source", lambda *_: Numbered(stamps, given))
    source = open_source(parse_source("clip.mp4", pace="native", **options))
    assert isinstance(source, PacedSource)
    source._clock, source._sleep = lambda: time.now, time.sleep
    source.open()
    return source, time


def test_only_frames_that_thinning_keeps_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    source, time = replayed(monkeypatch, [i / 30 for i in range(600)], 30.0, fps=1.0)
    delivered = []
    while (frame := source.read()) is not None:
        delivered.append(frame.timestamp)
        time.now += 2.5 if len(delivered) % 4 == 0 else 0.4  # the caller's own work
    assert len(delivered) < 20
    assert delivered == sorted(set(delivered))
    assert all(stamp == round(stamp) for stamp in delivered)
    assert len(delivered) + source.late_frames == 20


@pytest.mark.parametrize(("given", "fps"), [(10, 9.0), (30, 29.0), (30, 1.0)])
def test_thinned_frames_keep_the_pace(given: int, fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are up to two periods apart, which is no pause of the file that would be shortened."""
    source, time = replayed(monkeypatch, [i / given for i in range(20 * given)], given, fps=fps)
    began = time.now
    while (frame := source.read()) is not None:
        assert time.now - began == pytest.approx(frame.timestamp)
    assert source.late_frames == 0


def test_late_caller_that_waits_for_all_frames_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [i / 10 for i in range(50)]
    source, time = replayed(monkeypatch, stamps, 10.0, when_late="wait")
    delivered = []
    while (frame := source.read()) is not None:
        delivered.append(frame.timestamp)
        time.now += 1.05 if len(delivered) == 5 else 0.01
    assert delivered == stamps
    assert source.late_frames == 0
    assert time.now == pytest.approx(50 + 4.9 + 0.01)  # it has caught up
