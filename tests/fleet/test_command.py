"""``ferengine fleet`` on one machine, as its first user has it: what it says, what it writes, and what it keeps to itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("ray") is None or find_spec("cryptography") is None:  # Ray reads its authentication mode when it is imported
    pytest.skip("ray or cryptography is not installed (the extra fleet)", allow_module_level=True)

from fleet_help import PATIENCE, tree
from video_help import write_video

SECRET = "hunter2-never-shown"
_SETTINGS = """
events = "{folder}/events"
webhook = "http://127.0.0.1:9/hook"
webhook-secret = "{folder}/secret"

[[camera]]
name = "hall"
demo = "turn"
fps = 10
size = [320, 240]

[[camera]]
name = "clip"
file = "{folder}/clip.mp4"

[[camera]]
name = "door"
url = "rtsp://admin:{secret}@127.0.0.1:9/live"
"""
_JOIN = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print(ray.nodes())"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A fleet of the demo, a file, and a camera with a password that does not answer; and where its messages go."""
    write_video(tmp_path / "clip.mp4", frames=20)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    settings, messages = tmp_path / "fleet.toml", tmp_path / "messages"
    settings.write_text(_SETTINGS.format(folder=tmp_path, secret=SECRET))
    words = [sys.executable, "-m", "ferengine", "fleet", "--config", str(settings)]
    hidden = {"RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    with messages.open("w") as stream:
        process = subprocess.Popen(words, stderr=stream, env=environment, text=True)
    yield process, messages
    if process.poll() is None:
        process.kill()
        process.wait()


def test_the_first_fleet_of_a_user(command: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> None:
    process, messages = command
    said = messages.read_text
    deadline = time.monotonic() + 2 * PATIENCE
    while not all(text in said() for text in ("hall: placed on ", "clip: ended", "door: disconnected")):
        assert process.poll() is None, said()
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)
    pids = tree(process.pid)
    commands = {pid: _read(pid, "cmdline") for pid in pids}
    environments = {pid: _read(pid, "environ") for pid in pids[1:]}
    [raylet] = [pid for pid, words in commands.items() if words.split(b"\0")[0].endswith(b"/raylet")]
    options = dict(word.lstrip(b"-").split(b"=", 1) for word in commands[raylet].split(b"\0") if b"=" in word)

    assert b"RAY_AUTH_MODE=token" in environments[raylet].split(b"\0")
    assert b"RAY_USAGE_STATS_ENABLED=0" in environments[raylet].split(b"\0")
    without = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    words = [sys.executable, "-c", _JOIN, options[b"gcs-address"].decode()]
    refused = subprocess.run(words, env=without, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert refused.returncode != 0
    assert "NodeID" not in refused.stdout

    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0, said()
    session = Path(options[b"session_dir"].decode())
    places = {str(path): path.read_bytes() for path in session.rglob("*") if path.is_file() and not path.is_symlink()}
    places |= {
        f"{pid} {kind}": text for kind, of in (("words", commands), ("variables", environments)) for pid, text in of.items()
    }
    assert len(places) > 20
    assert [place for place, text in {**places, "messages": said().encode()}.items() if SECRET.encode() in text] == []

    [events] = (tmp_path / "events").iterdir()
    cameras = {json.loads(line).get("camera") for line in events.read_text().splitlines()}
    assert {"hall", "clip"} <= cameras
    assert not [pid for pid in pids if b"ferengine" in _read(pid, "cmdline")], "a process has stayed"


def _read(pid: int, kind: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{kind}").read_bytes()
    except OSError:
        return b""  # it has ended
