"""The main program of a worker: ``python -m ferengine.stages.worker CONTROL_DESCRIPTOR PARENT_PID TITLE``.

It makes the one stage that its first control message names, and keeps it going.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from setproctitle import setproctitle

from ferengine._native import WorkerPage, die_with_parent
from ferengine.errors import DeviceError, FerengineError, MissingDependencyError
from ferengine.ipc.channel import ControlChannel
from ferengine.ipc.machine import GPU_LOST, REFUSED, refusal
from ferengine.ipc.process import peak_memory_mb
from ferengine.pip_hint import missing_package
from ferengine.stages.base import Stage, StageContext
from ferengine.stages.codec import decode_control, encode_control
from ferengine.stages.messages import Failed, Finish, FromWorker, Ready, ToWorker, Usage
from ferengine.stages.start_messages import Start, StartCapture, StartClassify, StartDetect, StartRender, StartTrack

_STAGES: dict[type[Start], tuple[str, str]] = {
    StartCapture: ("ferengine.stages.capture", "CaptureStage"),
    StartDetect: ("ferengine.stages.detect", "DetectStage"),
    StartTrack: ("ferengine.stages.track", "TrackStage"),
    StartClassify: ("ferengine.stages.classify", "ClassifyStage"),
    StartRender: ("ferengine.stages.render", "RenderStage"),
}
"""Where the stage of each start message is; the others are not imported."""

_IDLE_WAIT = 0.05
"""Seconds without work before the heartbeat is renewed."""
_OPENING_BEAT = 0.5
"""Seconds between heartbeats while something is opened."""
_MAX_OPENING = 120.0
"""Seconds after which an opening counts as stuck."""
_MAX_BUILDING = 1800.0
"""The same where TensorRT engines may be built, which takes minutes."""
_LAST_WORDS = 0.2
"""Seconds that the engine gets to make room for a worker's last messages."""


class Worker:
    """The control channel, the event page and the stage of this process."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control
        self._page: WorkerPage | None = None
        self._stage: Stage[Any] | None = None
        self._finished = False

    def run(self) -> None:
        """Keep the stage going until Finish comes. Raises EOFError or ConnectionError when the engine is gone."""
        while self._stage is None and not self._finished:
            self._control.wait()
            self._poll_control()
        while not self._finished:
            page, stage = self._page, self._stage
            assert page is not None
            assert stage is not None
            seen = page.event
            self._poll_control()
            self._control.flush()
            page.beat()
            if not stage.step():
                stage.wait(seen, _IDLE_WAIT)

    def close(self) -> None:
        """Close the stage, and report what the worker has used."""
        if self._stage is not None:
            self._stage.close()
        self._send(Usage(peak_memory_mb(os.getpid())))
        self._control.drain(_LAST_WORDS)

    def report(self, error: FerengineError) -> None:
        """Report to the engine why the worker gives up."""
        self._send(Failed(type(error).__name__, str(error)))
        self._control.drain(_LAST_WORDS)

    def _send(self, message: FromWorker) -> None:
        self._control.send(*encode_control(message))

    def _poll_control(self) -> None:
        for data, descriptors in self._control.receive():
            try:
                self._handle(decode_control(data, descriptors))  # type: ignore[arg-type]
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _handle(self, message: ToWorker) -> None:
        if isinstance(message, Start):
            self._start(message)
        elif isinstance(message, Finish):
            self._finished = True
        elif self._stage is not None:
            self._stage.handle(message)

    def _start(self, start: Start) -> None:
        self._page = page = WorkerPage.attach(os.dup(start.page))
        module, name = _STAGES[type(start)]
        building = isinstance(start, StartDetect | StartClassify) and start.backend.build
        with heartbeat(page, _MAX_BUILDING if building else _MAX_OPENING):
            stage_class: type[Stage[Start]] = getattr(importlib.import_module(module), name)
            context = StageContext(
                page, self._control.fileno(), self._send, self._poll_control, opening=lambda: heartbeat(page)
            )
            stage = stage_class(start, context)
            stage.open()
        self._stage = stage
        self._send(Ready())


@contextmanager
def heartbeat(page: WorkerPage, limit: float = _MAX_OPENING) -> Iterator[None]:
    """Keep the heartbeat of ``page`` going during a block that opens a source, a device or a model, for at most ``limit``
    seconds."""
    over = threading.Event()

    def beat() -> None:
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and not over.wait(_OPENING_BEAT):
            page.beat()

    page.beat()
    thread = threading.Thread(target=beat, name="ferengine-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 also when the engine is gone, 3 after an error that was reported, ``REFUSED`` after one of the
    machine, ``GPU_LOST`` where CUDA works no more in this process."""
    descriptor, parent, title = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the engine decides when a worker ends
    try:
        die_with_parent(int(parent))
    except ProcessLookupError:
        return 0
    setproctitle(f"ferengine: {title.encode(errors='backslashreplace').decode()}")  # it takes UTF-8 alone
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    worker = Worker(ControlChannel(socket.socket(fileno=int(descriptor))))
    try:
        try:
            worker.run()
            worker.close()
        except FerengineError as error:
            if isinstance(error, DeviceError) and error.lost:
                logging.getLogger("ferengine").error("worker %s lost the GPU: %s", title, error)
                return GPU_LOST
            worker.report(error)
            return 3
        except ModuleNotFoundError as error:
            missing = missing_package(error)
            if missing is None:
                raise
            worker.report(MissingDependencyError(missing))
            return 3
    except (EOFError, ConnectionError):
        pass  # the engine is gone
    except (MemoryError, OSError, RuntimeError) as error:
        said = refusal(error)
        if said is None:
            raise
        logging.getLogger("ferengine").error("worker %s: %s", title, said)
        return REFUSED
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    gc.freeze()  # nothing that is left has to be found: it ends sooner
    sys.exit(code)
