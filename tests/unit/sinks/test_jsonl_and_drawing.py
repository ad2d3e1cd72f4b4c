"""Drawing and JSON lines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.results import Box, Expression, Face, FrameResult, Gender, Scores, Timings
from ferengine.sinks.draw import _PALETTE, draw_faces
from ferengine.sinks.jsonl import EventWriter

TIMINGS = Timings(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def face(box: Box, labels: int = 3, track: int | None = 1, classified: bool = True) -> Face:
    names = [f"class{number}" for number in range(labels)]
    scores = {name: (0.7 if name == names[-1] else 0.3 / max(1, labels - 1)) for name in names}
    expression = Expression(names[-1], scores, Scores(names[-1], scores)) if classified else None
    return Face(track, box, 0.9, 1.0, "detected", None, expression, None if classified else "deadline")


def result(*faces: Face, frame: int = 7) -> FrameResult:
    return FrameResult("camera0", frame, 0.25, 12.3456, faces, TIMINGS)


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
    for number, label in enumerate(("a woman", "a man")):
        gender = Gender(label, {label: 1.0}, Scores(label, {label: 1.0}))
        images.append(render(result(replace(base, gender=gender))).tobytes())
        assert len(set(images)) == len(variants) + number + 1
    raw_only = replace(base, expression=replace(base.expression, label="class0", scores=other.scores))
    assert render(result(raw_only)).tobytes() == images[0]


def test_gender_stands_small_behind_the_label() -> None:
    """It lengthens the tag by less than its letters would, and changes nothing else."""
    base = replace(face((200, 150, 100, 120)), expression=None, reason="deadline")
    label = "female"
    gender = Gender(label, {label: 0.9, "male": 0.1}, Scores(label, {label: 0.8, "male": 0.2}))
    with_gender = replace(base, gender=gender)
    same_size = replace(base, reason=f"deadline {label}")

    def changed(shown: Face) -> np.ndarray:
        plain, image = (np.full((480, 640, 3), 90, np.uint8) for _ in range(2))
        draw_faces(plain, result(base))
        draw_faces(image, result(shown))
        rows, columns = np.nonzero((plain != image).any(axis=2))
        assert rows.max() < 150  # above the box
        return np.array([columns.min(), columns.max()])

    small, large = changed(with_gender), changed(same_size)
    assert small[0] >= large[0] > 200
    assert 20 < small[1] - small[0] < large[1] - large[0]


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
    with pytest.raises(UsageError, match="--overwrite"):
        EventWriter(existing)
    with pytest.raises(SinkError, match="no folder"):
        EventWriter(tmp_path / "absent" / "out.jsonl")
    with pytest.raises(SinkError, match="is a folder"):
        EventWriter(tmp_path, overwrite=True)
    assert existing.read_text() == "precious"
    EventWriter(existing, overwrite=True).close()
    assert existing.read_text() == ""


def test_a_folder_that_takes_no_file_is_there_all_the_same() -> None:
    with pytest.raises(SinkError, match=r"/proc/out\.jsonl cannot be written"):
        EventWriter("/proc/out.jsonl")


def test_events_on_a_full_disk_fail_once() -> None:
    writer = EventWriter("/dev/full", overwrite=True)
    writer.write(result())
    with pytest.raises(SinkError, match="/dev/full cannot be written: No space left"):
        writer.flush_if_due(1e12)
    writer.write(result())
    writer.flush_if_due(1e12)
    writer.close()


@pytest.mark.parametrize("clock", ["iter(range(10**9)).__next__", "lambda: 0.0"], ids=["line by line", "many at once"])
def test_no_half_line_stays_when_the_disk_fills(tmp_path: Path, clock: str) -> None:
    """A file-size limit stands in for the full disk: the write is cut short, then refused. What fits stays."""
    script = (
        "import resource, signal, sys\n"
        "from ferengine.errors import SinkError\n"
        "from ferengine.results import FrameResult, Timings\n"
        "from ferengine.sinks.jsonl import EventWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"writer = EventWriter(sys.argv[1], clock={clock})\n"
        "try:\n"
        "    for number in range(10**5):\n"
        "        writer.write(FrameResult('c', number, 0.0, 1.0, (), Timings(0, 0, 0, 0, 0)))\n"
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
        "from ferengine.results import FrameResult, Timings\n"
        "from ferengine.sinks.jsonl import EventWriter\n"
        "writer = EventWriter('-')\n"
        "failures = 0\n"
        "for number in range(10**4):\n"
        "    try:\n"
        "        writer.write(FrameResult('c', number, 0.0, 1.0, (), Timings(0, 0, 0, 0, 0)))\n"
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


def test_a_removed_event_file_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    now = 0.0
    writer = EventWriter(folder / "out.jsonl", clock=lambda: now)
    writer.write(result(frame=1))
    now = 1.0
    writer.flush_if_due()
    shutil.rmtree(folder)
    writer.write(result(frame=2))
    now = 2.0
    with pytest.raises(SinkError, match=r"out\.jsonl was removed while it was being written"):
        writer.flush_if_due()
    writer.write(result(frame=3))
    writer.close()
    assert not folder.exists()
