"""Parts of a video become one file, at the right times."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.errors import SinkError
from ferengine.sinks.video import VideoWriter
from ferengine.sinks.video_parts import Part, join_parts


def write(path: Path, frames: int, width: int = 64) -> Path:
    writer = VideoWriter(path, width, 48, 30.0)
    for number in range(frames):
        writer.write(np.full((48, width, 3), 8 * number % 256, np.uint8), 7.0 + number / 30)
    writer.close()
    return path


def stamps_of(path: Path) -> list[float]:
    with path.open("rb") as file, av.open(file) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_parts_at_their_offsets(suffix: str, tmp_path: Path) -> None:
    """The second part begins half a second after the end of the first; the third overlaps it, and is moved behind it."""
    tmp_path /= os.fsdecode(b"folder\xe9")
    tmp_path.mkdir()
    names = ("out", os.fsdecode(b"b\xe9"), "c")
    parts = [write(tmp_path / f"{name}{suffix}", count) for name, count in zip(names, (40, 10, 5), strict=True)]
    beats = []
    join_parts([Part(parts[0], 0.0), Part(parts[1], 2.0), Part(parts[2], 2.2)], lambda: beats.append(1))
    stamps = stamps_of(parts[0])
    assert len(beats) == len(stamps) == 55
    assert stamps[:50] == pytest.approx([*(n / 30 for n in range(40)), *(2.0 + n / 30 for n in range(10))], abs=2e-3)
    assert all(before < after for before, after in pairwise(stamps))
    assert list(tmp_path.iterdir()) == [parts[0]]


def test_long_pauses_between_parts_are_shortened(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{name}.mp4", 2) for name in "abc"]
    join_parts([Part(parts[0], 0.0), Part(parts[1], 30_000.0), Part(parts[2], 30_010.0)], lambda: None)
    assert stamps_of(parts[0]) == pytest.approx([0, 1 / 30, 1 + 1 / 30, 1 + 2 / 30, 11 + 1 / 30, 11 + 2 / 30], abs=2e-3)


def test_a_part_that_was_cut_off_at_once_is_left_out(tmp_path: Path) -> None:
    parts = [tmp_path / "out.mp4", write(tmp_path / "out.part2.mp4", 10)]
    parts[0].write_bytes(parts[1].read_bytes()[:300])  # no complete header
    assert join_parts([Part(parts[0], 0.0), Part(parts[1], 1.0)], lambda: None) == []
    assert len(stamps_of(parts[0])) == 10


@pytest.mark.parametrize("bytes_left", [0, 30, 100])
def test_a_part_of_matroska_that_was_cut_off_at_once_is_left_out(bytes_left: int, tmp_path: Path) -> None:
    parts = [write(tmp_path / "out.mkv", 10), write(tmp_path / "out.part2.mkv", 10)]
    parts[1].write_bytes(parts[1].read_bytes()[:bytes_left])
    assert join_parts([Part(parts[0], 0.0), Part(parts[1], 1.0)], lambda: None) == []
    assert len(stamps_of(parts[0])) == 10


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_part_that_cannot_be_read_is_named_and_kept(suffix: str, tmp_path: Path) -> None:
    parts = [write(tmp_path / f"out{suffix}", 10), write(tmp_path / f"out.part2{suffix}", 10)]
    data = parts[1].read_bytes()
    parts[1].write_bytes(bytes(byte ^ 0x55 for byte in data[:40]) + data[40:])
    if suffix == ".mp4":  # boxes whose lengths are right
        parts[1].write_bytes(data.replace(b"moov", b"free").replace(b"ftyp", b"free"))
    assert join_parts([Part(parts[0], 0.0), Part(parts[1], 1.0)], lambda: None) == [parts[1]]
    assert parts[1].exists()
    assert len(stamps_of(parts[0])) == 10


def test_parts_that_cannot_be_joined_stay(tmp_path: Path) -> None:
    parts = [write(tmp_path / "out.mp4", 10), write(tmp_path / "out.part2.mp4", 10, width=128)]
    with pytest.raises(SinkError, match="encoded in another way"):
        join_parts([Part(parts[0], 0.0), Part(parts[1], 1.0)], lambda: None)
    with pytest.raises(SinkError, match="No such file"):
        join_parts([Part(parts[0], 0.0), Part(tmp_path / "gone.mp4", 1.0)], lambda: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.part2.mp4"]
    assert [len(stamps_of(path)) for path in parts] == [10, 10]
