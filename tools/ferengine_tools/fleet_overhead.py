"""What a fleet costs over a plain engine: CPU time for each frame, of both at once and over the same cameras.

``python -m ferengine_tools.fleet_overhead`` starts a cluster with one node on this machine.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from ferengine.engine import Engine
from ferengine.fleet.fleet import Fleet
from ferengine.ipc.process import cpu_seconds
from ferengine.results import FrameResult
from ferengine.sources import SourceSpec, parse_source

_WARM_UP = 10.0


def main() -> None:
    """Measure, and print one line for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=10.0)
    asked = parser.parse_args()
    cameras = [_camera(number, asked.fps) for number in range(asked.cameras)]
    with Fleet(cameras) as fleet, Engine(cameras) as engine:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        results = fleet.results()
        for name, taken in (("engine", engine.results()), ("fleet", results)):
            threading.Thread(target=_count, args=(taken, counts[name]), daemon=True).start()
        while len(counts["fleet"]) < len(cameras) or len(counts["engine"]) < len(cameras):
            time.sleep(0.2)
        time.sleep(_WARM_UP)
        [node] = fleet.engine_pids().values()
        parts = {
            "engine": list(engine.worker_pids().values()),
            "fleet: its engine": [pid for name, pid in node.items() if name != "engine"],
            "fleet: actor": [node["engine"]],
            "fleet: coordinator": [fleet.coordinator_pid()],
            "Ray itself": _ray_pids() - {node["engine"], fleet.coordinator_pid()},
        }
        before = {name: sum(map(cpu_seconds, pids)) for name, pids in parts.items()}
        own = _own_cpu("ferengine-supervisor")
        frames = {name: counter.total() for name, counter in counts.items()}
        time.sleep(asked.seconds)
        spent = {name: sum(map(cpu_seconds, pids)) - before[name] for name, pids in parts.items()}
        own = _own_cpu("ferengine-supervisor") - own
        done = {name: counter.total() - frames[name] for name, counter in counts.items()}
    for name, seconds in spent.items():
        print(f"{name:20} {seconds:7.2f} s of CPU time")
    print(f"{'engine: supervisor':20} {own:7.2f} s of CPU time, in this process")
    plain = (spent["engine"] + own) / done["engine"]
    in_fleet = sum(seconds for name, seconds in spent.items() if name.startswith("fleet")) / done["fleet"]
    print(f"frames: {done['engine']} of the engine, {done['fleet']} of the fleet, {results.dropped} dropped")
    print(f"a frame: {1e3 * plain:.2f} ms plain, {1e3 * in_fleet:.2f} ms in the fleet: {100 * (in_fleet / plain - 1):+.1f} %")


def _camera(number: int, fps: float) -> SourceSpec:
    return parse_source("demo:stroll", name=f"camera{number}", fps=fps, size=(640, 360), pace="native", loop=0)


def _count(results: Iterable[FrameResult], counter: Counter[str]) -> None:
    for result in results:
        counter[result.camera] += 1


def _own_cpu(thread: str) -> float:
    """CPU time of one thread of this process."""
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")
        if any(each.native_id == int(task.name) and each.name == thread for each in threading.enumerate()):
            values = fields[2].split()
            return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _ray_pids() -> set[int]:
    """The processes of Ray that this one has started, and theirs."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        children[int(text.rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [pid for pid in children[os.getpid()] if b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in found:
        found += [child for child in children[pid] if b"ferengine" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    return set(found)


if __name__ == "__main__":
    main()
