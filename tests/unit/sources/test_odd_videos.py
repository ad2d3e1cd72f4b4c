"""Videos as cameras, phones and editors really write them, against what PyAV decodes of them plainly."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.errors import SourceError
from ferengine.sources.conversion import FrameConverter
from ferengine.sources.truncation import find_truncation
from ferengine.sources.video import VideoFileSource

FRAMES = 20


def gradient(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGB; each corner has a colour of its own, and frames differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = columns * 255 // max(1, width - 1), rows * 255 // max(1, height - 1)
    return np.stack([red, green, np.full_like(red, 10 * index)], axis=-1).astype(np.uint8)


def encode(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    frames: int = FRAMES,
    pts: Callable[[int], int] = int,
    **options: Any,
) -> Path:
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.gop_size = 10
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(gradient(index, *size), format="rgb24")
            frame.pts = pts(index)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_all(path: Path) -> tuple[VideoFileSource, list[tuple[float, NDArray[np.uint8]]]]:
    source, frames = VideoFileSource(path), []
    source.open()
    while (frame := source.read()) is not None:
        frames.append((frame.timestamp, frame.image.copy()))
    return source, frames


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("grey.mkv", "ffv1", "gray", (96, 64)),
        ("grey12.mkv", "ffv1", "gray12le", (96, 64)),
        ("rgb10.mkv", "ffv1", "gbrp10le", (96, 64)),
        ("alpha.mkv", "ffv1", "yuva420p", (96, 64)),
        ("bgra.mkv", "ffv1", "bgra", (96, 64)),
        ("deep.mkv", "ffv1", "yuv420p16le", (96, 64)),
        ("coarse.mkv", "ffv1", "yuv410p", (96, 64)),
        ("tall.mkv", "ffv1", "yuv440p", (96, 64)),
        ("dot.mkv", "ffv1", "yuv420p", (1, 1)),
        ("wide.mkv", "ffv1", "gray", (65000, 2)),
        ("a.avi", "huffyuv", "rgb24", (96, 64)),
        ("utvideo.avi", "utvideo", "gbrp", (96, 64)),
        ("camera.avi", "mjpeg", "yuvj422p", (96, 64)),
        ("raw.avi", "rawvideo", "yuyv422", (96, 64)),
        ("raw555.avi", "rawvideo", "rgb555le", (96, 64)),
        ("upside.avi", "rawvideo", "bgr24", (96, 64)),
        ("a.mov", "qtrle", "argb", (96, 64)),
        ("prores.mov", "prores_ks", "yuv422p10le", (96, 64)),
        ("png.mov", "png", "rgba", (96, 64)),
        ("bits.nut", "rawvideo", "monob", (96, 64)),
        ("nv12.nut", "rawvideo", "nv12", (96, 64)),
        ("odd.webm", "libvpx-vp9", "yuv420p", (77, 33)),
        ("a.3gp", "mpeg4", "yuv420p", (96, 64)),
        ("a.apng", "apng", "rgba", (96, 64)),
    ],
)
def test_formats_are_read_as_pyav_reads_them(
    name: str, codec: str, pix_fmt: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = encode(tmp_path / name, codec, pix_fmt, size, frames=4)
    with av.open(str(path)) as container:
        expected = [(frame.time, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    source, frames = read_all(path)
    assert len(frames) == len(expected) == 4
    for (stamp, image), (media, plain) in zip(frames, expected, strict=True):
        assert stamp == pytest.approx(media - expected[0][0], abs=1e-3)
        assert image.shape == plain.shape
        assert float(np.abs(image.astype(int) - plain).mean()) < 3  # swscale interpolates colours
    assert (source.broken_frames, source.replaced_stamps, source.truncated) == (0, 0, False)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_reordered_frames_in_avi_keep_their_rate(codec: str, tmp_path: Path) -> None:
    """AVI has no time stamps, and those that FFmpeg makes up for reordered frames run back and forth."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames = 3
        for index in range(150):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(index % 25, 96, 64), format="rgb24")))
        container.mux(stream.encode(None))
    source, frames = read_all(path)
    stamps = [stamp for stamp, _ in frames]
    assert np.diff(stamps) == pytest.approx(np.full(149, 0.04), abs=1e-6)
    assert source.replaced_stamps <= 4  # the last frames, which come out when no packet is left
    resumed = VideoFileSource(path)
    resumed.open()
    resumed.skip(120, stamps[119])
    rest = []
    while (frame := resumed.read()) is not None:
        rest.append(frame.timestamp)
    assert rest == pytest.approx(stamps[120:])
    assert resumed.broken_frames == 0


def test_frames_that_an_edit_list_leaves_out_are_not_damage(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", pts=lambda index: index - 10, options={"avoid_negative_ts": "disabled"})
    with av.open(str(path)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    source, frames = read_all(path)
    assert len(frames) == shown < FRAMES
    assert source.broken_frames == 0


@pytest.mark.parametrize("suffix", ["mkv", "nut", "ts"])
def test_stamps_that_are_far_ahead_do_not_make_the_video_longer(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    ahead = (20, 21, 22, 40)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        packets: list[av.Packet[Any]] = []
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(gradient(index % FRAMES, 96, 64), format="rgb24")
            frame.pts = index
            packets += stream.encode(frame)
        for index, packet in enumerate([*packets, *stream.encode(None)]):
            packet.pts, packet.dts = index + 25 * 30 * (index in ahead), index
            container.mux(packet)
    source, frames = read_all(path)
    assert [stamp for stamp, _ in frames] == pytest.approx([index / 25 for index in range(60)], abs=2e-3)
    assert 3 <= source.replaced_stamps <= len(ahead)  # of MPEG-TS the time of decoding may be taken instead


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.8])
def test_a_file_that_ends_before_its_index_is_called_cut_off(tmp_path: Path, kept: float) -> None:
    """Of an MP4 whose header comes last FFmpeg makes a container of data."""
    path = encode(tmp_path / "a.mp4", frames=60)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * whole.index(b"moov"))])
    with pytest.raises(SourceError, match=r"a\.mp4 is not a video that FFmpeg can read, or it is cut off or damaged"):
        VideoFileSource(path).open()


def test_recording_that_begins_late_declares_its_own_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", pts=lambda index: index + 25_000_000)
    source = VideoFileSource(path)
    assert source.open().seconds == pytest.approx(FRAMES / 25, abs=0.01)
    _, frames = read_all(path)
    assert [stamp for stamp, _ in frames] == pytest.approx([index / 25 for index in range(FRAMES)], abs=1e-3)


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    ],
    ids=["upright", "90", "180", "270", "left to right", "upside down", "transposed", "other diagonal"],
)
def test_rotated_and_mirrored_videos_are_upright(
    matrix: tuple[int, int, int, int], upright: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], tmp_path: Path
) -> None:
    """The eight display matrices of ISO/IEC 14496-12: front cameras of phones record mirrored ones."""
    path = encode(tmp_path / "a.mp4", frames=2)
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 44
    a, b, c, d = (number << 16 for number in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    _, frames = read_all(path)
    image, expected = frames[0][1], upright(gradient(0, 96, 64)[..., ::-1])
    assert image.shape == expected.shape
    assert float(np.abs(image.astype(int) - expected).mean()) < 4
    out = np.empty_like(image)
    source = VideoFileSource(path)
    source.open()
    frame = source.read()
    assert frame is not None
    assert frame.shape == image.shape
    frame.write(out)
    assert np.array_equal(out, image)


@pytest.mark.parametrize("bits", [8, 12, 14, 16])
@pytest.mark.parametrize("pix_fmt", ["gray16le", "gray16be"])
def test_infrared_video_of_fewer_bits_in_16(pix_fmt: str, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "a.nut"
    ramp = np.linspace(0, 2**bits - 1, 96 * 64).astype(np.uint16).reshape(64, 96)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        for part in (ramp, ramp // 2):  # a darker frame is not made brighter
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="gray16le").reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    _, frames = read_all(path)
    assert [image.shape for _, image in frames] == 2 * [(64, 96, 3)]
    assert [int(image.max()) for _, image in frames] == pytest.approx([255, 127], abs=1)
    assert float(frames[0][1].mean()) == pytest.approx(127, abs=2)
    with av.open(str(path)) as container:  # with pixels that are not square
        wide = FrameConverter(container.streams.video[0]).convert(next(container.decode(video=0)), 192)
    assert (wide.shape, int(wide.max())) == ((64, 192, 3), pytest.approx(255, abs=2))


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mjpeg"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, lambda image: image), (6, lambda image: np.rot90(image, -1)), (5, lambda image: image.transpose(1, 0, 2))],
    ids=["upright", "90", "transposed"],
)
def test_frames_with_exif_are_upright(
    orientation: int, upright: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], name: str, tmp_path: Path
) -> None:
    """Photograph cameras write it into each frame of their Motion JPEG; PyAV has no name for this kind of side data."""
    entry = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for index in range(3):
            for packet in stream.encode(av.VideoFrame.from_ndarray(gradient(index, 96, 64), format="rgb24")):
                data = bytes(packet)
                tagged = av.Packet(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
                tagged.pts, tagged.dts, tagged.time_base, tagged.stream = packet.pts, packet.dts, packet.time_base, stream
                container.mux(tagged)
    _, frames = read_all(tmp_path / name)
    assert len(frames) == 3
    expected = upright(gradient(0, 96, 64)[..., ::-1])
    assert frames[0][1].shape == expected.shape
    assert float(np.abs(frames[0][1].astype(int) - expected).mean()) < 5


@pytest.mark.parametrize("longer", ["audio", "video"])
@pytest.mark.parametrize("name", ["a.flv", "a.mkv", "a.mp4", "a.ts"])
def test_streams_of_different_lengths_are_not_cut_off(name: str, longer: str, tmp_path: Path) -> None:
    path = tmp_path / name
    seconds = {"audio": 1, "video": 1, longer: 4}
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=48000)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        steps = [(index / 25, "video", index) for index in range(25 * seconds["video"])]
        steps += [(index * 1024 / 48000, "audio", index * 1024) for index in range(46 * seconds["audio"])]
        for _, kind, index in sorted(steps):
            if kind == "video":
                image = av.VideoFrame.from_ndarray(gradient(index % 25, 96, 64), format="rgb24")
                image.pts = index
                container.mux(video.encode(image))
            else:
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                sound.rate, sound.pts = 48000, index
                container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    source, frames = read_all(path)
    assert len(frames) == 25 * seconds["video"]
    assert (source.broken_frames, source.truncated) == (0, False)


def test_flv_that_ends_between_two_tags_long_before_its_duration(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flv", frames=100)
    data = path.read_bytes()
    end = len(data)
    for _ in range(50):  # back over whole tags
        end -= 4 + int.from_bytes(data[end - 4 : end])
    path.write_bytes(data[:end])
    assert find_truncation(path, "flv", 4.0, mid_packet=False, mid_frame=False, opened_size=end) is not None


def test_codec_that_changes_within_a_stream_is_counted(tmp_path: Path) -> None:
    """FFmpeg goes on with the first decoder, which takes the packets of the other without a word."""
    first = encode(tmp_path / "1.ts", size=(320, 240), frames=150)  # too long to be read while the file is opened
    second = encode(tmp_path / "2.ts", "mpeg2video", frames=60)
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    source, frames = read_all(path)
    assert len(frames) >= 149
    assert 8 < source.broken_frames <= 60  # packets, which the parser of the first codec may have joined


@pytest.mark.parametrize("coarse", [25, 5, 2])
def test_repeated_stamps_keep_the_speed_of_a_recording(coarse: int, tmp_path: Path) -> None:
    path = tmp_path / "coarse.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 96, 64, "yuvj420p", Fraction(1, 25)
        for index in range(100):
            for packet in stream.encode(av.VideoFrame.from_ndarray(gradient(index % 25, 96, 64), format="rgb24")):
                packet.pts = packet.dts = index // coarse * coarse
                container.mux(packet)
    source, read = read_all(path)
    assert [stamp for stamp, _ in read] == pytest.approx([index / 25 for index in range(100)], abs=0.01)
    assert source.replaced_stamps == 100 - 100 // coarse


def test_slow_and_fast_rates(tmp_path: Path) -> None:
    for rate, frames in ((Fraction(1, 60), 5), (Fraction(1000), 50)):
        path = tmp_path / f"{float(rate):g}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=rate)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
            for index in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(index % 25, 96, 64), format="rgb24")))
            container.mux(stream.encode(None))
        source, read = read_all(path)
        assert [stamp for stamp, _ in read] == pytest.approx([index / rate for index in range(frames)], abs=1e-3)
        assert source.replaced_stamps == 0


def test_text_is_no_video(tmp_path: Path) -> None:
    """FFmpeg makes a video of it that shows a terminal."""
    for name, text in (("notes.txt", "hello\n" * 300), ("a.nfo", "abc\n" * 300), ("session.log", "\x1b[31mred\x1b[0m\n" * 300)):
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match=r"is text, not a video|not a video that FFmpeg can read"):
            VideoFileSource(tmp_path / name).open()


def test_a_percent_sign_in_a_name_leads_to_no_other_files(tmp_path: Path) -> None:
    """FFmpeg reads a sequence of images by such a name."""
    for name, value in (("001.tga", 10), ("002.tga", 20), ("shot.tga", 200)):
        image = np.full((32, 32, 3), value, np.uint8)
        with av.open(str(tmp_path / name), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("targa", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
    (tmp_path / "shot.tga").rename(tmp_path / "%03d.tga")
    _, frames = read_all(tmp_path / "%03d.tga")
    assert [int(image.mean()) for _, image in frames] == [200]


def test_damage_near_the_beginning_costs_no_more_than_itself(tmp_path: Path) -> None:
    """The first packets are read ahead for the rate."""
    path = encode(tmp_path / "a.rm", "rv20", size=(160, 128))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4 | 1])
    source, frames = read_all(path)
    assert 0 < len(frames) < 20
    assert source.broken_frames >= 1
    noise = tmp_path / "noise.bin"
    noise.write_bytes(bytes(range(256)) * 2000)  # which a demuxer of raw data takes for its own
    with pytest.raises(SourceError):
        VideoFileSource(noise).open()
