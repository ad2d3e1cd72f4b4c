"""Events of a run, from the demo to a database and a web server."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def test_a_run_keeps_and_posts_its_events(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    posted: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            sys.executable, "-m", "ferengine", "run", "--source", "demo", "--no-display", "--max-frames", "60",
            "--store", "faces.db", "--webhook", f"http://127.0.0.1:{server.server_address[1]}/", "--summary", "run.json",
            "--events", "faces.jsonl", "--parquet", "faces",
            "--snapshots", "media", "--clips", "media", "--clip-before", "0.2",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    kinds = [event["event"] for event in posted]
    assert kinds.count("appeared") == kinds.count("left") == 2  # the demo shows two people
    assert (kinds[0], kinds[-1]) == ("started", "ended")
    with sqlite3.connect(tmp_path / "faces.db") as store:
        assert [kind for (kind,) in store.execute("SELECT kind FROM event ORDER BY rowid")] == kinds
        assert store.execute("SELECT count(DISTINCT track) FROM sample").fetchone() == (2,)
    sinks = json.loads((tmp_path / "run.json").read_text())["sinks"]
    for name in ("store", "webhook", "parquet", "media"):
        assert (sinks[name]["written"], sinks[name]["dropped"], sinks[name]["error"]) == (60, 0, None)
    lines = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if "event" in line] == ["started", "ended"]
    shown = [event for event in posted if "clip" in event]
    assert [event["event"] for event in shown] == kinds[1:3] == ["appeared", "appeared"]
    files = {event[name] for event in shown for name in ("snapshot", "clip")}
    assert files == {str(path) for path in (tmp_path / "media").iterdir()}
    with sqlite3.connect(tmp_path / "faces.db") as store:
        assert {path for row in store.execute("SELECT snapshot, clip FROM event") for path in row if path} == files
    assert "1 of them shorter than asked for, 0 not written" in done.stderr
    [written] = (tmp_path / "faces").iterdir()
    table = parquet.read_table(written)
    assert table["event"].drop_null().to_pylist() == ["started", "ended"]
    assert table["track"].drop_null().to_pylist() == [face["track"] for line in lines for face in line.get("faces", ())]
