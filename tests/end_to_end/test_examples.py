"""The examples of the documentation, as a reader calls them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.sources.demo import DemoSource

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def _command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *map(str, arguments)]


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    source = DemoSource()
    source.open()
    frames = []
    for _ in range(20):
        captured = source.read()
        assert captured is not None
        frames.append(captured.image.copy())
    return frames


def test_every_example_is_tested() -> None:
    tested = {name for name in re.findall(r"_command\(\"(\w+\.py)\"", Path(__file__).read_text()) if name != "name"}
    assert tested == {path.name for path in EXAMPLES.glob("*.py")}


def test_a_folder_of_images_becomes_a_table(images: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), images[0])
    cv2.imwrite(str(tmp_path / "b.jpg"), cv2.cvtColor(images[5], cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((50, 70, 3), np.uint8))
    (tmp_path / "d.png").write_bytes(b"not an image")
    cv2.imwrite(str(tmp_path / "d2.png"), np.zeros((20, 16400, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "e.png"), cv2.resize(images[9], (1280, 960)))
    done = subprocess.run(_command("folder_batch.py", tmp_path), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "d.png is not an image" in done.stderr
    assert re.search(r"d2\.png was not read: .* at most 16384 pixels a side, not 16400x20", done.stderr)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["file"] for row in rows} == {"a.png", "b.jpg", "e.png"}
    assert all(row["label"] and 0 < float(row["score"]) <= 1 for row in rows)
    assert all(0 <= int(row["x"]) < 1280 for row in rows)


def test_an_opencv_loop_gets_its_results(images: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 480))
    for image in images:
        writer.write(image)
    writer.release()
    done = subprocess.run(_command("opencv_loop.py", path), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    match = re.fullmatch(r"(\d+) frames read, (\d+) dropped, (\d+) results\n", done.stdout)
    assert match is not None, done.stdout
    read, dropped, results = map(int, match.groups())
    assert read == 20
    assert 0 < results <= read - dropped


def test_an_asyncio_service_answers_and_ends() -> None:
    command = _command("asyncio_service.py", "demo", "--port", "0", "--seconds", "25")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        deadline = time.monotonic() + 25
        answer: dict[str, dict[str, object]] = {}
        while not answer and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = _fetch(address)
        assert answer["demo"]["camera"] == "demo"
        health = _fetch(f"{address}health")
        assert health["state"] == "running"
        assert health["cameras"]["demo"]["state"] == "running"
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.wait()


def test_a_fastapi_application_answers_and_ends() -> None:
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = _command("fastapi_service.py", "demo", "--port", str(port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        answer: dict[str, object] = {}
        deadline = time.monotonic() + 100
        while not answer and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(OSError):  # not up yet, or no result yet (404)
                answer = _fetch(f"http://127.0.0.1:{port}/faces/demo")
        assert answer["camera"] == "demo"
        assert _fetch(f"http://127.0.0.1:{port}/health")["state"] == "running"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors.replace("KeyboardInterrupt", "")
    finally:
        process.kill()
        process.wait()


def test_the_service_below_a_path_of_another_application() -> None:
    websockets = pytest.importorskip("websockets.sync.client", reason="the extra `serve` is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = _command("mounted_service.py", "demo", "--port", str(port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        answer: dict[str, Any] = {}
        deadline = time.monotonic() + 100
        while not answer and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(OSError):  # not up yet
                answer = _fetch(f"http://127.0.0.1:{port}/faces/api/cameras")
        assert [camera["name"] for camera in answer["cameras"]] == ["demo"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/faces/page.js", timeout=20) as script:
            assert b"./tile.js" in script.read()
        with websockets.connect(f"ws://127.0.0.1:{port}/faces/api/cameras/demo/video", max_size=None) as video:
            assert b"avc1" in video.recv(100)
            video.recv(100)
            process.send_signal(signal.SIGINT)  # while someone is watching
            _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors.replace("KeyboardInterrupt", "")
    finally:
        process.kill()
        process.wait()


def _fetch(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address, timeout=20) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
