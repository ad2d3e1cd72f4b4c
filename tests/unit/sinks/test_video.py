"""Video files: what is written plays, whatever happened to the writer."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.sinks.mp4_repair import cut_incomplete_fragment
from ferengine.sinks.video import VideoWriter


def frames(count: int, width: int = 64, height: int = 48) -> Iterator[np.ndarray]:
    for index in range(count):
        yield np.full((height, width, 3), (20, 4 * index, 200 - 2 * index), np.uint8)


def decode(path: Path) -> tuple[list[float], list[np.ndarray], str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        stamps = [float(frame.pts * Fraction(stream.time_base)) for frame in decoded]
        return stamps, [frame.to_ndarray(format="bgr24") for frame in decoded], stream.codec_context.name


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".MP4"])
def test_video_is_h264_with_every_frame(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    writer = VideoWriter(path, 64, 48, 25.0)
    for index, image in enumerate(frames(60)):
        writer.write(image, 1.7e9 + index / 25)
    writer.close()
    writer.close()
    stamps, images, codec = decode(path)
    assert codec == "h264"
    assert stamps == pytest.approx([index / 25 for index in range(60)], abs=2e-3)
    for index, image in enumerate(frames(60)):
        assert np.abs(images[index].astype(int) - image).max() < 16
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.pix_fmt == "yuv420p"
        keys = [float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.is_keyframe]
    assert keys == pytest.approx([0, 1, 2], abs=2e-3)


def test_video_opens_in_opencv(tmp_path: Path) -> None:
    from ferengine.sources.video import VideoFileSource

    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, 64, 48, 25.0)
    for index, image in enumerate(frames(30)):
        writer.write(image, index / 25)
    writer.close()
    source = VideoFileSource(path)
    assert source.open().seconds == pytest.approx(1.2)
    assert sum(1 for _ in iter(source.read, None)) == 30
    assert source.broken_frames == 0


@pytest.mark.parametrize(("rate", "stamp"), [(np.float32, np.float32), (np.uint8, np.uint64), (Fraction, Fraction)])
def test_sizes_rates_and_stamps_of_other_kinds(rate: Any, stamp: Any, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", np.uint16(64), np.int64(48), rate(25)) as writer:  # type: ignore[arg-type]
        for image, second in zip(frames(3), (5, 6, 4), strict=True):
            writer.write(image, stamp(second))
    assert decode(tmp_path / "out.mp4")[0] == pytest.approx([0, 1, 1.04], abs=2e-3)


def test_time_stamps_of_a_camera_that_stutters(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", 64, 48, 30.0)
    for image, stamp in zip(frames(5), (5.0, 5.04, 5.04, 9.0, 8.0), strict=True):
        writer.write(image, stamp)
    writer.close()
    stamps = decode(tmp_path / "out.mp4")[0]
    assert all(before < after for before, after in pairwise(stamps))
    assert stamps == pytest.approx([0, 0.04, 0.04, 4.0, 4.0 + 1 / 30], abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_long_pause_is_shortened_and_said(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"night{suffix}"
    writer = VideoWriter(path, 64, 48, 25.0)
    for timestamp in (1000.0, 1000.04, 1050.0, 1050.0 + 50_000, 1050.04 + 50_000, 1050.04 + 150_000):
        writer.write(np.zeros((48, 64, 3), np.uint8), timestamp)
    writer.close()
    with av.open(str(path)) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    assert stamps == pytest.approx([0, 0.04, 50, 51, 51.04, 52.04], abs=2e-3)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "a pause of 50000 s without frames lasts 1 s in the video",
        "a pause of 100000 s without frames lasts 1 s in the video",
    ]


def test_odd_sizes_and_changes_of_size(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, 65, 49, 25.0)
    writer.write(np.full((49, 65, 3), 200, np.uint8), 0.0)
    writer.write(np.full((48, 192, 3), 200, np.uint8), 0.1)
    writer.write(np.full((24, 10, 3), 200, np.uint8), 0.2)
    writer.close()
    _, images, _ = decode(path)
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    assert images[0].min() > 190
    assert images[1][24].min() > 190
    assert images[1][[2, 45]].max() < 20
    assert images[2][:, 32].min() > 190
    assert images[2][:, [4, 60]].max() < 20


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_killed_writer_leaves_a_playable_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"killed{suffix}"
    script = (
        "import sys, time, numpy as np\n"
        "from ferengine.sinks.video import VideoWriter\n"
        "writer = VideoWriter(sys.argv[1], 64, 48, 25.0)\n"
        "for index in range(90):\n"
        "    writer.write(np.full((48, 64, 3), index, np.uint8), index / 25)\n"
        "print('written', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    stamps, _, codec = decode(path)
    assert codec == "h264"
    assert len(stamps) >= 50
    assert stamps == pytest.approx([index / 25 for index in range(len(stamps))], abs=2e-3)


def test_video_files_that_cannot_be(tmp_path: Path) -> None:
    existing = tmp_path / "there.mp4"
    existing.write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    for path, reason in (
        (tmp_path / "out.avi", ".mp4, .mkv, .mov"),
        (existing, "exists"),
        (tmp_path / "absent" / "out.mp4", "no folder"),
        (existing, "--overwrite"),
        (existing / "out.mp4", "cannot be written"),
    ):
        with pytest.raises(UsageError if path == existing else SinkError, match=reason) as caught:
            VideoWriter(path, 64, 48, 25.0)
        assert str(path) in str(caught.value)
    assert existing.read_bytes() == b"precious"
    with pytest.raises(SinkError, match="is a folder"):
        VideoWriter(tmp_path / "folder.mp4", 64, 48, 25.0, overwrite=True)
    nan = float("nan")
    for width, height, fps in (
        (1, 48, 25.0), (-64, 48, 25.0), (16386, 48, 25.0), (64.5, 48, 25.0), ("64", 48, 25.0), (64, 48, nan), (64, 48, None)
    ):  # fmt: skip
        with pytest.raises(SinkError, match=f"cannot be a video of {width}x{height} pixels at {fps} frames/s$"):
            VideoWriter(tmp_path / "out.mp4", width, height, fps)  # type: ignore[arg-type]
    assert not (tmp_path / "out.mp4").exists()
    writer = VideoWriter(existing, 64, 48, 25.0, overwrite=True)
    writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    writer.close()
    assert len(decode(existing)[0]) == 1
    with pytest.raises(SinkError, match="closed"):
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)


def test_video_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "full.mkv"
    path.symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    writer = VideoWriter(path, 64, 48, 5.0, overwrite=True)

    def write_all() -> None:
        for index, image in enumerate(noise):
            writer.write(image, index / 5)
        writer.close()

    with pytest.raises(SinkError, match=r"full\.mkv cannot be written: No space left on device"):
        write_all()
    writer.close()


def test_a_removed_video_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, 64, 48, 25.0)
    image = np.zeros((48, 64, 3), np.uint8)
    writer.write(image, 0.0)
    path.unlink()
    writer.write(image, 0.5)
    with pytest.raises(SinkError, match=r"out\.mp4 was removed while it was being written"):
        writer.write(image, 1.5)
    writer.close()
    assert not path.exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_full_disk_leaves_a_playable_file(suffix: str, tmp_path: Path) -> None:
    """A file-size limit stands in for the full disk: the write is cut short, then refused."""
    script = (
        "import resource, sys, numpy as np\n"
        "from ferengine.errors import SinkError, UsageError\n"
        "from ferengine.sinks.video import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "writer = VideoWriter(sys.argv[1], 64, 48, 10.0)\n"
        "noise = np.random.default_rng(0).integers(0, 255, (2000, 48, 64, 3), np.uint8)\n"
        "try:\n"
        "    for index, image in enumerate(noise):\n"
        "        writer.write(image, index / 10)\n"
        "except SinkError as error:\n"
        "    writer.close()\n"
        "    sys.exit(f'{index} {error}')\n"
    )
    path = tmp_path / f"full{suffix}"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    written, _, message = done.stderr.partition(" ")
    assert message.strip() == f"{path} cannot be written: File too large"
    stamps, _, codec = decode(path)
    assert codec == "h264"
    assert int(written) - 25 <= len(stamps) <= int(written)
    assert len(stamps) >= 10


def boxes(*kinds: bytes) -> bytes:
    return b"".join(struct.pack(">I4s", 12, kind) + b"body" for kind in kinds)


@pytest.mark.parametrize(
    ("whole", "rest"),
    [
        (boxes(b"ftyp", b"moov", b"moof", b"mdat"), b""),
        (boxes(b"ftyp", b"moov", b"moof", b"mdat"), boxes(b"moof")),
        (boxes(b"ftyp", b"moov", b"moof", b"mdat"), boxes(b"moof", b"mdat")[:-1]),
        (boxes(b"ftyp", b"moov"), struct.pack(">I4sQ", 1, b"mdat", 1 << 33)),
        (boxes(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 20) + b"body", b"\0\0\0\7mdat"),
        (b"", boxes(b"ftyp")[:7]),
    ],
)
def test_only_whole_fragments_are_kept(whole: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole + rest)
    cut_incomplete_fragment(path)
    assert path.read_bytes() == whole


def test_a_time_stamp_that_is_no_number_is_refused_and_the_video_goes_on(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with VideoWriter(tmp_path / "out.mp4", 64.0, 48.0, 25.0) as writer:  # type: ignore[arg-type]  # as OpenCV says them
        for stamp in (float("nan"), float("inf"), None, "1.5"):
            with pytest.raises(UsageError, match=f"^a time stamp is a number of seconds, not {stamp!r}$"):
                writer.write(image, stamp)  # type: ignore[arg-type]
            writer.write(image, writer.frames / 25)
    assert decode(tmp_path / "out.mp4")[0] == pytest.approx([0, 0.04, 0.08, 0.12], abs=2e-3)


def test_a_video_is_finished_where_its_block_fails(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", 64, 48, 25.0)

    def write_and_fail() -> None:
        with writer as entered:
            entered.write(np.zeros((48, 64, 3), np.uint8), 0.0)
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert len(decode(tmp_path / "out.mp4")[0]) == 1
    with pytest.raises(SinkError, match="already closed"):
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.04)
