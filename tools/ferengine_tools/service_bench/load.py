"""What viewers cost the pipeline: its latency and processor time without them and with them, in turn, in one run.

    python -m ferengine_tools.service_bench.load [--cameras 4] [--viewers 8] [--seconds 20] [--rounds 3] [--json]

The cameras are demos of 640x360 pixels and 15 frames/s. Every viewer watches every camera, over WebSocket, as the page does;
all viewers are in one further process, which needs processor time as well. Each round measures without viewers, then with them,
so that what else the machine does meets both alike.
"""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ferengine import Engine, FrameResult
from ferengine.cli.command import exit_code, make_command
from ferengine.errors import FerengineError
from ferengine.json_text import json_text
from ferengine.service.app import create_app
from ferengine.service.server import Address, Server
from ferengine.sources import parse_source
from ferengine_tools.bench.processor_time import processor_seconds

_SETTLE = 2.0
_ENCODER = "ferengine: live "
"""How the title of an encoder begins."""
_LEAVE_SECONDS = _BEGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of time.

    Attributes:
        viewers: How many there were.
        fps: Results a second of all cameras together.
        p50_ms, p99_ms: Latency from capture to result.
        pipeline: Processors that the engine's workers kept busy.
        service: Processors of this process: the engine's parent, the server and its loop.
        encoders: Processors of the processes that encode video.
        clients: Processors of the viewers.
        video: Frames of video a second that all viewers took.
    """

    viewers: int
    fps: float
    p50_ms: float
    p99_ms: float
    pipeline: float
    service: float
    encoders: float
    clients: float
    video: float


class Latencies:
    """Collects the latency of each result."""

    def __init__(self) -> None:
        self._found: list[float] = []

    def __call__(self, result: FrameResult) -> None:
        self._found.append(result.latency_ms)

    def take(self) -> list[float]:
        """Those since the last call."""
        found, self._found = self._found, []
        return found


class Viewers:
    """A process of viewers; it ends with the block."""

    def __init__(self, url: str, number: int, cameras: Sequence[str]) -> None:
        command = [sys.executable, "-m", "ferengine_tools.service_bench.viewers", url, str(number), *cameras]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self, seconds: float) -> None:
        """Wait until all have video. Raises FerengineError."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready or self.process.stdout.readline() != "watching\n":
            raise FerengineError(f"not every viewer has video after {seconds:.0f} s")

    def end(self) -> int:
        """End them; returns how many frames they took since all had video."""
        said, _ = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise FerengineError(f"the viewers have failed with exit code {self.process.returncode}")
        return int(said)


def processes(engine: Engine) -> dict[str, set[int]]:
    """The processes of each part by their ids."""
    workers = set(engine.worker_pids().values())
    encoders = {pid for pid in _children() if _command(pid).startswith(_ENCODER)}
    return {"pipeline": workers, "service": {os.getpid()}, "encoders": encoders}


def _children() -> list[int]:
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _used(parts: Mapping[str, set[int]]) -> dict[str, float]:
    return {name: sum(processor_seconds(pid) or 0.0 for pid in pids) for name, pids in parts.items()}


def measure_phase(
    engine: Engine, url: str, latencies: Latencies, viewers: int, cameras: Sequence[str], seconds: float
) -> Phase:
    """Measure for ``seconds`` seconds, with viewers or without."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while processes(engine)["encoders"]:  # those of the phase before stay for a while
        if time.monotonic() > deadline:
            raise FerengineError(f"the encoders are still there {_LEAVE_SECONDS:.0f} s after the last viewer has left")
        time.sleep(0.2)
    watching = Viewers(url, viewers, cameras) if viewers else None
    try:
        if watching is not None:
            watching.wait(_BEGIN_SECONDS)
        watched = time.monotonic()
        time.sleep(_SETTLE)
        parts = processes(engine) | {"clients": set() if watching is None else {watching.process.pid}}
        latencies.take()
        used, begun = _used(parts), time.monotonic()
        time.sleep(seconds)
        found, passed = sorted(latencies.take()), time.monotonic() - begun
        cores = {name: (after - used[name]) / passed for name, after in _used(parts).items()}
        taken = 0 if watching is None else watching.end()
        watched, watching = time.monotonic() - watched, None
    finally:
        if watching is not None:
            watching.process.kill()
            watching.process.wait()
    if len(found) < 2:
        raise FerengineError(f"{len(found)} results came in {passed:.0f} s: nothing to measure")
    return Phase(
        viewers=viewers,
        fps=round(len(found) / passed, 1),
        p50_ms=round(statistics.median(found), 1),
        p99_ms=round(found[int(0.99 * (len(found) - 1))], 1),
        video=round(taken / watched, 1),
        **{name: round(value, 3) for name, value in cores.items()},
    )


def measure(cameras: int, viewers: int, seconds: float, rounds: int) -> list[Phase]:
    """All phases: without viewers and with them, in turn."""
    options = {"loop": 0, "pace": "native", "fps": 15.0, "size": "640x360"}
    specs = [parse_source("demo", name=f"demo-{number}", **options) for number in range(cameras)]
    names = [spec.name for spec in specs]
    latencies, phases = Latencies(), []
    with Engine(specs, keep_open=True) as engine:
        engine.subscribe(latencies, policy="drop_oldest")
        engine.wait_ready()
        app = create_app(engine, max_clients=max(1, cameras * viewers))
        server = Server(app, Address("127.0.0.1", 0), before_end=app.state.context.close)
        server.start()
        try:
            for _ in range(rounds):
                for number in (0, viewers):
                    phases.append(measure_phase(engine, server.url, latencies, number, names, seconds))
        finally:
            server.close()
    return phases


def load(
    cameras: Annotated[int, typer.Option(help="Cameras.", min=1)] = 4,
    viewers: Annotated[int, typer.Option(help="Viewers, each of all cameras.", min=1)] = 8,
    seconds: Annotated[float, typer.Option(help="Seconds of each measurement.", min=1.0)] = 20.0,
    rounds: Annotated[int, typer.Option(help="How often to measure without viewers and with them.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a measurement.")] = False,
) -> None:
    """Measure what viewers of the web service cost the pipeline."""
    phases = measure(cameras, viewers, seconds, rounds)
    if as_json:
        for phase in phases:
            print(json_text(asdict(phase)))
        return
    print("viewers  frames/s  p50 ms  p99 ms   processors: pipeline  service  encoders  clients  video frames/s")
    for phase in phases:
        print(f"{phase.viewers:7}  {phase.fps:8.1f}  {phase.p50_ms:6.1f}  {phase.p99_ms:6.1f}   {phase.pipeline:20.2f}"
              f"  {phase.service:7.2f}  {phase.encoders:8.2f}  {phase.clients:7.2f}  {phase.video:14.0f}")  # fmt: skip
    before, after = ([each.p99_ms for each in phases[first::2]] for first in (0, 1))
    ratios = sorted(high / low for low, high in zip(before, after, strict=True))
    print(f"p99 with viewers: {statistics.median(ratios):.2f} times that without (median of {len(ratios)}; "
          f"{ratios[0]:.2f} to {ratios[-1]:.2f})")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(load), "python -m ferengine_tools.service_bench.load", arguments)


if __name__ == "__main__":
    sys.exit(main())
