"""Disks that fill up, folders that vanish, networks that break off and files that are damaged, at random moments."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from faults_help import TALLY, Disturber, wait_until, without_times
from ferengine import Engine
from ferengine.errors import FerengineError
from ferengine.results import CameraEvent, FrameResult
from ferengine.sources import parse_source
from ferengine.sources.demo import DemoSource
from ferengine.vision import cv2
from fuzzing.mutations import damaged

RUN = (sys.executable, "-m", "ferengine", "run")


def frames_of(events: Path) -> list[int]:
    """The frames in a file of events; a line that a full disk cut short is left out."""
    lines = events.read_text().split("\n")[:-1]
    return [line["frame"] for line in map(json.loads, lines) if "frame" in line]


def rows_of(table: Path) -> set[int]:
    with table.open(newline="") as file:
        return {int(row["frame"]) for row in csv.DictReader(file)}


@pytest.mark.timeout(300)
def test_a_disk_of_random_size(seed: int, clip: Path, undisturbed: list[FrameResult], tmp_path: Path) -> None:
    sizes = (100_000, 4, 40, 100, 16, 200, 60)
    kilobytes = sizes[seed % len(sizes)]
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    kept.mkdir()
    mount = (
        f'mount -t tmpfs -o size={kilobytes}k none "$0" 2>/dev/null || exit 77; "$@"; code=$?; '
        f'cp "$0"/* "{kept}" 2>/dev/null; exit $code'
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(small)]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 77:
        pytest.skip("no small file system can be mounted: unshare --user --mount is not allowed here")
    arguments = ("--source", str(clip), "--no-display", "--min-face", "30", "--events", str(small / "out.jsonl"),
                 "--save", str(small / "out.mp4"), "--csv", str(kept / "out.csv"),
                 "--summary", str(kept / "out.json"))  # fmt: skip
    done = subprocess.run([*command, *RUN, *arguments], capture_output=True, text=True, timeout=300, check=False)
    TALLY.count("disk too small" if kilobytes < 1000 else "disk large enough")
    assert "Traceback" not in done.stderr
    said = json.loads((kept / "out.json").read_text())
    errors = [name for name, sink in said["sinks"].items() if sink["error"] or sink["cut"] or sink["dropped"]]
    assert done.returncode == (1 if errors else 0), done.stderr
    assert bool(errors) == (kilobytes < 1000)
    assert said["frames"] == len(undisturbed)
    assert rows_of(kept / "out.csv") == {result.frame for result in undisturbed}
    frames = frames_of(kept / "out.jsonl")
    assert frames == list(range(len(frames)))
    assert len(frames) == said["sinks"]["events"]["written"]


@pytest.mark.timeout(300)
def test_a_folder_that_vanishes(seed: int, clip: Path, undisturbed: list[FrameResult], tmp_path: Path) -> None:
    chance = random.Random(seed)
    gone, table = tmp_path / "gone", tmp_path / "out.csv"
    gone.mkdir()
    arguments = ("--source", str(clip), "--no-display", "--min-face", "30", "--loop", "4", "--csv", str(table),
                 "--events", str(gone / "out.jsonl"), "--save", str(gone / "out.mp4"))  # fmt: skip
    process = subprocess.Popen([*RUN, *arguments], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (table.exists() and table.stat().st_size > 0) or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.5))
    running = process.poll() is None
    shutil.rmtree(gone)
    TALLY.count("removed folder")
    _, log = process.communicate(timeout=300)
    assert "Traceback" not in log
    assert rows_of(table) == set(range(4 * len(undisturbed)))
    assert process.returncode in ((0, 1) if running else (0,)), log
    assert (process.returncode == 1) == ("was removed while it was being written" in log), log


class BreakingServer(ThreadingHTTPServer):
    """Sends images as MJPEG, each connection up to a random number of them; after ``over`` none at all."""

    daemon_threads = True

    def __init__(self, images: list[bytes], chance: random.Random) -> None:
        super().__init__(("127.0.0.1", 0), _Camera)
        self.images, self.chance, self.cuts = images, chance, 0
        self.over = threading.Event()


class _Camera(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BreakingServer

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        server = self.server
        self.close_connection = True
        if server.over.is_set():
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        count = server.chance.choice([0, 1, 5, 20, 30])
        for number in range(count):
            data = server.images[number % len(server.images)]
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"
            if number == count - 1:
                part = part[: server.chance.randrange(len(part))]
            try:
                self.wfile.write(part)
            except OSError:
                return
            time.sleep(0.01)
        server.cuts += 1


@pytest.fixture
def server(seed: int) -> Iterator[BreakingServer]:
    source = DemoSource(320, 240)
    source.open()
    images = []
    for _ in range(20):
        captured = source.read()
        assert captured is not None
        images.append(cv2.imencode(".jpg", captured.image)[1].tobytes())
    made = BreakingServer(images, random.Random(seed))
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.timeout(300)
def test_a_network_that_breaks_off(seed: int, server: BreakingServer) -> None:
    chance = random.Random(seed)
    events: list[CameraEvent] = []
    source = parse_source(f"cam=http://127.0.0.1:{server.server_port}/mjpeg", reconnect="always", timeout=2.0)
    seen: list[FrameResult] = []
    with (
        Engine(source, min_face=30.0, on_event=events.append, restart_limit=1000) as engine,
        Disturber(engine, chance) as disturber,
    ):
        results = engine.results()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (server.cuts < 5 or not seen):
            result = results.take(0.1)
            if result is not None:
                seen.append(result)
            if chance.random() < 0.01:
                disturber.disturb()
        TALLY.faults["cut connection"] = TALLY.faults.get("cut connection", 0) + server.cuts
        assert server.cuts >= 5
        assert not engine.failures
        engine.end_source("cam")
        seen += list(results)
        camera = engine.health().cameras["cam"]
    numbers = [result.frame for result in seen]
    assert numbers == sorted(set(numbers))
    counted = sum(camera.dropped[reason] for reason in ("ring_full", "late", "skipped", "cut"))
    assert numbers[-1] + 1 - len(numbers) <= counted
    stamps = [result.timestamp for result in seen]
    assert stamps == sorted(stamps)
    kinds = [event.kind for event in events]
    assert kinds.count("started") == kinds.count("ended") == 1
    assert kinds[-1] == "ended"
    assert not any(kinds[index] == kinds[index + 1] for index in range(len(kinds) - 1)), kinds
    assert 0 <= kinds.count("disconnected") - kinds.count("reconnected") <= 2  # before the start, and at the end


@pytest.mark.timeout(300)
def test_damaged_files_beside_a_whole_one(seed: int, clip: Path, undisturbed: list[FrameResult], tmp_path: Path) -> None:
    chance = random.Random(seed)
    whole = clip.read_bytes()
    bad = []
    for number in range(3):
        bad.append(tmp_path / f"bad{number}.mp4")
        bad[-1].write_bytes(damaged(whole, chance))
    with Engine([clip, *bad], min_face=30.0) as engine:
        results: dict[str, list[FrameResult]] = {}
        try:
            for result in engine.results():
                results.setdefault(result.camera, []).append(result)
        except FerengineError as error:
            pytest.fail(f"a damaged file ended the run: {error}")
    TALLY.faults["damaged file"] = TALLY.faults.get("damaged file", 0) + len(bad)
    assert [without_times(result) for result in results["clip"]] == [without_times(result) for result in undisturbed]
    for path in bad:
        frames = [result.frame for result in results.get(path.stem, [])]
        assert frames == list(range(len(frames)))
        assert frames or any(path.stem in failure for failure in engine.failures)
