"""Faults for the tests of tests/faults: what they do to the processes of an engine, and how they judge what comes out."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ferengine import Engine
from ferengine.results import Face, FrameResult

STAGES = ("capture", "detect", "track", "classify")


@dataclass
class Tally:
    """What was done in all rounds together, and the slowest answers; shown at the end of the tests.

    Attributes:
        faults: How often each fault was brought about.
        returns: Seconds from the death of a worker until its successor was ready, by stage.
        gone: Seconds from the death of a parent until its last worker was gone.
    """

    faults: dict[str, int] = field(default_factory=dict)
    returns: dict[str, list[float]] = field(default_factory=dict)
    gone: list[float] = field(default_factory=list)

    def count(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def lines(self) -> list[str]:
        """What there is to say."""
        said = [f"{fault}: {count}" for fault, count in sorted(self.faults.items())]
        for stage, times in sorted(self.returns.items()):
            ordered = sorted(times)
            said.append(
                f"{stage} back in {ordered[len(ordered) // 2]:.2f} s (median of {len(ordered)}), {ordered[-1]:.2f} s at worst"
            )
        if self.gone:
            said.append(f"workers of a dead parent gone in {max(self.gone):.2f} s at worst")
        return said


TALLY = Tally()


class Disturber:
    """Kills and stops workers of a running engine.

    Args:
        engine: The engine.
        chance: Decides.

    Attributes:
        hit: The stages whose worker was killed, or replaced because it stood still.
    """

    def __init__(self, engine: Engine, chance: random.Random) -> None:
        self.hit: list[str] = []
        self._engine = engine
        self._chance = chance
        self._watched: list[tuple[str, int, float]] = []
        self._watcher: threading.Thread | None = None
        self._over = threading.Event()
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Disturber:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._watcher is not None
        self._watcher.join()
        for timer in self._timers:
            timer.join()

    def disturb(self, stages: Sequence[str] = STAGES) -> None:
        """Kill a worker of one of the stages, or stop it for a while: for a moment, or for longer than it may stand still."""
        workers = self._engine.health().workers.values()
        found = [worker for worker in workers if worker.pid is not None and worker.name.split("-")[0] in stages]
        if not found:
            return
        worker = self._chance.choice(found)
        assert worker.pid is not None
        if worker.state != "running":
            return
        stage = worker.name.split("-")[0]
        if self._chance.random() < 0.85:
            self.hit.append(stage)
            self._watched.append((worker.name, worker.pid, time.monotonic()))
            _send(worker.pid, signal.SIGKILL)
            TALLY.count(f"SIGKILL of {stage}")
        else:
            stopped = self._chance.uniform(0.01, 0.6)
            _send(worker.pid, signal.SIGSTOP)
            timer = threading.Timer(stopped, _send, [worker.pid, signal.SIGCONT])
            timer.start()
            self._timers.append(timer)
            TALLY.count(f"SIGSTOP and SIGCONT of {stage}")

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            workers = self._engine.health().workers
            for entry in list(self._watched):
                name, pid, killed = entry
                worker = workers.get(name)
                if worker is not None and worker.pid not in (None, pid) and worker.state == "running":
                    self._watched.remove(entry)
                    TALLY.returns.setdefault(name.split("-")[0], []).append(time.monotonic() - killed)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended by itself


def without_times(result: FrameResult) -> dict[str, object]:
    """The event without what the clock decides, scores to three decimals."""
    event = result.to_dict()
    del event["latency_ms"]
    for face in event["faces"]:
        for scores in (face["expression"]["scores"], face["expression"]["smoothed"]["scores"]):
            scores.update({name: round(value, 3) for name, value in scores.items()})
    return event


def same_faces(one: Sequence[Face], other: Sequence[Face]) -> bool:
    """Whether each face of one has its counterpart in the other, whatever its track is called."""
    return len(one) == len(other) and all(any(_overlap(face.box, each.box) > 0.4 for each in other) for face in one)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def marked_processes(mark: str) -> list[int]:
    """The processes with ``mark`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment:
                found.append(int(entry.name))
    return found


def children() -> list[int]:
    """The processes that this one has started and that are not reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.append(int(entry.name))
    return found


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Wait for it, and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began
