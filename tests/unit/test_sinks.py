"""Drawing, video files, JSON lines and the window."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.errors import SinkError
from ferengine.results import Box, Expression, Face, FrameResult, Ledger, Scores
from ferengine.sinks.draw import _PALETTE, draw_faces
from ferengine.sinks.events import EventWriter
from ferengine.sinks.video import VideoWriter
from ferengine.sinks.window import Window, screen_available

LEDGER = Ledger(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def face(box: Box, labels: int = 3, track: int | None = 1, classified: bool = True) -> Face:
    names = [f"class{number}" for number in range(labels)]
    scores = {name: (0.7 if name == names[-1] else 0.3 / max(1, labels - 1)) for name in names}
    expression = Expression(names[-1], scores, Scores(names[-1], scores)) if classified else None
    return Face(track, box, 0.9, 1.0, "detected", None, expression, None if classified else "deadline")


def result(*faces: Face, frame: int = 7) -> FrameResult:
    return FrameResult("camera0", frame, 0.25, 12.3456, faces, LEDGER)


# Drawing


@pytest.mark.parametrize("size", [(480, 270), (640, 480), (1920, 1080), (270, 480), (64, 64)])
@pytest.mark.parametrize("labels", [1, 2, 7, 30])
@pytest.mark.parametrize("where", [(0.3, 0.3), (-0.1, -0.1), (0.95, 0.95), (0.95, -0.1), (0.0, 0.5), (-3.0, -3.0)])
def test_boxes_anywhere(size: tuple[int, int], labels: int, where: tuple[float, float]) -> None:
    width, height = size
    inside = -0.2 < where[0] < 1
    canvas = np.full((height + 80, width + 80, 3), 90, np.uint8)
    image = canvas[40:-40, 40:-40]
    drawn = result(face((where[0] * width, where[1] * height, 0.2 * width, 0.2 * height), labels))
    without = image.copy()
    draw_faces(without, result())
    draw_faces(image, drawn)
    assert (not np.array_equal(image, without)) == inside
    canvas[40:-40, 40:-40] = 90
    assert (canvas == 90).all()


def test_what_is_drawn_follows_the_result() -> None:
    def render(shown: FrameResult) -> np.ndarray:
        image = np.full((480, 640, 3), 90, np.uint8)
        draw_faces(image, shown)
        return image

    base = face((200, 150, 100, 120))
    assert base.expression is not None
    other = Scores("class0", {"class0": 0.6, "class1": 0.2, "class2": 0.2})
    variants = [
        result(base),
        result(replace(base, track=2)),
        result(replace(base, origin="tracked")),
        result(replace(base, expression=replace(base.expression, smoothed=other))),
        result(replace(base, expression=None, reason="deadline")),
        result(replace(base, expression=None)),
        replace(result(base), frame=8),
        replace(result(base), camera="camera1"),
        replace(result(base), latency_ms=99.0),
    ]
    images = [render(shown).tobytes() for shown in variants]
    assert len(set(images)) == len(images)
    raw_only = replace(base, expression=replace(base.expression, label="class0", scores=other.scores))
    assert render(result(raw_only)).tobytes() == images[0]


def test_the_box_lies_where_the_face_is() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    draw_faces(image, result(face((200, 150, 100, 120), track=None, classified=False)))
    for x, y in ((250, 270), (200, 210), (300, 210), (250, 150)):
        assert image[y, x].min() > 180
    assert (image[180:240, 230:270] == 90).all()


@pytest.mark.parametrize("corner", [(-60, -80), (580, -80), (-60, 440), (580, 440), (270, -80), (270, 440)])
def test_scores_stay_whole_at_the_borders(corner: tuple[int, int]) -> None:
    """The bar of one class keeps every pixel that it has in the middle of the frame."""

    def pixels(left: int, top: int) -> int:
        image = np.full((480, 640, 3), 90, np.uint8)
        draw_faces(image, result(face((left, top, 100, 120))))
        return int((image == _PALETTE[0]).all(2).sum())

    assert pixels(*corner) == pixels(270, 180) > 0


# Video files


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
    assert source.open().frames == 30
    assert sum(1 for _ in iter(source.read, None)) == 30
    assert source.broken_frames == 0


def test_time_stamps_of_a_camera_that_stutters(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", 64, 48, 30.0)
    for image, stamp in zip(frames(5), (5.0, 5.04, 5.04, 9.0, 8.0), strict=True):
        writer.write(image, stamp)
    writer.close()
    stamps = decode(tmp_path / "out.mp4")[0]
    assert all(before < after for before, after in pairwise(stamps))
    assert stamps == pytest.approx([0, 0.04, 0.04, 4.0, 4.0], abs=2e-3)


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
        (tmp_path / "folder.mp4", "folder|exists"),
        (existing / "out.mp4", "cannot be written"),
    ):
        with pytest.raises(SinkError, match=reason) as caught:
            VideoWriter(path, 64, 48, 25.0)
        assert str(path) in str(caught.value)
    assert existing.read_bytes() == b"precious"
    with pytest.raises(SinkError, match="is a folder"):
        VideoWriter(tmp_path / "folder.mp4", 64, 48, 25.0, overwrite=True)
    with pytest.raises(SinkError, match="1x48"):
        VideoWriter(tmp_path / "out.mp4", 1, 48, 25.0)
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


# JSON lines


def test_golden_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = EventWriter(path)
    landmarks = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.125))
    seen = replace(face((10.126, 20.0, 30.0, 40.0), labels=2), landmarks=landmarks)
    writer.write(replace(result(seen), camera="Tür"))
    writer.close()
    writer.close()
    assert path.read_text(encoding="utf-8") == (
        '{"camera":"Tür","frame":7,"timestamp":0.25,"latency_ms":12.346,"faces":[{"track":1,'
        '"box":[10.13,20.0,30.0,40.0],"score":0.9,"track_confidence":1.0,"origin":"detected",'
        '"landmarks":[[1.0,2.0],[3.0,4.0],[5.0,6.0],[7.0,8.0],[9.0,10.12]],"expression":{"label":"class1",'
        '"scores":{"class0":0.3,"class1":0.7},"smoothed":{"label":"class1","scores":{"class0":0.3,"class1":0.7}}}}]}\n'
    )


def test_lines_are_on_disk_within_a_second(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "out.jsonl"
    writer = EventWriter(path, clock=lambda: now)
    writer.write(result(frame=1))
    assert path.read_bytes() == b""
    writer.flush_if_due(0.1)
    assert path.read_bytes() == b""
    writer.flush_if_due(1.0)
    assert path.read_bytes().count(b"\n") == 1
    writer.write(result(frame=2))
    now = 1.0
    writer.write(result(frame=3))
    assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [1, 2, 3]
    for number in range(2000):
        writer.write(result(frame=number))
    assert path.stat().st_size > 65536
    assert path.read_bytes().endswith(b"}\n")
    writer.close()


def test_event_files_that_cannot_be(tmp_path: Path) -> None:
    existing = tmp_path / "out.jsonl"
    existing.write_text("precious")
    with pytest.raises(SinkError, match="--overwrite"):
        EventWriter(existing)
    with pytest.raises(SinkError, match="no folder"):
        EventWriter(tmp_path / "absent" / "out.jsonl")
    with pytest.raises(SinkError, match="is a folder"):
        EventWriter(tmp_path, overwrite=True)
    assert existing.read_text() == "precious"
    EventWriter(existing, overwrite=True).close()
    assert existing.read_text() == ""


def test_events_on_a_full_disk_fail_once() -> None:
    writer = EventWriter("/dev/full", overwrite=True)
    writer.write(result())
    with pytest.raises(SinkError, match="/dev/full cannot be written: No space left"):
        writer.flush_if_due(1e12)
    writer.write(result())
    writer.flush_if_due(1e12)
    writer.close()


def test_no_half_line_stays_when_the_disk_fills(tmp_path: Path) -> None:
    """A file-size limit stands in for the full disk: the write is cut short, then refused."""
    script = (
        "import resource, signal, sys\n"
        "from ferengine.errors import SinkError\n"
        "from ferengine.results import FrameResult, Ledger\n"
        "from ferengine.sinks.events import EventWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "writer = EventWriter(sys.argv[1], clock=iter(range(10**9)).__next__)\n"
        "try:\n"
        "    for number in range(10**5):\n"
        "        writer.write(FrameResult('c', number, 0.0, 1.0, (), Ledger(0, 0, 0, 0, 0)))\n"
        "except SinkError:\n"
        "    sys.exit(7)\n"
    )
    path = tmp_path / "out.jsonl"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 7
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) > 5


def test_stdout_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    writer = EventWriter("-")
    writer.write(result(frame=3))
    assert json.loads(capfd.readouterr().out)["frame"] == 3
    writer.close()


def test_reader_of_stdout_gone() -> None:
    script = (
        "import sys\n"
        "from ferengine.errors import SinkError\n"
        "from ferengine.results import FrameResult, Ledger\n"
        "from ferengine.sinks.events import EventWriter\n"
        "writer = EventWriter('-')\n"
        "failures = 0\n"
        "for number in range(10**4):\n"
        "    try:\n"
        "        writer.write(FrameResult('c', number, 0.0, 1.0, (), Ledger(0, 0, 0, 0, 0)))\n"
        "    except SinkError as error:\n"
        "        assert 'stdout was closed by its reader' in str(error)\n"
        "        failures += 1\n"
        "writer.close()\n"
        "sys.exit(10 + failures)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["frame"] == 0
        process.stdout.close()
        assert process.wait() == 11


# The window


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display in (None, "", "nonsense", ":987"):
        monkeypatch.delenv("DISPLAY", raising=False)
        if display is not None:
            monkeypatch.setenv("DISPLAY", display)
        assert not screen_available()
        with pytest.raises(SinkError, match="no screen"):
            Window("test")


def test_window_on_a_virtual_screen(tmp_path: Path) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: no virtual screen for the window")
    script = (
        "import numpy as np\n"
        "from ferengine.sinks.window import Window, screen_available\n"
        "from ferengine.vision import cv2\n"
        "assert screen_available()\n"
        "window = Window('faces')\n"
        "assert not window.poll()\n"
        "for _ in range(5):\n"
        "    window.show(np.zeros((48, 64, 3), np.uint8))\n"
        "    assert not window.poll()\n"
        "keys = [0x7A, 0x71]\n"
        "cv2.pollKey, key = lambda: keys.pop(0), cv2.pollKey\n"
        "assert [window.poll(), window.poll()] == [False, True]\n"
        "cv2.pollKey = key\n"
        "cv2.destroyAllWindows()\n"
        "assert window.poll()\n"
        "window.close()\n"
        "window.close()\n"
    )
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()
            environment = {**os.environ, "DISPLAY": f":{number}", "XDG_RUNTIME_DIR": str(tmp_path)}
            done = subprocess.run(
                [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
            )
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
