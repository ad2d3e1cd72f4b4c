"""``ferengine serve`` as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

httpx = pytest.importorskip("httpx", reason="the extra `test` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")


def test_it_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "ferengine", "serve", "--listen", "127.0.0.1:0", "door=demo:empty", "--fps", "5"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "ferengine is on" in line)
            url = re.findall(r"http://\S+", line)[0]
            [camera] = httpx.get(f"{url}/api/cameras", timeout=60).json()["cameras"]
            assert (camera["name"], camera["source"]) == ("door", "empty")
            again = subprocess.run([*command[:-5], "--listen", url.removeprefix("http://")], capture_output=True, text=True,
                                   timeout=120, check=False)  # fmt: skip
            assert again.returncode == 1
            assert again.stderr.splitlines()[-1].startswith("error: 127.0.0.1:")
            assert "is in use" in again.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
