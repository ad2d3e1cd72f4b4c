"""What a fleet costs over a plain engine: CPU time for each frame, of both at once and over the same cameras.

    python -m ferengine_tools.fleet_overhead [--cameras 4] [--seconds 60] [--fps 25]

starts a cluster with one node on this machine, and a plain engine in a process of its own, and has both read the demo. It
measures twice: while the results of the fleet stay on its node, and while they are collected here; the plain engine hands its
results to its program both times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from ferengine.cli.command import exit_code, make_command
from ferengine.engine import Engine
from ferengine.errors import FerengineError
from ferengine.fleet.fleet import Fleet
from ferengine.ipc.process import cpu_seconds
from ferengine.json_text import json_text
from ferengine.results import FrameResult
from ferengine.sources import SourceSpec, parse_source

_WARM_UP = 10.0
_PATIENCE = 180.0
_TICK = 0.2
_PLAIN = (
    "import sys; from ferengine_tools.fleet_overhead import read_plainly as read; read(int(sys.argv[1]), float(sys.argv[2]))"
)


class _PlainEngine:
    """An engine in a process of its own, which says at each line of input how far it is."""

    def __init__(self, cameras: int, fps: float) -> None:
        words = [sys.executable, "-c", _PLAIN, str(cameras), str(fps)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self) -> tuple[dict[str, int], list[int]]:
        """Results of each camera so far, and the processes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            raise FerengineError("the plain engine has ended: see its messages above") from None
        return answer["frames"], [self._process.pid, *answer["pids"]]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)


def read_plainly(cameras: int, fps: float) -> None:
    """Read the cameras until the standard input ends."""
    with Engine([_camera(number, fps) for number in range(cameras)]) as engine:
        frames: Counter[str] = Counter()
        threading.Thread(target=_count, args=(engine.results(), frames), daemon=True).start()
        for _ in sys.stdin:
            print(json_text({"frames": frames, "pids": list(engine.worker_pids().values())}), flush=True)


def fleet_overhead(
    cameras: Annotated[int, typer.Option(min=1, help="Cameras, the demo with one face each.")] = 4,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds of each of the two measurements.")] = 60.0,
    fps: Annotated[float, typer.Option(min=1, help="Frames a second of each camera.")] = 25.0,
) -> None:
    """Measure what a fleet costs over a plain engine."""
    plain = _PlainEngine(cameras, fps)
    try:
        with Fleet([_camera(number, fps) for number in range(cameras)]) as fleet:
            _wait_for_frames(fleet, plain, cameras)
            time.sleep(_WARM_UP)
            _measure("results stay on the node", fleet, plain, seconds)
            with fleet.results() as results:
                threading.Thread(target=_count, args=(results, Counter()), daemon=True).start()
                time.sleep(2 * _TICK)
                _measure("results are collected", fleet, plain, seconds)
                print(f"dropped on the way: {results.dropped}")
    finally:
        plain.close()


def _wait_for_frames(fleet: Fleet, plain: _PlainEngine, cameras: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while len(plain.ask()[0]) < cameras or not all(each.frames for each in fleet.health().cameras.values()):
        if time.monotonic() > deadline:
            states = {name: each.state for name, each in fleet.health().cameras.items()}
            raise FerengineError(f"not all cameras gave results within {_PATIENCE:.0f} s: {states}, plain {plain.ask()[0]}")
        time.sleep(_TICK)


def _measure(what: str, fleet: Fleet, plain: _PlainEngine, seconds: float) -> None:
    """Measure for some seconds, and print a table."""
    before, spent_before = _frames(fleet, plain), _spent(fleet, plain)
    time.sleep(seconds)
    after, spent_after = _frames(fleet, plain), _spent(fleet, plain)
    frames = {name: after[name] - before[name] for name in after}
    each = {
        name: 1e3 * (spent_after[name] - spent_before[name]) / frames["plain" if name == "plain engine" else "fleet"]
        for name in spent_after
    }
    load = os.getloadavg()[0]
    print(f"\n{what}: {frames['plain']} frames of the plain engine, {frames['fleet']} of the fleet; load {load:.0f}")
    for name, milliseconds in each.items():
        print(f"  {name:22} {milliseconds:7.3f} ms of CPU time a frame")
    ours = sum(value for name, value in each.items() if name.startswith("fleet"))
    print(f"  overhead {100 * (ours / each['plain engine'] - 1):+.1f} %, with Ray's own processes ", end="")
    print(f"{100 * ((ours + each['Ray itself']) / each['plain engine'] - 1):+.1f} %", flush=True)


def _frames(fleet: Fleet, plain: _PlainEngine) -> dict[str, int]:
    """Results so far; those of the fleet as it was reported at most half a second ago."""
    fleets = sum(camera.frames for camera in fleet.health().cameras.values())
    return {"plain": sum(plain.ask()[0].values()), "fleet": fleets}


def _spent(fleet: Fleet, plain: _PlainEngine) -> dict[str, float]:
    """CPU seconds of each part so far."""
    [node] = fleet.engine_pids().values()
    coordinator = fleet.coordinator_pid()
    parts: Mapping[str, Iterable[int]] = {
        "plain engine": plain.ask()[1],
        "fleet: the node's engine": node.values(),
        "fleet: coordinator": [coordinator],
        "Ray itself": _ray_pids() - {*node.values(), coordinator},
    }
    return {name: sum(map(cpu_seconds, pids)) for name, pids in parts.items()}


def _camera(number: int, fps: float) -> SourceSpec:
    return parse_source("demo:turn", name=f"camera{number}", fps=fps, size=(640, 360), pace="native", loop=0)


def _count(results: Iterable[FrameResult], frames: Counter[str]) -> None:
    for result in results:
        frames[result.camera] += 1


def _ray_pids() -> set[int]:
    """The processes of Ray that this one has started, and theirs; those of engines are among them."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it has just ended
        children[int(text.rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [pid for pid in children[os.getpid()] if _runs_ray(pid)]
    for pid in found:
        found += children[pid]
    return set(found)


def _runs_ray(pid: int) -> bool:
    try:
        return b"/ray/" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(exit_code(make_command(fleet_overhead), "python -m ferengine_tools.fleet_overhead"))
