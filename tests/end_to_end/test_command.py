"""The command as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest


def ferengine(*arguments: str | Path, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ferengine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_run_writes_events_video_and_summary(tmp_path: Path) -> None:
    events, video, summary = tmp_path / "out.jsonl", tmp_path / "out.mp4", tmp_path / "out.json"
    arguments = ("run", "--source", "demo", "--max-frames", "60", "--no-display",
                 "--events", events, "--save", video, "--summary", summary)  # fmt: skip
    done = ferengine(*arguments)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["event"] for line in lines if "event" in line] == ["started", "ended"]
    lines = [line for line in lines if "event" not in line]
    assert [line["frame"] for line in lines] == list(range(60))
    assert set(lines[0]) == {"camera", "frame", "timestamp", "latency_ms", "faces", "prior"}
    assert {line["prior"] for line in lines} == {"everyday"}
    assert set(lines[0]["faces"][0]) == {
        "track", "box", "score", "track_confidence", "origin", "landmarks", "expression", "pose", "quality",
    }  # fmt: skip
    assert set(lines[0]["faces"][0]["expression"]) == {"label", "scores", "smoothed"}
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 60
    figures = json.loads(summary.read_text())
    assert figures["frames"] == 60
    assert figures["fps"] > 0
    assert {"dropped", "faces", "latency_ms", "batch", "startup_s", "wall_s", "workers"} <= set(figures)
    assert figures["prior"]["name"] == "everyday"
    assert figures["detector"] == {"name": "mtcnn", "reason": "as set"}
    assert sum(figures["prior"]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert "class prior: everyday" in done.stderr
    assert figures["workers"]["track-0"]["peak_mb"] > 10
    again = ferengine(*arguments)
    assert again.returncode in (1, 2)
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr
    assert ferengine(*arguments, "--overwrite").returncode == 0


def test_events_go_to_stdout_and_nothing_else_does() -> None:
    done = ferengine("run", "--source", "demo", "--max-frames", "5", "--no-display", "--events", "-")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] for line in lines if "event" not in line] == list(range(5))


def test_prior_from_a_file_is_used_and_reported(tmp_path: Path) -> None:
    """A prior that leaves next to nothing but sadness: every face is sad."""
    prior, summary = tmp_path / "sad.toml", tmp_path / "out.json"
    others = ("angry", "disgust", "fear", "happy", "surprise", "neutral")
    prior.write_text("sad = 0.999999994\n" + "".join(f"{label} = 1e-9\n" for label in others))
    arguments = ("run", "--source", "demo", "--max-frames", "5", "--no-display", "--events", "-", "--summary", summary)
    done = ferengine(*arguments, "--prior", prior)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if '"event"' not in line]
    assert {line["prior"] for line in lines} == {str(prior)}
    assert {face["expression"]["label"] for line in lines for face in line["faces"]} == {"sad"}
    assert json.loads(summary.read_text())["prior"]["name"] == str(prior)
    prior.write_text("sad = 1\n")
    refused = ferengine(*arguments, "--overwrite", "--prior", prior)
    assert refused.returncode == 2
    missing = "angry, disgust, fear, happy, surprise, neutral"
    assert refused.stderr.splitlines()[-1].startswith(f"error: prior {prior} has no {missing}: ")


def test_an_absent_camera_is_named() -> None:
    if Path("/dev/video9").exists():
        pytest.skip("this machine has a camera 9")
    done = ferengine("run", "--camera", "9", "--no-display")
    assert done.returncode == 1
    assert "/dev/video9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("run", "--source", "missing.mp4", "--no-display"), 1, "missing.mp4"),
        (("run", "--source", "demo", "--detect-every", "0", "--no-display"), 2, "--detect-every"),
        (("run", "--source", "demo", "--model", "nonsense", "--no-display"), 2, "dscnn"),
        (("run", "--source", "demo", "--save", "out.avi", "--no-display"), 2, ".mp4"),
        (("run", "--source", "ftp://user:secret@host/x", "--no-display"), 2, "streams"),
        (("run", "--source", "rtsp://user:secret@host:port/x", "--no-display"), 2, "percent-encode"),
        (("run", "rtsp://user:secret@host:port/x", "--no-display"), 2, "percent-encode"),
        (("run", "--save", "rtsp://user:secret@host/x", "--no-display"), 2, "with --source"),
        (("run", "--max-frames", "rtsp://user:secret@host/x"), 2, "rtsp://host/..."),
        (("run", "--source", "demo", "--rotate", "45", "--no-display"), 2, "rotate"),
        (("run", "--nonsense"), 2, "nonsense"),
        (("image", "http://user:secret@host/x.jpg"), 2, "save the image to a file first"),
    ],
)
def test_mistakes_get_one_clear_error(arguments: tuple[str, ...], code: int, word: str) -> None:
    done = ferengine(*arguments)
    assert done.returncode == code, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def endless_run(tmp_path: Path, hangup: signal.Handlers) -> subprocess.Popen[str]:
    """A run of the demo that has started to write; ``hangup``: how SIGHUP is handled where it is started."""
    events = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "ferengine", "run", "--source", "demo", "--loop", "0", "--no-display",
               "--events", str(events), "--save", str(tmp_path / "out.mp4")]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup)
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (events.exists() and events.stat().st_size > 2000):
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGHUP)], ids=["INT", "TERM", "HUP twice"]
)
def test_a_signal_ends_the_run_cleanly(tmp_path: Path, numbers: tuple[signal.Signals, ...]) -> None:
    process = endless_run(tmp_path, signal.SIG_DFL)
    started = time.monotonic()
    for number in numbers:  # a terminal that is closed sends SIGHUP twice
        process.send_signal(number)
        time.sleep(0.01)
    _, log = process.communicate(timeout=300)
    assert time.monotonic() - started < 15.0  # two seconds; the rest is for a busy machine
    assert process.returncode == 0, log
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines() if '"frame"' in line]
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert 0 < len(lines) - 8 <= frames <= len(lines)


def test_under_nohup_a_closed_terminal_is_nothing(tmp_path: Path) -> None:
    process = endless_run(tmp_path, signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 0


def test_int8_without_variant_is_refused_before_any_file_is_written(tmp_path: Path) -> None:
    events = tmp_path / "out.jsonl"
    events.write_text("kept")
    done = ferengine("run", "--source", "demo", "--model", "dscnn", "--precision", "int8", "--events", str(events),
                     "--overwrite", "--no-display")  # fmt: skip
    assert done.returncode == 1
    assert "dscnn has no int8 variant: leave the precision at auto" in done.stderr
    assert events.read_text() == "kept"


def test_works_from_standard_input_without_a_main_guard() -> None:
    program = "from ferengine import Engine\nprint(len(list(Engine('demo', max_frames=4).results())))\n"
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, timeout=300, check=False, env=os.environ
    )
    assert done.stdout.strip() == "4", done.stderr
