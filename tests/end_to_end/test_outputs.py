"""Outputs of a run that fill up, vanish, stall or are shown on a terminal: each is reported once, the others continue."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

DEMO = ("--source", "demo", "--no-display")
RUN = (sys.executable, "-m", "ferengine", "run")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_full_disk(tmp_path: Path) -> None:
    """Real ones, 200 KB for the video and 40 KB for the events, in a mount namespace of its own; the rows go elsewhere and
    are complete."""
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    kept.mkdir()
    mount = (
        'mount -t tmpfs -o size=200k none "$0" 2>/dev/null || exit 77; mkdir "$0/e"; mount -t tmpfs -o size=40k none "$0/e"; '
        '"$@"; code=$?; cp "$0"/*.* "$0"/e/* "$OLDPWD"; exit $code'
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'cd "{kept}"; cd /; {mount}', str(small)]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 77:
        pytest.skip("no small file system can be mounted: unshare --user --mount is not allowed here")
    arguments = (*DEMO, "--max-frames", "200", "--events", str(small / "e" / "out.jsonl"), "--save", str(small / "out.mp4"),
                 "--csv", str(kept / "out.csv"), "--summary", str(kept / "out.json"))  # fmt: skip
    done = subprocess.run([*command, *RUN, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for name in ("e/out.jsonl", "out.mp4"):
        assert done.stderr.count(f"{small / name} cannot be written: No space left on device") == 1, done.stderr
    assert len({row["frame"] for row in rows(kept / "out.csv")}) == 200
    lines = (kept / "out.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    frames = [event["frame"] for event in map(json.loads, lines) if "frame" in event]
    assert frames == list(range(len(frames)))
    assert 0 < len(frames) < 200
    with av.open(str(kept / "out.mp4")) as container:
        assert 0 < sum(1 for _ in container.decode(video=0)) < 200
    figures = json.loads((kept / "out.json").read_text())
    assert (figures["frames"], figures["sinks"]["csv"]["written"]) == (200, 200)
    assert figures["sinks"]["events"]["error"].endswith("No space left on device")
    assert figures["sinks"]["csv"]["error"] is None


def test_a_run_whose_only_output_is_a_video_ends_with_it(tmp_path: Path) -> None:
    """It would go on for as long as the source does, to no gain."""
    video = tmp_path / "out.mp4"
    arguments = (*DEMO, "--loop", "0", "--pace", "native", "--no-table", "--save", str(video))
    with subprocess.Popen([*RUN, *arguments], stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: size(video) > 0)
        video.unlink()
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1, said
    assert said.count(f"{video} was removed while it was being written") == 1, said


def test_a_removed_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    table = tmp_path / "out.csv"
    arguments = (*DEMO, "--loop", "0", "--pace", "native", "--events", str(gone / "out.jsonl"), "--save", str(gone / "out.mp4"),
                 "--csv", str(table))  # fmt: skip
    process = subprocess.Popen([*RUN, *arguments], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: size(gone / "out.jsonl") > 0 and size(gone / "out.mp4") > 0 and size(table) > 2000)
    shutil.rmtree(gone)
    seen = size(table)
    wait_until(lambda: size(table) > seen + 20_000)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=300)
    assert process.returncode == 1, log
    for name in ("out.jsonl", "out.mp4"):
        assert log.count(f"{gone / name} was removed while it was being written") == 1, log
    frames = [int(row["frame"]) for row in rows(table)]
    assert frames == sorted(frames)
    assert sum(line.startswith(("ERROR", "WARNING", "INFO")) for line in log.splitlines()) < 10  # said once, not for each frame


def test_pipe_reader_that_takes_nothing_does_not_affect_other_outputs(tmp_path: Path) -> None:
    table, summary = tmp_path / "out.csv", tmp_path / "out.json"
    arguments = (*DEMO, "--loop", "0", "--pace", "native", "--queue", "32", "--events", "-", "--csv", str(table),
                 "--summary", str(summary))  # fmt: skip
    process = subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: size(table) > 90_000)  # the pipe holds 64 KiB of the events, which are longer
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert "events: the last results were not written, because the reader does not take them" in process.stderr.read()
    figures = json.loads(summary.read_text())["sinks"]
    assert figures["events"]["dropped"] > 0
    assert figures["csv"]["dropped"] <= figures["events"]["dropped"]
    assert figures["csv"]["written"] > figures["events"]["written"]
    assert process.stdout is not None
    for line in process.stdout.read().splitlines()[:-1]:  # all but the last, which was cut short, are whole
        json.loads(line)


def test_pipe_reader_that_left_is_reported_once(tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    arguments = (*DEMO, "--max-frames", "60", "--events", "-", "--csv", str(table))
    process = subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    log = process.stderr.read()
    assert process.wait(60) == 1
    assert log.count("stdout was closed by its reader") == 1
    assert len({row["frame"] for row in rows(table)}) == 60


def test_a_run_without_end_ends_with_its_only_reader() -> None:
    arguments = (*DEMO, "--loop", "0", "--pace", "native", "--events", "-")
    process = subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "started"
    process.stdout.close()
    assert process.stderr is not None
    log = process.stderr.read()
    assert process.wait(60) == 1
    assert log.count("stdout was closed by its reader") == 1


def test_a_run_by_a_settings_file(tmp_path: Path) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text(
        f'display = false\nmax-frames = 8\ndetect-every = 4\nevents = "{tmp_path / "out.jsonl"}"\n'
        '[[source]]\ndemo = "stroll"\nname = "first"\n[[source]]\ndemo = "crossing"\nname = "second"\n'
    )
    done = subprocess.run([*RUN, "--config", str(settings)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["camera"] for line in lines} == {"first", "second"}
    assert sum("frame" in line for line in lines) == 16
    assert sorted(line["event"] for line in lines if "event" in line) == ["ended", "ended", "started", "started"]
    settings.write_text("max-frames = 0\n")
    done = subprocess.run([*RUN, "--config", str(settings)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert f"{settings}:1: max-frames: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("--csv", "absent/out.csv"), 1, "no folder absent"),
        (("--events", "absent/out.jsonl", "--csv", "never.csv"), 1, "no folder absent"),
        (("--summary", "absent/out.json"), 1, "no folder absent"),
        (("--table",), 2, "not a terminal"),
        (("--config", "absent.toml"), 2, "absent.toml cannot be read"),
    ],
)
def test_outputs_that_cannot_be(arguments: tuple[str, ...], code: int, expected: str, tmp_path: Path) -> None:
    done = subprocess.run([*RUN, *DEMO, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--save", "talk.mp4"), "talk.mp4 is the source talk"),
        (("--events", "link.mp4"), "link.mp4 is the source talk"),
        (("--summary", "./talk.mp4"), "talk.mp4 is the source talk"),
        (("--source", "demo", "--save", "."), "talk.mp4 is the source talk"),
        (("--events", "out", "--csv", "./out"), "--events and --csv name the same file, out"),
        (("--events", "-", "--csv", "-"), "--events and --csv cannot both write to standard output"),
        (("--summary", "-"), "--summary -: only --events and --csv write to standard output: name a file"),
        (("--parquet", "-"), "--parquet -: only --events and --csv write to standard output: name a folder"),
    ],
)
def test_no_output_takes_the_place_of_a_source_or_of_another(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    source = tmp_path / "talk.mp4"
    source.write_bytes(b"precious")
    (tmp_path / "link.mp4").hardlink_to(source)
    command = [*RUN, "--source", "talk.mp4", "--no-display", "--overwrite", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert f"error: {expected}" in done.stderr
    assert source.read_bytes() == b"precious"
    assert not (tmp_path / "out").exists()


def test_the_table_on_a_terminal(tmp_path: Path) -> None:
    """Standard error is the terminal; standard output has the events alone."""
    outer, inner = pty.openpty()
    seen = bytearray()

    def watch() -> None:
        try:
            while data := os.read(outer, 4096):
                seen.extend(data)
        except OSError:
            return  # the last one has closed the terminal

    watcher = threading.Thread(target=watch)
    watcher.start()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    arguments = (*DEMO, "--max-frames", "40", "--pace", "native", "--events", "-")
    done = subprocess.run([*RUN, *arguments], stdout=subprocess.PIPE, stderr=inner, env=environment, timeout=300, check=False)
    os.close(inner)
    watcher.join(10)
    os.close(outer)
    screen = seen.decode(errors="replace")
    assert done.returncode == 0, screen
    assert 0 <= screen.find("starting the workers") < screen.find("frames/s")
    assert "latency ms" in screen
    assert all(set(json.loads(line)) >= {"camera", "timestamp"} for line in done.stdout.splitlines())
