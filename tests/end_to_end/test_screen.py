"""A screen changes nothing but that a window shows what it can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from ferengine.sinks.video import VideoWriter
from ferengine.sources.demo import DemoSource


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program on a virtual screen."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: no virtual screen for the window")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()
            yield {**os.environ, "DISPLAY": f":{number}", "XDG_RUNTIME_DIR": str(tmp_path)}
        finally:
            server.terminate()


def test_what_is_written_is_complete_with_a_window(screen: dict[str, str], tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    source = DemoSource()
    source.open()
    writer = VideoWriter(clip, 640, 480, 30.0)
    for number in range(90):
        captured = source.read()
        assert captured is not None
        writer.write(captured.image, number / 30)
    writer.close()
    events, video, summary = tmp_path / "out.jsonl", tmp_path / "out.mp4", tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "ferengine", "run", str(clip), "--events", str(events), "--save", str(video),
         "--summary", str(summary)],
        env=screen, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in events.read_text().splitlines()]
    assert [record["frame"] for record in records if "frame" in record] == list(range(90))
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 90
    figures = json.loads(summary.read_text())
    window = figures["sinks"]["window"]
    assert window["written"] + window["dropped"] == 90
    assert window["written"] > 0
    assert figures["dropped"]["render"]["not_shown"] == window["dropped"]
    assert figures["dropped"]["capture"]["late"] == figures["dropped"]["render"]["queue_full"] == 0
