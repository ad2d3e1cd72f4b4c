"""The main program of a worker process: ``python -m ferengine.stages.worker CONTROL_DESCRIPTOR PARENT_PID``.

It holds a set of stages and turns them over: each ``step`` does a bounded piece of work and never blocks for long,
so that stages can share a process. When none has work, the worker waits at its event.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from ferengine._native import WorkerPage, die_with_parent
from ferengine.errors import FerengineError
from ferengine.ipc.channel import ControlChannel

_IDLE_WAIT = 0.05
"""Seconds at the event before the heartbeat is renewed."""

_STAGES = {
    "capture": "ferengine.stages.capture:CaptureStage",
    "detect": "ferengine.stages.detect:DetectStage",
    "track": "ferengine.stages.track:TrackStage",
    "classify": "ferengine.stages.classify:ClassifyStage",
    "output": "ferengine.stages.render:OutputStage",
}

_BUILDING_BEAT = 0.5
"""Seconds between signs of life while an engine is built."""

log = logging.getLogger(__name__)


class Stage(Protocol):
    """A part of the pipeline inside a worker."""

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        """A control message; messages meant for other stages are ignored. Descriptors that it keeps it duplicates."""
        ...

    def step(self) -> bool:
        """Do a bounded piece of work; False when there was none to do."""
        ...

    def close(self) -> None:
        """The run is over: finish files, release devices."""
        ...


class Worker:
    """Control channel, event and stages of this process."""

    def __init__(self, control: ControlChannel) -> None:
        self.control = control
        self.page: WorkerPage | None = None
        self.stages: list[Stage] = []
        self.finished = False

    def poll_control(self) -> None:
        """Handle all waiting control messages."""
        for message, descriptors in self.control.receive():
            if message["op"] == "start":
                self._start(message, descriptors)
            elif message["op"] == "finish":
                self.finished = True
            for stage in self.stages:
                stage.handle(message, descriptors)
            for descriptor in descriptors.values():
                os.close(descriptor)

    def _start(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        self.page = WorkerPage.attach(os.dup(descriptors["page"]))
        self.page.beat()
        for settings in message["stages"]:
            module, _, name = _STAGES[settings["kind"]].partition(":")
            stage = getattr(importlib.import_module(module), name)
            with _alive(self.page) if settings.get("backend", {}).get("build") else nullcontext():
                self.stages.append(stage(self, settings, descriptors))
        self.control.send({"op": "ready"})

    def run(self) -> None:
        while not self.finished:
            page = self.page
            seen = page.event if page else 0
            self.poll_control()
            if page is None:
                if self.page is None:
                    _wait_readable(self.control)
                continue
            page.beat()
            busy = False
            for stage in self.stages:
                busy |= stage.step()
            if not busy:
                page.wait(seen, _IDLE_WAIT)

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        self.control.send({"op": "usage", "peak_mb": peak_memory_mb(os.getpid())})


@contextmanager
def _alive(page: WorkerPage) -> Iterator[None]:
    """Keep the heartbeat going while a TensorRT engine may be built, which takes minutes and says nothing."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BUILDING_BEAT):
            page.beat()

    thread = threading.Thread(target=beat, name="ferengine-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait_readable(control: ControlChannel) -> None:
    import select

    select.select([control], [], [], 1.0)


def peak_memory_mb(pid: int) -> float:
    """Peak resident memory of process ``pid``, shared pages included, in MiB; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - hot in the supervisor
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the engine decides when a worker ends
    try:
        die_with_parent(int(arguments[1]))
    except ProcessLookupError:
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    control = ControlChannel(socket.socket(fileno=int(arguments[0])))
    worker = Worker(control)
    try:
        worker.run()
        worker.close()
    except EOFError:
        return 0  # the engine is gone
    except FerengineError as error:
        control.send({"op": "failed", "error": str(error), "kind": type(error).__name__})
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
