"""Whole runs of the command on streams that come and go, and on what is no source."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SECRETS = ("hunter2", "p%40ss", "p@ss", "viewer")


class Run:
    """``ferengine run`` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.events = folder / "events.jsonl"
        self.summary = folder / "summary.json"
        command = [sys.executable, "-m", "ferengine", "run", "--no-display", "--events", str(self.events),
                   "--summary", str(self.summary), *arguments]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = ""

    def lines(self) -> list[dict[str, Any]]:
        text = self.events.read_text() if self.events.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def camera_events(self, camera: str = "") -> list[str]:
        return [line["event"] for line in self.lines() if "event" in line and line["camera"].startswith(camera)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"it did not happen: {self.end()} {self.output} {self.camera_events()}")
            time.sleep(0.05)

    def end(self, *, asked: bool = True) -> int:
        """Exit code, after SIGINT if ``asked``; all that it printed is in ``output``."""
        if asked:
            self.process.send_signal(signal.SIGINT)
        self.output = self.process.communicate(timeout=300)[0] or self.output
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(*arguments: str) -> Run:
        runs.append(Run(tmp_path, *arguments))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def test_a_stream_that_stops_and_comes_back_larger(
    rtsp: Any, make_clip: Callable[..., Path], start: Callable[..., Run]
) -> None:
    rtsp.start(make_clip(frames=800), "viewer", "p@ss")
    run = start("--source", f"door={rtsp.url('viewer:p%40ss@')}", "--source", "demo", "--loop", "0", "--timeout", "1")
    run.wait_for(lambda: sum(line["camera"] == "door" for line in run.lines()) > 10)
    children = [path.read_text().split() for path in Path(f"/proc/{run.process.pid}/task").glob("*/children")]
    pids = [run.process.pid, *(pid for found in children for pid in found)]
    assert len(pids) >= 6
    title = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
    rtsp.stop()
    run.wait_for(lambda: run.camera_events("door") == ["started", "disconnected"])
    last = max(line["frame"] for line in run.lines() if line["camera"] == "door" and "frame" in line)
    rtsp.start(make_clip(320, 240, frames=800), "viewer", "p@ss")
    run.wait_for(lambda: sum(line["camera"] == "door" and line.get("frame", 0) > last for line in run.lines()) > 10)
    rtsp.pause()  # now it hangs: the stream stalls, and stopping must not wait for it
    run.wait_for(lambda: run.camera_events("door") == ["started", "disconnected", "reconnected", "disconnected"])
    assert run.end() == 0, run.output
    assert run.camera_events("door") == ["started", "disconnected", "reconnected", "disconnected", "ended"]
    door = [line for line in run.lines() if line["camera"] == "door"]
    frames = [line for line in door if "frame" in line]
    numbers = [line["frame"] for line in frames]
    stamps = [line["timestamp"] for line in frames]
    assert numbers == sorted(set(numbers))
    assert stamps == sorted(set(stamps))
    assert next(line["seconds"] for line in door if line.get("event") == "reconnected") > 0
    assert run.camera_events("demo") == ["started", "ended"]
    everything = "".join((run.output, run.events.read_text(), run.summary.read_text(), title))
    assert not any(secret in everything for secret in SECRETS)
    assert "127.0.0.1" in title


def test_refused_credentials_end_one_camera_alone(http: Any, start: Callable[..., Run]) -> None:
    http.credentials = "viewer:right"
    run = start("--source", http.url("/mjpeg", "viewer:hunter2@"), "--source", "demo", "--max-frames", "8")
    assert run.end(asked=False) == 1
    assert len(http.requests) <= 2  # without and with credentials: no account is locked
    assert run.output.count("refuses the user name and password (401)") == 1
    [ended] = [line for line in run.lines() if line["camera"] == "127.0.0.1"]
    assert ended["event"] == "ended"
    assert "401" in ended["reason"]
    assert sum("frame" in line for line in run.lines() if line["camera"] == "demo") == 8
    everything = run.output + run.events.read_text() + run.summary.read_text()
    assert not any(secret in everything for secret in SECRETS)


def test_stopping_while_a_connection_hangs(silent_port: int, start: Callable[..., Run]) -> None:
    run = start("--source", f"door=rtsp://viewer:hunter2@127.0.0.1:{silent_port}/x", "--timeout", "600")
    tasks = Path(f"/proc/{run.process.pid}/task")
    run.wait_for(lambda: sum(len(children.read_text().split()) for children in tasks.glob("*/children")) >= 4)
    run.end()  # raises where stopping waits for the connection, which takes ten minutes to give up
    assert run.camera_events() == ["ended"]
    assert not any(secret in run.output for secret in SECRETS)


def test_a_camera_that_is_not_there_yet(http: Any, unused_port: int, start: Callable[..., Run]) -> None:
    run = start("--source", f"late=http://127.0.0.1:{unused_port}/", "--source", "demo", "--loop", "0", "--reconnect", "always")
    run.wait_for(lambda: sum("frame" in line for line in run.lines()) > 5)
    assert run.camera_events("late") == ["disconnected"]
    assert run.end() == 0, run.output
    assert run.camera_events("late") == ["disconnected", "ended"]


def test_a_live_stream_that_ends_with_no_reconnection(http: Any, start: Callable[..., Run]) -> None:
    http.images = [np.zeros((48, 64, 3), np.uint8)] * 10
    run = start("--source", http.url("/mjpeg"), "--reconnect", "never", "--when-late", "wait")
    assert run.end(asked=False) == 0, run.output
    assert run.camera_events() == ["started", "ended"]
    assert [line["frame"] for line in run.lines() if "frame" in line] == list(range(10))
