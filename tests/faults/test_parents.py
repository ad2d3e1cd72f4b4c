"""Commands that are killed or interrupted at random moments: no worker stays, and what was written is whole."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from faults_help import TALLY, marked_processes, wait_until

RUN = (sys.executable, "-m", "ferengine", "run")


def failed_in_ours(log: str) -> bool:
    """Whether ``log`` has a traceback through the package's code: Python's own start, until the first imports of the package
    and of its ``__main__`` are done, answers Ctrl-C with one of its own."""
    frame = r'File ".*/ferengine/(?!__init__\.py|__main__\.py", line \d+, in <module>)'
    return "Traceback" in log and re.search(frame, log) is not None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["kill", "interrupt", "terminate"])
def test_no_worker_survives_its_parent(seed: int, number: signal.Signals, clip: Path, tmp_path: Path) -> None:
    chance = random.Random(seed)
    events, video, summary = tmp_path / "out.jsonl", tmp_path / "out.mp4", tmp_path / "out.json"
    mark = f"FERENGINE_TEST_MARK={tmp_path}"
    arguments = ("--source", str(clip), "--loop", "0", "--no-display", "--pace", chance.choice(["fast", "native"]),
                 "--min-face", "30", "--events", str(events), "--save", str(video), "--summary", str(summary))  # fmt: skip
    process = subprocess.Popen(
        [*RUN, *arguments],
        env={**os.environ, "FERENGINE_TEST_MARK": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    if chance.random() < 0.6:  # else anywhere in the start
        wait_until(lambda: events.exists() and events.stat().st_size > 0)
        time.sleep(chance.uniform(0, 1.5))
    else:
        time.sleep(chance.uniform(0, 1.5))
    process.send_signal(number)
    TALLY.count(f"{number.name} of a parent")
    try:
        _, log = process.communicate(timeout=300)
    finally:
        process.kill()
    TALLY.gone.append(wait_until(lambda: not marked_processes(mark)))
    assert not failed_in_ours(log), log
    lines = events.read_text().split("\n") if events.exists() else [""]
    tail = lines.pop()  # cut short by a kill alone
    frames = [line["frame"] for line in map(json.loads, lines) if "frame" in line]
    assert frames == sorted(set(frames))
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert tail == ""
    assert process.returncode in (0, 1, -number)
    if process.returncode == -number:  # before there was anything to end
        assert frames == []
        return
    said = json.loads(summary.read_text())
    sinks = said["sinks"]
    assert sinks["events"]["written"] == len(frames)
    assert said["frames"] == sum(sinks["events"][name] for name in ("written", "dropped", "cut"))
    lost = sum(sink["dropped"] + sink["cut"] for sink in sinks.values())
    assert bool(process.returncode) == (lost > 0), (said, log)
    if said["frames"] and sinks["video"]["written"]:
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) == sinks["video"]["written"]
