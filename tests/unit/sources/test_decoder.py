"""What the decoder makes of interlaced frames, odd pixels, changing sizes, deep colours and covers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from ferengine.errors import SourceError
from ferengine.sources.video import VideoFileSource

FRAMES = 12


def encode(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A white disc on black, right of the middle and moving; 25 frames/s."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index in range(FRAMES):
            disc = (x - width // 2 - index) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2
            image = np.where(disc[:, :, np.newaxis], 255, 0).astype(np.uint8).repeat(3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def read_all(path: Path) -> list[np.ndarray]:
    source = VideoFileSource(path)
    source.open()
    images = []
    while (frame := source.read()) is not None:
        images.append(np.array(frame.image))
    assert source.broken_frames == 0
    return images


def spread(image: np.ndarray) -> tuple[float, float]:
    """Width and height of the disc in pixels."""
    rows, columns = np.nonzero(image[:, :, 1] > 128)
    return float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mts", "libx264", "yuv420p", {"x264-params": "tff=1"}),
        ("a.mpg", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme"}),
        ("a.mkv", "libx264", "yuv420p10le", None),
        ("b.mkv", "libx264", "yuv422p", None),
        ("c.mkv", "ffv1", "gbrp12le", None),
        ("a.mov", "prores_ks", "yuv422p10le", None),
    ],
)
def test_every_kind_of_frame_is_seen(
    name: str, codec: str, pix_fmt: str, options: dict[str, str] | None, tmp_path: Path
) -> None:
    images = read_all(encode(tmp_path / name, codec, pix_fmt, options=options))
    assert len(images) == FRAMES
    for index, image in enumerate(images):
        assert image.shape == (64, 96, 3)
        columns = np.nonzero(image[:, :, 1] > 128)[1]
        assert columns.mean() == pytest.approx(48 + index, abs=1.5)
        assert spread(image) == pytest.approx((31, 31), abs=3)


def test_digital_video_becomes_square(tmp_path: Path) -> None:
    images = read_all(encode(tmp_path / "a.dv", "dvvideo", "yuv420p", (720, 576), Fraction(64, 45)))
    assert {image.shape for image in images} == {(576, 1024, 3)}


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 128), (Fraction(8, 9), 85), (Fraction(1), 96)])
def test_pixels_become_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    images = read_all(encode(tmp_path / "a.mp4", aspect=aspect))
    assert {image.shape for image in images} == {(64, width, 3)}
    assert spread(images[0])[0] == pytest.approx(31 * aspect, abs=3)


def test_nonsensical_pixels_are_left(tmp_path: Path) -> None:
    assert read_all(encode(tmp_path / "a.mp4", aspect=Fraction(100)))[0].shape == (64, 96, 3)


def test_size_changes_in_mid_stream(tmp_path: Path) -> None:
    wide, tall = encode(tmp_path / "wide.ts"), encode(tmp_path / "tall.ts", size=(64, 96))
    both = tmp_path / "both.ts"
    both.write_bytes(wide.read_bytes() + tall.read_bytes())
    images = read_all(both)
    assert [image.shape[:2] for image in images] == [(64, 96)] * FRAMES + [(96, 64)] * FRAMES
    for image in images:
        width, height = spread(image)
        assert width == pytest.approx(height, abs=3)


def test_frames_without_time_stamps(tmp_path: Path) -> None:
    source = VideoFileSource(encode(tmp_path / "a.h264", options={"x264-params": "fps=25"}))
    assert source.open().fps == pytest.approx(25)
    stamps = []
    while (frame := source.read()) is not None:
        stamps.append(frame.timestamp)
    assert stamps == pytest.approx([index / 25 for index in range(FRAMES)])
    assert source.replaced_stamps == FRAMES


def test_cover_image_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 44100
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")))
        container.mux(cover.encode(None))
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with pytest.raises(SourceError, match="holds no video: it holds audio and a cover image only"):
        VideoFileSource(path).open()


def test_empty_chunks_are_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * index, np.uint8), format="bgr24")
            frame.pts = 2 * index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read_all(path)) == 30
    assert not caplog.records
