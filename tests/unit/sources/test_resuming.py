"""Sources that are thinned out or paced go on behind the last frame that came out of them, without reading from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.sources.base import Source
from ferengine.sources.demo import DemoSource
from ferengine.sources.video import VideoFileSource
from ferengine.sources.wrappers import AdjustedSource, PacedSource, ThinnedSource

FRAMES = 300


def variable(index: int) -> int:
    return index + index // 9 + 40 * (index // 100)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("resuming")

    def make(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.gop_size = 12
            for index in range(FRAMES):
                image = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts = variable(index) if "variable" in name else index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def read_all(source: Source) -> list[tuple[float, bytes]]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append((frame.timestamp, frame.image[0].tobytes()))
    return frames


@pytest.mark.parametrize("fps", [3.0, 29.0])
@pytest.mark.parametrize("name", ["a.mp4", "variable.mkv", "a.ts"])
def test_thinned_file_is_resumed_by_seeking(name: str, fps: float, videos: Callable[[str], Path]) -> None:
    path = videos(name)

    def opened() -> AdjustedSource:
        source = AdjustedSource(ThinnedSource(VideoFileSource(path, loop=2), fps), size=(32, 32))
        source.open()
        return source

    expected = read_all(opened())
    stamps = [stamp for stamp, _ in expected]
    for done in (1, len(expected) // 3, len(expected) // 2, len(expected) - 1, len(expected)):
        source = opened()
        decoded = count_decoded(source._source._source)
        source.skip(done, stamps[done - 1])
        assert decoded() <= 100 + 40  # as many as are quicker to read, or a few from a key frame on
        found = read_all(source)
        assert [image for _, image in found] == [image for _, image in expected[done:]]
        assert [stamp for stamp, _ in found] == pytest.approx(stamps[done:])
        assert source.broken_frames == 0


def count_decoded(source: Source) -> Callable[[], int]:
    """How many images the source has taken from its decoder since."""
    assert isinstance(source, VideoFileSource)
    count = 0

    def counted(images: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        nonlocal count
        for image in images:
            count += 1
            yield image

    start = source._read_images
    source._read_images = lambda decoder: counted(start(decoder))  # type: ignore[method-assign]
    source._images = counted(source._images)
    return lambda: count


def test_thinned_file_without_usable_stamps_is_read(tmp_path: Path, videos: Callable[[str], Path]) -> None:
    path = tmp_path / "a.h264"
    with av.open(str(videos("a.mp4"))) as clip, av.open(str(path), "w") as raw:
        stream = raw.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = stream
                raw.mux(packet)
    source, reference = (ThinnedSource(VideoFileSource(path), fps=5) for _ in range(2))
    source.open()
    reference.open()
    expected = read_all(reference)
    source.skip(20, expected[19][0])
    assert read_all(source) == expected[20:]


@pytest.mark.parametrize("loop", [1, 2])
@pytest.mark.parametrize("fps", [None, 25.0, 30.0])
def test_broken_frames_that_are_passed_over_are_counted(fps: float | None, loop: int, tmp_path: Path) -> None:
    """As many as without a restart, though a source that is thinned at its rate goes on by its time stamp."""
    path = tmp_path / "damaged.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(FRAMES):
            image = np.full((48, 64, 3), index % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[20:25]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)

    def opened() -> Source:
        file = VideoFileSource(path, loop=loop)
        source: Source = file if fps is None else ThinnedSource(file, fps)
        source.open()
        return source

    whole = opened()
    expected = read_all(whole)
    assert (len(expected), whole.broken_frames) == ((FRAMES - 5) * loop, 5 * loop)
    for done in (10, 200, len(expected) - 1, len(expected)):
        source = opened()
        source.skip(done, expected[done - 1][0])
        assert read_all(source) == expected[done:]
        assert source.broken_frames == 5 * loop


@pytest.mark.parametrize("fps", [None, 10.0])
def test_paced_file_goes_on_behind_the_frames_that_were_late(fps: float | None, videos: Callable[[str], Path]) -> None:
    """Fewer came out than lie before the place: the time stamp says where to go on, and no late frame counts as broken."""
    plain = VideoFileSource(videos("a.mp4"))
    plain.open()
    expected = [frame for frame in read_all(plain) if fps is None or round(frame[0] * 30) % 3 == 0]
    slept: list[float] = []
    file = VideoFileSource(videos("a.mp4"))
    source = PacedSource(ThinnedSource(file, fps) if fps else file, clock=lambda: sum(slept), sleep=slept.append)
    source.open()
    last = expected[len(expected) // 2][0]
    source.skip(7, last)
    assert slept == []
    assert read_all(source) == expected[len(expected) // 2 + 1 :]
    assert (source.broken_frames, source.late_frames) == (0, 0)


def test_paced_demo_goes_on_behind_a_stamp() -> None:
    source = DemoSource(64, 64, fps=20.0, frames=100)
    source.open()
    source.skip(None, 2.0)
    frame = source.read()
    assert frame is not None
    assert frame.timestamp == pytest.approx(2.05)


def ahead(frame: int, seconds: float) -> Callable[[int], float]:
    return lambda index: seconds * (index == frame)


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize(
    "wrong",
    [
        ahead(60, 5.0),
        ahead(150, 5.0),
        ahead(150, 0.3),
        lambda index: 3.0 * (index % 20 == 5),
        lambda index: 5.0 * (index >= 150),
    ],
    ids=["before", "near", "a little", "many", "pause within a group"],
)
def test_file_with_wrong_stamps_goes_on_as_if_it_had_been_read(
    wrong: Callable[[int], float], suffix: str, b_frames: int, tmp_path: Path
) -> None:
    """The stamps before the place, at it and behind it are wrong or not; no frame is lost and none comes twice."""
    path = encode_wrong(tmp_path, suffix, b_frames, wrong)
    with opened_video(path) as source:
        expected = read_all(source)
    assert len(expected) == 200
    for done in (120, 151, 170):
        last = expected[done - 1][0]
        for frames, stamp in ((done, None), (done, last), (None, last)):
            with opened_video(path) as source:
                source.skip(frames, stamp)
                found = read_all(source)
            assert [image for _, image in found] == [image for _, image in expected[done:]]
            assert [stamp for stamp, _ in found] == pytest.approx([stamp for stamp, _ in expected[done:]], abs=1e-6)
            assert source.broken_frames == 0


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_file_with_a_pause_is_resumed_by_seeking(suffix: str, b_frames: int, tmp_path: Path) -> None:
    """Frames that are reordered and far from each other are no wrong stamps."""
    path = encode_wrong(tmp_path, suffix, b_frames, lambda index: 5.0 * (index >= 144))
    with opened_video(path) as source:
        expected = read_all(source)
    for done in (130, 144, 145):
        for frames, stamp in ((done, None), (None, expected[done - 1][0])):
            with opened_video(path) as source:
                decoded = count_decoded(source)
                source.skip(frames, stamp)
                assert decoded() <= 40
                assert read_all(source) == expected[done:]


def encode_wrong(folder: Path, suffix: str, b_frames: int, wrong: Callable[[int], float]) -> Path:
    """A video of 25 frames/s, whose packets have stamps that are wrong by so many seconds, by their number."""
    path, right = folder / f"wrong.{suffix}", folder / f"right.{suffix}"
    with av.open(str(right), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, b_frames
        for index in range(200):
            image = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    with av.open(str(right)) as clip, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(clip.streams.video[0])
        for index, packet in enumerate(packet for packet in clip.demux(video=0) if packet.size):
            assert packet.pts is not None
            assert packet.time_base is not None
            packet.pts += round(wrong(index) / packet.time_base)
            packet.stream = stream
            container.mux(packet)
    return path


@contextmanager
def opened_video(path: Path) -> Iterator[VideoFileSource]:
    source = VideoFileSource(path)
    source.open()
    try:
        yield source
    finally:
        source.close()
