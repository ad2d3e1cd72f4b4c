"""The whole engine, in real processes, on the demo and on files that the tests write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faults_help import wait_until
from ferengine import Engine, PushSource
from ferengine.errors import SourceError, UsageError
from ferengine.results import FrameResult
from ferengine.sources.demo import DemoSource


def _without_times(result: FrameResult) -> dict[str, object]:
    """The event less its latency, scores to 1e-4."""
    event = result.to_dict()
    del event["latency_ms"]
    for face in event["faces"]:
        face["expression"]["scores"] = {k: round(v, 3) for k, v in face["expression"]["scores"].items()}
        face["expression"]["smoothed"]["scores"] = {k: round(v, 3) for k, v in face["expression"]["smoothed"]["scores"].items()}
    return event


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _living_workers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
                parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            is_worker = title.startswith(b"ferengine: ") or b"ferengine.stages.worker" in title
            if is_worker and parent == str(os.getpid()):
                found.append(title.rstrip(b"\0").decode())
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety frames of the demo as a video file."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = DemoSource()
    source.open()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.time_base = Fraction(1, 30)
        for _ in range(90):
            captured = source.read()
            assert captured is not None
            container.mux(stream.encode(av.VideoFrame.from_ndarray(captured.image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def test_demo_against_its_known_boxes() -> None:
    truth = DemoSource()
    truth.open()
    matched = total = 0
    ids: dict[int, set[int | None]] = {}
    with Engine("demo", max_frames=120) as engine:
        for result in engine.results():
            for person, known in enumerate(truth.boxes(result.frame)):
                total += 1
                best = max(result.faces, key=lambda face: _overlap(face.box, known), default=None)
                if best is not None and _overlap(best.box, known) > 0.5:
                    matched += 1
                    ids.setdefault(person, set()).add(best.track)
                    assert best.expression is not None
                    assert sum(best.expression.scores.values()) == pytest.approx(1, abs=1e-3)
    assert total >= 120
    assert matched >= 0.97 * total
    assert all(len(seen) == 1 for seen in ids.values()), ids


def test_every_frame_of_a_file_once_in_order_and_two_runs_alike(clip: Path) -> None:
    runs = []
    for _ in range(2):
        with Engine(clip) as engine:
            runs.append(list(engine.results()))
    assert [result.frame for result in runs[0]] == list(range(90))
    assert [_without_times(result) for result in runs[0]] == [_without_times(result) for result in runs[1]]
    stamps = [result.timestamp for result in runs[0]]
    assert np.allclose(np.diff(stamps), 1 / 30, atol=2e-3)
    origins = [face.origin for result in runs[0] for face in result.faces if result.frame % 6 == 0]
    assert origins
    assert set(origins) == {"detected"}


@pytest.mark.parametrize("name", ["capture-clip", "detect-0", "track-0", "classify"])
def test_a_killed_worker_is_replaced_and_nothing_is_lost(clip: Path, name: str) -> None:
    results = []
    with Engine(clip, queue=8) as engine:
        for result in engine.results():
            results.append(result)
            if result.frame == 20:
                os.kill(engine.worker_pids()[name], signal.SIGKILL)
                wait_until(lambda: engine.summary()["workers"][name]["restarts"] > 0)  # or the rest may do without it
        restarts = engine.summary()["workers"][name]["restarts"]
    assert restarts == 1
    assert [result.frame for result in results] == list(range(90))
    assert all(face.expression is not None for result in results for face in result.faces)
    last_ids: dict[int, int] = {}
    for result in results:  # an id is never used for two tracks: once gone for long, it does not come back
        for face in result.faces:
            assert face.track is not None
            if face.track in last_ids:
                assert result.frame - last_ids[face.track] < 40
            last_ids[face.track] = result.frame


def test_several_sources_share_the_classifier(clip: Path) -> None:
    with Engine([clip, "demo", clip], max_frames=30) as engine:
        frames: dict[str, list[int]] = {}
        faces = Counter[str]()
        for result in engine.results():
            frames.setdefault(result.camera, []).append(result.frame)
            faces[result.camera] += len(result.faces)
        summary, seen = engine.summary(), engine.seen
    assert {name: (shown.frames, shown.faces) for name, shown in seen.items()} == {name: (30, faces[name]) for name in frames}
    assert frames == {name: list(range(30)) for name in ("clip", "demo", "clip-2")}
    assert summary["frames"] == 90
    assert summary["batch"]["faces"] == summary["faces"]


def test_a_slow_consumer_holds_a_file_back(clip: Path) -> None:
    with Engine(clip, queue=4) as engine:
        frames = []
        for result in engine.results():
            frames.append(result.frame)
            if result.frame < 30:
                time.sleep(0.02)
    assert frames == list(range(90))
    assert engine.summary()["dropped"]["results"]["queue_full"] == 0


def test_live_pace_keeps_order_and_accounts_for_every_frame(clip: Path) -> None:
    from ferengine.sources import parse_source

    with Engine(parse_source(str(clip), pace="native")) as engine:
        frames = [result.frame for result in engine.results()]
        dropped = engine.summary()["dropped"]
    assert frames == sorted(set(frames))
    capture = dropped["capture"]
    assert len(frames) + dropped["track"]["skipped"] + capture["ring_full"] + capture["late"] == 90


def test_leaving_early_ends_all_workers_soon() -> None:
    with Engine("demo") as engine:
        next(iter(engine.results()))
        titles = {"ferengine: capture demo", "ferengine: detect-0", "ferengine: track-0", "ferengine: classify"}
        assert titles <= set(_living_workers())
        began = time.monotonic()
    assert time.monotonic() - began < 20.0  # workers get 0.7 s; the rest is for a busy machine
    assert _living_workers() == []


def test_no_descriptor_is_left_behind(clip: Path) -> None:
    def once() -> int:
        with Engine(clip, max_frames=3) as engine:
            assert len(list(engine.results())) == 3
        del engine
        import gc

        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    once()
    assert once() == once()


def test_workers_die_with_a_killed_parent(clip: Path) -> None:
    program = (
        "import sys; from ferengine import Engine\n"
        "e = Engine('demo', max_frames=100000); it = e.results(); next(it)\n"
        "print(*e.worker_pids().values(), flush=True); list(it)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) >= 4
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_errors_name_the_thing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.mp4"):
        list(Engine(tmp_path / "nothing.mp4").results())
    with pytest.raises(UsageError, match="detect_every"):
        Engine("demo", detect_every=0)
    with pytest.raises(UsageError, match="no source"):
        Engine([])
    with pytest.raises(UsageError, match="a camera's number is 0 or more, not -1"):
        Engine(-1)
    for nonsense in (None, 5.5, ["demo", None], True, b"/dev/video0", {"door": "demo"}):
        with pytest.raises(UsageError, match="a source is a camera's number"):
            Engine(nonsense)  # type: ignore[arg-type]


def test_a_failing_source_does_not_end_the_others(clip: Path, tmp_path: Path) -> None:
    with Engine([tmp_path / "gone.mp4", clip], max_frames=12) as engine:
        frames = [result.frame for result in engine.results()]
    assert frames == list(range(12))
    assert len(engine.failures) == 1
    assert "gone.mp4" in engine.failures[0]


def test_values_of_another_kind_are_named() -> None:
    """They are mistakes of the caller, not failures inside the engine."""
    wrong: Any = Engine
    with Engine(PushSource("door", wait=True)) as opened:
        engine: Any = opened
        image = np.zeros((9, 9, 3), np.uint8)
        for call, named in {
            lambda: engine.take("1"): "a timeout is a number of seconds or None, not '1'",
            lambda: engine.wait([1]): r"a timeout is .* not \[1\]",
            lambda: engine.wait_ready(True): "a timeout is .* not True",
            lambda: engine.take(float("nan")): "a timeout is .* not nan",
            lambda: engine.set_zones("door", None): "zones are a sequence of Zone.* not None",
            lambda: engine.set_zones(["door"], []): r"there is no camera \['door'\]: did you mean 'door'\?",
            lambda: engine.set_zones(5, ()): "there is no camera 5: known are door",
            lambda: engine.remove_source(None): "there is no camera None: known are door",
            lambda: engine.push(None, image): "there is no camera None: known are door",
            lambda: engine.results(cameras=[5]): "there is no camera 5: known are door",
            lambda: engine.subscribe(print, cameras=[None]): "there is no camera None: known are door",
            lambda: engine.stream(cameras=[b"door"]): "there is no camera b'door': did you mean 'door'\\?",
            lambda: engine.results(cameras=3): "cameras are a name or a sequence of names, not 3",
            lambda: engine.results(queue="4"): "a queue holds 1 to 100000 results, not '4'",
            lambda: engine.results(queue=2.5): "a queue holds 1 to 100000 results, not 2.5",
            lambda: engine.results(queue=10**400): r"a queue holds 1 to 100000 results, not 10{39}\.\.\.$",
            lambda: engine.results(frames=True, queue="4"): "with images 1 to 32 results may wait .*, not '4'",
            lambda: engine.results(frames="no"): "frames is True or False, not 'no'",
            lambda: engine.stream(frames=None): "frames is True or False, not None",
            lambda: engine.subscribe(print, frames=1): "frames is True or False, not 1",
            lambda: engine.subscribe(print, name=7): "the name of a callback is a text, not 7",
            lambda: engine.stop(force="no"): "force is True or False, not 'no'",
            lambda: engine.add_source("demo", held="no"): "held is True or False, not 'no'",
            lambda: engine.add_source(10**400): "there is no camera 10{39}",
            lambda: engine.remove_source("door", drain=0): "drain is True or False, not 0",
            lambda: engine.set_zones("door", "door"): "zones are a sequence of Zone, .* not 'door'",
            lambda: wrong("demo", overwrite="no"): "overwrite is True or False, not 'no'",
            lambda: wrong("demo", display=None): "display is True or False, not None",
            lambda: wrong("demo", keep_open=1): "keep_open is True or False, not 1",
            lambda: wrong("demo", save=""): "save is the path of a video file or a folder, and this one is empty",
            lambda: engine.push(["door"], image): "there is no camera",
            lambda: engine.push("door", image, True): "a time stamp is a number of seconds, .* not True",
            lambda: engine.push("door", image, timeout=None): "door: a pushed frame waits for a number of seconds, not None",
            lambda: wrong("demo", save=3): "save is the path of a video file or a folder, not int",
            lambda: wrong("demo", on_event=3): "on_event is a function that takes an event, not int",
        }.items():
            with pytest.raises(UsageError, match=named):
                call()
