"""The engine's own thread: keeps the workers going, joins and delivers their results."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
import time
from typing import Any

from ferengine import errors
from ferengine.config import EngineConfig
from ferengine.errors import EngineStoppedError, FerengineError, WorkerError
from ferengine.ipc.channel import receive_data
from ferengine.ipc.process import WorkerProcess, refused
from ferengine.runtime.camera_set import CameraSet
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.events import EventListener
from ferengine.runtime.joiner import split_batch
from ferengine.runtime.metrics import RunStatistics
from ferengine.runtime.output_workers import OutputFeed
from ferengine.runtime.roster import Roster
from ferengine.runtime.state import Calls
from ferengine.runtime.subscriptions import Delivery
from ferengine.runtime.topology import Topology
from ferengine.runtime.workers import LEAVE, Handlers, Workforce
from ferengine.stages.messages import END, SCORES, decode_record, decode_scores, kind_of

_TICK = 0.25
DRAIN = 1.0
"""Seconds that frames on their way get to come out after a stop."""

log = logging.getLogger("ferengine")


class Supervisor:
    """One run, from the start of the workers to their end.

    All state is touched by this thread alone, except for the flags through which others speak to it; whatever else
    they want done it does for them, through ``calls``. ``keep_open``: the run goes on without cameras.
    """

    def __init__(self, cameras: CameraSet, topology: Topology, config: EngineConfig, *, keep_open: bool) -> None:
        self._thread = threading.Thread(target=self._run, name="ferengine-supervisor", daemon=True)
        self.cameras = cameras
        self.topology = topology
        self.config = config
        self.statistics = RunStatistics()
        self.delivery = Delivery()
        self.listener = EventListener()
        self.error: FerengineError | None = None
        self.failures: list[str] = []
        self.backend = ""
        self.ready = threading.Event()
        self.startup_s = 0.0
        self.wall_s = 0.0
        self.keep_open = keep_open
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._selector.register(topology.events_out, selectors.EVENT_READ)
        self.calls = Calls(self.wake)
        tell = Handlers(self._handle, self._fail, self._before_replacing, self._started)
        self.workforce = Workforce(topology, config, self._selector, tell)
        self.roster = Roster(self)
        self.output = OutputFeed(topology.outlets)
        self._begin = threading.Lock()
        self._wake_lock = threading.RLock()  # also for signal handlers and finalisers
        self._closed = False
        self._consume = self._stop_asked = self._kill_asked = False
        self._gone = self._stopping = False
        self._turn = 0
        self._next_tidying = 0.0

    # --- called by other threads

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def over(self) -> bool:
        """Whether the run is ending or has ended: nothing new is taken in."""
        return self._stopping or self._stop_asked

    def start(self) -> None:
        """Begin the run, unless it has begun. Raises EngineStoppedError after the end."""
        with self._begin:
            if self._closed:
                raise EngineStoppedError("the engine has been closed: make a new one")
            if not self.started:
                self.calls.open()
                self._thread.start()

    def close_unstarted(self) -> bool:
        """Let go of everything if the run has not begun; False if it has."""
        with self._begin:
            if self.started or self._closed:
                return self._closed
            self._closed = self._stopping = True
            self.calls.close()
            self.delivery.end()
            self._release()
            return True

    def note(self, failure: str) -> None:
        """Something failed, and the run goes on."""
        self.failures.append(failure)
        log.error("%s", failure)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; False after ``timeout`` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self) -> None:
        with self._wake_lock, contextlib.suppress(BlockingIOError):  # full: awake anyway
            if self._wake_in >= 0:
                os.write(self._wake_in, b"x")

    def consume(self) -> None:
        """Somebody takes the results: capture may begin."""
        if not self._consume:  # once is enough: this is asked before every result
            self._consume = True
            self.wake()

    def stop(self, *, force: bool = False) -> None:
        self._stop_asked = True
        self._kill_asked |= force
        self.wake()

    # --- the thread

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            for worker in self.topology.workers:
                self.workforce.start(worker)
            self._loop(begun)
        except FerengineError as error:
            self.error = error
        except Exception as error:
            self.error = refused(error) if isinstance(error, OSError | MemoryError) else None
            if self.error is None:
                log.exception("the supervisor failed")
                self.error = WorkerError(f"the engine's supervisor failed: {error!r}; please report this")
        finally:
            self._shut_down()
            for camera in self.cameras:
                self.listener.tell(camera.life.note_end(self._end_reason(camera), time.time()))
            self.wall_s = time.monotonic() - begun
            self.listener.close(DRAIN)  # whoever reads to the end has also had all events
            self.delivery.end()
            self.ready.set()

    def _loop(self, begun: float) -> None:
        drain_until = None
        while self.keep_open or not all(camera.done for camera in self.cameras):
            if self._kill_asked:
                return
            if self._stop_asked and drain_until is None:
                drain_until = time.monotonic() + DRAIN
                self._stopping = self.workforce.stopping = True
                for camera in self.cameras:
                    self.roster.close_input(camera)
                if not self.ready.is_set() or not self._gone:
                    return
            if drain_until is not None and (time.monotonic() > drain_until or all(camera.done for camera in self.cameras)):
                return
            self._poll(self._wait_time())
            self.calls.run()
            self._emit()
            self.workforce.watch()
            self._tidy()
            if not self.ready.is_set() and self._all_ready():
                self.startup_s = time.monotonic() - begun
                self.ready.set()
            if self.ready.is_set() and self._consume and not self._gone:
                self._gone = True
                for worker in self.topology.captures:
                    worker.send({"op": "go"})

    def _all_ready(self) -> bool:
        opened = all(camera.state != "opening" for camera in self.cameras)
        return opened and all(worker.ready for worker in self.topology.workers if worker.alive)

    def _wait_time(self) -> float:
        now = time.monotonic()
        waits = [camera.joiner.seconds_to_deadline(now) for camera in self.cameras]
        if self.output.waiting:
            waits.append(0.002)
        return min([_TICK, *(wait for wait in waits if wait is not None)])

    def _poll(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fileobj == self._wake_out:
                os.read(self._wake_out, 4096)
            elif isinstance(key.data, WorkerProcess) and key.fd in self._selector.get_map():
                self.workforce.handle(key.data, key.fd)
        self._read_events()

    def _read_events(self) -> None:
        while (data := receive_data(self.topology.events_out)) is not None:
            kind = kind_of(data)
            if kind == SCORES:
                batch = decode_scores(data)
                self.statistics.add_batch(batch)
                for number, sequence, epoch, face, scores in split_batch(batch):
                    camera = self.cameras.get(number)
                    if camera is not None:
                        camera.joiner.add_scores(sequence, epoch, face, scores)
                continue
            record = decode_record(data)
            camera = self.cameras.get(record.camera)
            if camera is None:  # removed since
                continue
            if kind == END:
                camera.ended = camera.ended or record.epoch == camera.epoch
            else:
                for lender in [*self.delivery.lenders, *self.output.lenders]:
                    lender.release_skipped(camera.rings.values(), camera.joiner.last_sequence, record.sequence)
                camera.last_captured_ns = max(camera.last_captured_ns, record.captured_ns)
                camera.joiner.add_record(record)

    # --- results

    def _emit(self) -> None:
        """Deliver what is ready, one result of each camera in turn, so that none takes all the room in a queue."""
        self.output.flush()
        waiting = [camera for camera in self.cameras if camera.joiner.waiting]
        self._turn += 1
        first = self._turn % len(waiting) if waiting else 0
        waiting = [*waiting[first:], *waiting[:first]]
        while waiting:
            waiting = [camera for camera in waiting if self._emit_one(camera)]

    def _emit_one(self, camera: CameraState) -> bool:
        """Deliver the camera's next result; False when it has none that may go out."""
        if not (camera.live or self._stopping or camera.leave_until is not None or self._has_room(camera)):
            return False
        joined = camera.joiner.next_ready(time.monotonic())
        if joined is None:
            return False
        if camera.input is not None:  # nobody opens a pushed camera: it starts with its first result
            self.listener.tell(camera.life.note_open(time.time()))
        self.statistics.add_result(joined.result)
        self.delivery.offer(
            joined.result,
            camera.live,
            lambda lender: lender.lend(camera.rings.get(joined.generation), joined.slot, joined.result.frame),
        )
        self.output.offer(camera, joined)
        camera.note_emitted()
        self.topology.trackers[camera.tracker].page.notify()
        return True

    def _has_room(self, camera: CameraState) -> bool:
        return self.output.has_room and not self.delivery.holds_back(camera.name)

    def _tidy(self) -> None:
        now = time.monotonic()
        for camera in self.cameras:
            leaves = camera.leave_until is not None and (camera.done or now > camera.leave_until)
            if camera.done or leaves:
                self.listener.tell(camera.life.note_end(self._end_reason(camera), time.time()))
            if leaves:
                self.roster.forget(camera)
        if now >= self._next_tidying:
            self._next_tidying = now + _TICK
            self.roster.tidy()

    def _end_reason(self, camera: CameraState) -> str | None:
        """Why the camera has ended; ``None`` where its source came to its own end."""
        if camera.error is not None:
            return camera.error
        if camera.leave_until is not None:
            return "it was removed"
        if self._stop_asked:
            return "the run was stopped"
        return None if camera.done else str(self.error or "the run was stopped")

    # --- workers

    def _started(self, worker: WorkerProcess) -> None:
        if self._gone and worker in self.topology.captures:
            worker.send({"op": "go"})
        if worker.restarts and worker in self.topology.detectors:
            for tracker in self.topology.trackers:
                tracker.send({"op": "redetect"})

    def _handle(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        camera = self.topology.camera_of(worker)
        match message["op"]:
            case "ready":
                worker.ready = worker.was_ready = True
            case "opened" if camera is not None:
                camera.opened, camera.fps, camera.joiner.live = True, message["fps"], message["live"]
                self.listener.tell(camera.life.note_open(message["time"]))
                for output in self.topology.outputs:
                    output.send({"op": "rate", "camera": camera.number, "fps": camera.fps})
                nbytes = message["width"] * message["height"] * 3
                if not camera.rings or (camera.spec.blocks and camera.newest_ring.slot_bytes != nbytes):
                    self.roster.begin_ring(camera, nbytes)
            case "lost" if camera is not None:
                self.listener.tell(camera.life.note_lost(message["reason"], message["time"]))
            case "need_ring" if camera is not None:
                self.roster.begin_ring(camera, message["bytes"])
            case "ended" if camera is not None:
                camera.broken, camera.late = message["broken"], message["late"]
                camera.ended = camera.ended or not camera.rings  # never open: no tracker will say so
                self.workforce.dismiss(worker)
            case "failed":
                self._fail(worker, message["kind"], message["error"])
            case "sink_failed":
                self.note(message["error"])
            case "backend":
                self._note_backend(worker, message)
            case "usage":
                worker.peak_mb = max(worker.peak_mb, message["peak_mb"])
            case "quit":
                self._stop_asked = True

    def _note_backend(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        """What runs the networks, and why; said loudly when it is not the GPU that was meant to."""
        if worker is self.topology.classifier:
            self.backend = message["name"]
        if message["failure"] is None:
            log.info("%s runs on %s: %s", worker.name, message["name"], message["reason"])
        else:
            log.error("%s runs on %s, not on the GPU: %s", worker.name, message["name"], message["failure"])

    def _fail(self, worker: WorkerProcess, kind: str, text: str) -> None:
        """A worker gave up with an error of the user's kind: a camera or an output ends, anything else ends the run."""
        worker.finished = worker.failed = True
        error = getattr(errors, kind, WorkerError)(text)
        camera = self.topology.camera_of(worker)
        if camera is not None:
            self.roster.fail(camera, error)
        elif worker in self.topology.outputs:
            self.note(text)
            self.roster.give_up_output(worker)
        elif worker not in self.topology.captures:
            raise error

    def _before_replacing(self, worker: WorkerProcess) -> None:
        camera = self.topology.camera_of(worker)
        if camera is not None:
            camera.recover_rings()
            self.listener.tell(camera.life.note_lost("its worker died and is being replaced", time.time()))
        if worker in self.topology.trackers:
            self._read_events()  # what the dead one had sent decides the next track id
            index = self.topology.trackers.index(worker)
            for tracked in self.cameras:
                if tracked.tracker == index:
                    tracked.epoch += 1

    # --- the end

    def _shut_down(self) -> None:
        self._stopping = self.workforce.stopping = True
        self.calls.close()
        deadline = time.monotonic() + (0.0 if self._kill_asked else LEAVE)
        self.output.drain(deadline)
        for worker in self.topology.workers:
            self.workforce.dismiss(worker)
        while any(worker.alive for worker in self.topology.workers):
            if time.monotonic() >= deadline:
                for worker in self.topology.workers:
                    worker.kill()
            try:
                self._poll(0.02)
            except FerengineError as error:  # said by a worker on its way out
                self.error = self.error or error
        self._release()

    def _release(self) -> None:
        self._selector.close()
        with self._wake_lock:
            os.close(self._wake_out)
            os.close(self._wake_in)
            self._wake_in = -1
        for camera in self.cameras:
            camera.drop_rings()
        self.topology.close()
