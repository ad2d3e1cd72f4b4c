"""An archive on a cluster of this machine: three videos, one broken, and a run that is killed and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from video_help import write_video

if find_spec("ray") is None or find_spec("cryptography") is None:  # Ray reads its authentication mode when it is imported
    pytest.skip("ray or cryptography is not installed (the extra fleet)", allow_module_level=True)

_RUN = """
import json, sys
from dataclasses import asdict
from ferengine.fleet.files import plan_files, read_files
reports = []
plan = plan_files([sys.argv[1]], sys.argv[2])
done = read_files(plan, sys.argv[2], cpus_per_file=1000, report=lambda now: reports.append(now.bytes_over))
print(json.dumps({**asdict(done), "left": done.seconds_left, "reports": reports}))
"""
"""One file after the other: each gets all cores of the machine."""


@pytest.mark.timeout(600)
def test_archive_goes_on_where_a_killed_run_ended(tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    write_video(archive / "a" / "first.mp4", frames=10)
    second = write_video(archive / "b" / "second.mp4", frames=4000)
    (archive / "broken.mp4").write_bytes(b"no video" * 100)
    first, pattern = out / "a" / "first.mp4.json", f"{archive}/**/*.mp4"

    run = _start(pattern, out)
    try:  # everything of the run is killed while it reads the second
        _wait(lambda: first.exists() and any(part.stat().st_size for part in out.rglob(".ferengine-*.part")), run)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    written = first.stat().st_mtime_ns
    assert not (out / "b" / "second.mp4.json").exists()

    write_video(second, frames=30)  # the rest need not take long
    shown, _ = _start(pattern, out).communicate(timeout=400)
    done = json.loads(shown)
    assert (done["total"], done["kept"], done["done"], done["frames"], done["left"]) == (3, 1, 1, 30, 0)
    [failure] = done["failed"]
    assert failure["source"] == str(archive / "broken.mp4")
    assert "broken.mp4" in failure["error"]
    assert done["reports"] == sorted(done["reports"])
    assert done["reports"][-1] == done["bytes_total"] == second.stat().st_size + 800
    assert first.stat().st_mtime_ns == written, "a file was read twice"
    assert json.loads((out / "b" / "second.mp4.json").read_text())["summary"]["frames"] == 30
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        ".ferengine-files.lock", "a/first.mp4.json", "a/first.mp4.jsonl", "b/second.mp4.json", "b/second.mp4.jsonl",
    ]  # fmt: skip


def _start(pattern: str, out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", _RUN, pattern, str(out)]
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE)


def _wait(condition: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert run.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline, "the run came to nothing"
        time.sleep(0.05)
