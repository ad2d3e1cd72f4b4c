"""JSON lines: their form, when they reach the disk, and what happens when they cannot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.results import CameraEvent, Expression, Face, FrameResult, Scores, Timings
from ferengine.sinks.jsonl import JsonlWriter

TIMINGS = Timings(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def result(frame: int = 7) -> FrameResult:
    return FrameResult("camera0", frame, 0.25, 12.3456, (), TIMINGS)


def test_golden_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = JsonlWriter(path)
    landmarks = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.125))
    scores = {"class0": 0.3, "class1": 0.7}
    expression = Expression("class1", scores, Scores("class1", scores))
    face = Face(1, (10.126, 20.0, 30.0, 40.0), 0.9, 1.0, "detected", landmarks, expression, None)
    writer.write(replace(result(), camera="Tür", faces=(face,)))
    writer.close()
    writer.close()
    assert path.read_text(encoding="utf-8") == (
        '{"camera":"Tür","frame":7,"timestamp":0.25,"latency_ms":12.346,"faces":[{"track":1,'
        '"box":[10.13,20.0,30.0,40.0],"score":0.9,"track_confidence":1.0,"origin":"detected",'
        '"landmarks":[[1.0,2.0],[3.0,4.0],[5.0,6.0],[7.0,8.0],[9.0,10.12]],"expression":{"label":"class1",'
        '"scores":{"class0":0.3,"class1":0.7},"smoothed":{"label":"class1","scores":{"class0":0.3,"class1":0.7}}}}]}\n'
    )


def test_prior_is_in_the_lines_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = JsonlWriter(path, prior="everyday")
    writer.write(CameraEvent("camera0", "started", 1.5))
    writer.write(result())
    writer.close()
    event, frame = map(json.loads, path.read_text().splitlines())
    assert frame == {**result().to_dict(), "prior": "everyday"}
    assert "prior" not in event


def test_lines_are_on_disk_within_a_second(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "out.jsonl"
    writer = JsonlWriter(path, clock=lambda: now)
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
        JsonlWriter(existing)
    with pytest.raises(SinkError, match="no folder"):
        JsonlWriter(tmp_path / "absent" / "out.jsonl")
    with pytest.raises(SinkError, match="is a folder"):
        JsonlWriter(tmp_path, overwrite=True)
    assert existing.read_text() == "precious"
    JsonlWriter(existing, overwrite=True).close()
    assert existing.read_text() == ""


def test_a_folder_that_takes_no_file_is_there_all_the_same() -> None:
    with pytest.raises(SinkError, match=r"/proc/out\.jsonl cannot be written"):
        JsonlWriter("/proc/out.jsonl")


def test_events_on_a_full_disk_fail_once() -> None:
    writer = JsonlWriter("/dev/full", overwrite=True)
    writer.write(result())
    with pytest.raises(SinkError, match="/dev/full cannot be written: No space left") as caught:
        writer.flush_if_due(1e12)
    assert caught.value.lost == 1
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
        "from ferengine.sinks.jsonl import JsonlWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"writer = JsonlWriter(sys.argv[1], clock={clock})\n"
        "try:\n"
        "    for number in range(10**5):\n"
        "        writer.write(FrameResult('c', number, 0.0, 1.0, (), Timings(0, 0, 0, 0, 0)))\n"
        "except SinkError as error:\n"
        "    print(number + 1 - error.lost)\n"
    )
    path = tmp_path / "out.jsonl"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) == int(done.stdout) > 5


def test_stdout_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    writer = JsonlWriter("-")
    writer.write(result(frame=3))
    assert json.loads(capfd.readouterr().out)["frame"] == 3
    writer.close()


def test_reader_of_stdout_gone() -> None:
    script = (
        "import sys\n"
        "from ferengine.errors import SinkError\n"
        "from ferengine.results import FrameResult, Timings\n"
        "from ferengine.sinks.jsonl import JsonlWriter\n"
        "writer = JsonlWriter('-')\n"
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
    writer = JsonlWriter(folder / "out.jsonl", clock=lambda: now)
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


def test_a_part_of_a_result_is_no_line(tmp_path: Path) -> None:
    parts: list[Any] = [Face(1, (1, 2, 3, 4), 0.9, 1.0, "detected", None, None), result().to_dict(), None]
    with JsonlWriter(tmp_path / "out.jsonl") as writer:
        for part in parts:
            with pytest.raises(UsageError, match=f"^a line holds .* a camera event, not {type(part).__name__}$"):
                writer.write(part)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_lines_are_written_where_their_block_fails(tmp_path: Path) -> None:
    writer = JsonlWriter(tmp_path / "out.jsonl")

    def write_and_fail() -> None:
        with writer as entered:
            entered.write(result(frame=1))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert json.loads((tmp_path / "out.jsonl").read_text())["frame"] == 1
    with pytest.raises(SinkError, match=r"out\.jsonl is already closed$"):
        writer.write(result(frame=2))
