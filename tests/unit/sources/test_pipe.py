"""Video from pipes: every frame once, no way back, and what cannot be read refused in words."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.errors import SourceError, UsageError
from ferengine.sources import SourceSpec, parse_source, unique_names
from ferengine.sources.pipe import PipeSource

FRAMES = 24


def encode(container_format: str, codec: str = "libx264", frames: int = FRAMES) -> bytes:
    """A video of 64x48 at 10 frames/s whose frame i is grey of brightness about 10 i, as a program writes it to a pipe."""
    data = BytesIO()
    with av.open(
        data, "w", format=container_format, options={"live": "1"} if container_format == "matroska" else {}
    ) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), format="bgr24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return data.getvalue()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A named pipe; what a test writes with ``write_to`` is read or thrown away at the end."""
    path = tmp_path / "live.pipe"
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # a writer that still waits goes on


def write_to(path: Path, data: bytes) -> threading.Thread:
    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            path.write_bytes(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def read_all(source: PipeSource) -> list[tuple[float, float]]:
    """Mean brightness and time stamp of every frame."""
    frames = []
    while (captured := source.read()) is not None:
        frames.append((float(captured.image.mean()), captured.timestamp))
    return frames


@pytest.mark.parametrize(
    ("container_format", "codec"),
    [("matroska", "libx264"), ("mpegts", "libx264"), ("yuv4mpegpipe", "wrapped_avframe"), ("avi", "mpeg4")],
)
def test_every_frame_comes_once(container_format: str, codec: str, fifo: Path) -> None:
    writer = write_to(fifo, encode(container_format, codec))
    source = PipeSource(str(fifo))
    info = source.open()
    assert (info.width, info.height, info.live, info.ends, info.frames) == (64, 48, False, True, None)
    assert info.fps == pytest.approx(10)
    frames = read_all(source)
    assert [grey for grey, _ in frames] == pytest.approx([10 * i for i in range(FRAMES)], abs=4)
    assert [stamp for _, stamp in frames] == pytest.approx([i / 10 for i in range(FRAMES)], abs=2e-3)
    assert (source.broken_frames, source.replaced_stamps, source.truncated) == (0, 0, False)
    source.close()
    source.close()
    writer.join(10)
    assert not writer.is_alive()


def test_a_cut_off_stream_gives_its_frames_and_says_so(fifo: Path) -> None:
    write_to(fifo, encode("flv")[:-33])
    source = PipeSource(str(fifo))
    source.open()
    assert FRAMES - 2 <= len(read_all(source)) <= FRAMES
    assert source.truncated


@pytest.mark.parametrize("length", [3000, 6000])
def test_a_stream_that_is_cut_off_early_is_no_traceback(length: int, fifo: Path) -> None:
    write_to(fifo, encode("matroska")[:length])
    source = PipeSource(str(fifo))
    with contextlib.suppress(SourceError):
        source.open()
        read_all(source)
    source.close()


def test_frames_are_passed_over(fifo: Path) -> None:
    write_to(fifo, encode("matroska"))
    source = PipeSource(str(fifo))
    source.open()
    source.skip(5)
    assert read_all(source)[0][0] == pytest.approx(50, abs=4)


def test_waiting_for_a_writer_ends_when_asked_to_stop(fifo: Path) -> None:
    asked = iter([False, False, True])
    with pytest.raises(SourceError, match="before any data came"):
        PipeSource(str(fifo), stopped=lambda: next(asked, True)).open()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ended before any data came: look for errors of the program that writes to it"),
        (b"no video " * 100, r"is not a video that can be read from a pipe: send Matroska or MPEG-TS \(ffmpeg"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n" * 5, "is not a video that can be read from a pipe"),
    ],
)
def test_what_is_no_video_is_refused(data: bytes, message: str, fifo: Path) -> None:
    write_to(fifo, data)
    source = PipeSource(str(fifo))
    with pytest.raises(SourceError, match=message):
        source.open()
    source.close()


def test_what_is_no_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in [
        (tmp_path / "file", "is not a pipe"),
        (tmp_path / "none", "No such file"),
        (Path("/dev/null"), r"is a device: pipe a video into the command \(ffmpeg"),
    ]:
        with pytest.raises(SourceError, match=message):
            PipeSource(str(path)).open()
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(SourceError, match=r"is a socket, which cannot be opened again: put cat between"):
        PipeSource(f"/proc/{os.getpid()}/fd/{ours.fileno()}").open()
    master, terminal = pty.openpty()
    with pytest.raises(SourceError, match="is a terminal: pipe a video into the command"):
        PipeSource(f"/proc/{os.getpid()}/fd/{terminal}").open()
    os.close(master)
    os.close(terminal)


def test_pipes_are_recognised(fifo: Path, tmp_path: Path) -> None:
    spec = parse_source(str(fifo))
    assert (spec.kind, spec.value, spec.name) == ("pipe", str(fifo), "live")
    assert (spec.blocks, spec.reconnects, spec.live) == (True, False, False)
    reading, writing = os.pipe()
    spec = parse_source(f"door=/dev/fd/{reading}", size="320x240")  # as a shell's <(...) names it
    assert (spec.kind, spec.value, spec.name) == ("pipe", f"/proc/{os.getpid()}/fd/{reading}", "door")
    assert SourceSpec.from_dict(spec.to_dict()) == spec
    os.close(reading)
    os.close(writing)
    with (tmp_path / "talk.mp4").open("wb") as file:
        assert parse_source(f"/proc/self/fd/{file.fileno()}").kind == "file"


@pytest.mark.parametrize("text", ["-", "/dev/stdin", "/dev/fd/0"])
def test_standard_input_is_named_as_such(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_source(text)
    assert (re.sub(r"\d+", "N", spec.value, count=1), spec.name, spec.where) == ("/proc/N/fd/0", "stdin", "standard input")
    monkeypatch.setattr(sys, "__stdin__", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        parse_source(text)


def test_a_pipe_is_read_once(fifo: Path) -> None:
    with pytest.raises(UsageError, match="can be played only once: leave the loop out"):
        parse_source(str(fifo), loop=3)
    with pytest.raises(UsageError, match="can be read by one source only, and two name it"):
        unique_names([parse_source(str(fifo)), parse_source(f"again={fifo}")])


def test_a_run_reads_standard_input(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ferengine",
        "run",
        "-",
        "--no-display",
        "--no-table",
        "--events",
        "-",
        "--detector",
        "haar",
    ]
    done = subprocess.run(command, input=encode("matroska"), capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert sum('"camera": "stdin"' in line or '"camera":"stdin"' in line for line in lines) >= FRAMES
    both = subprocess.run(
        [*command[:4], "a=-", "b=-", "--no-display"], input=b"", capture_output=True, timeout=300, check=False
    )
    assert both.returncode == 2
    assert both.stderr.decode().strip().endswith("standard input can be read by one source only, and two name it")
