"""The engine's own thread: starts, watches and replaces the workers, joins and delivers their results."""

from __future__ import annotations

import logging
import os
import selectors
import threading
import time
from collections import deque
from typing import Any

from ferengine import errors
from ferengine.config import EngineConfig
from ferengine.errors import FerengineError, WorkerError
from ferengine.runtime.camera import CameraState
from ferengine.runtime.channel import receive_data, send_data
from ferengine.runtime.delivery import Subscription
from ferengine.runtime.joiner import Joined, split_batch
from ferengine.runtime.process import WorkerProcess
from ferengine.runtime.statistics import RunStatistics
from ferengine.runtime.topology import Topology
from ferengine.runtime.wire import END, SCORES, decode_record, decode_scores, encode_result, kind_of

_TICK = 0.25
_MEMORY_EVERY = 1.0
_DRAIN = 1.0
"""Seconds that frames on their way get to come out after a stop."""
_LEAVE = 0.7
"""Seconds that workers get to close their files before they are killed."""
_OUTPUT_QUEUE = 8

log = logging.getLogger("ferengine")


class Supervisor:
    """One run, from the start of the workers to their end. All state is touched by this thread alone, except for
    the flags and the wake-up pipe through which the others speak to it."""

    def __init__(self, cameras: list[CameraState], topology: Topology, config: EngineConfig, ring_slots: int) -> None:
        self._thread = threading.Thread(target=self._run, name="ferengine-supervisor", daemon=True)
        self.cameras = cameras
        self.topology = topology
        self.statistics = RunStatistics()
        self.subscriptions: list[Subscription] = []
        self.error: FerengineError | None = None
        self.failures: list[str] = []
        self.output_dropped = 0
        self.backend = ""
        self.ready = threading.Event()
        self.startup_s = 0.0
        self.wall_s = 0.0
        self._config = config
        self._ring_slots = ring_slots
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._selector.register(topology.events_out, selectors.EVENT_READ)
        self._outbox: deque[bytes] = deque()
        self._consume = self._stop_asked = self._kill_asked = False
        self._gone = self._stopping = False
        self._respawn_at: dict[WorkerProcess, float] = {}
        self._next_memory = 0.0

    # --- called by other threads

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def wake(self) -> None:
        try:
            os.write(self._wake_in, b"x")
        except OSError:
            return  # full: awake anyway; closed: over anyway

    def consume(self) -> None:
        """Somebody takes the results: capture may begin."""
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
                self._start(worker)
            self._loop(begun)
        except FerengineError as error:
            self.error = error
        except Exception as error:
            log.exception("the supervisor failed")
            self.error = WorkerError(f"the engine's supervisor failed: {error!r}; please report this")
        finally:
            self._shut_down()
            self.wall_s = time.monotonic() - begun
            for subscription in self.subscriptions:
                subscription.end()
            self.ready.set()

    def _loop(self, begun: float) -> None:
        drain_until = None
        while not all(camera.ended and not camera.joiner.waiting for camera in self.cameras):
            if self._kill_asked:
                return
            if self._stop_asked and drain_until is None:
                drain_until = time.monotonic() + _DRAIN
                self._stopping = True
                for worker in self.topology.captures:
                    worker.send({"op": "stop"})
                if not self.ready.is_set() or not self._gone:
                    return
            if drain_until is not None and time.monotonic() > drain_until:
                return
            self._poll(self._wait_time())
            self._emit()
            self._watch()
            if not self.ready.is_set() and self._all_ready():
                self.startup_s = time.monotonic() - begun
                self.ready.set()
            if self.ready.is_set() and self._consume and not self._gone:
                self._gone = True
                for worker in self.topology.captures:
                    worker.send({"op": "go"})

    def _all_ready(self) -> bool:
        opened = all(camera.opened or camera.error for camera in self.cameras)
        return opened and all(worker.ready for worker in self.topology.workers if worker.alive)

    def _wait_time(self) -> float:
        now = time.monotonic()
        waits = [camera.joiner.seconds_to_deadline(now) for camera in self.cameras]
        if self._outbox:
            waits.append(0.002)
        return min([_TICK, *(wait for wait in waits if wait is not None)])

    def _start(self, worker: WorkerProcess) -> None:
        self.topology.start(worker)
        assert worker.control is not None
        self._selector.register(worker.control, selectors.EVENT_READ, worker)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        if self._gone and worker in self.topology.captures:
            worker.send({"op": "go"})

    def _poll(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fileobj == self._wake_out:
                os.read(self._wake_out, 4096)
            elif isinstance(key.data, WorkerProcess):
                if key.fd == key.data.pidfd:
                    self._bury(key.data)
                else:
                    self._read_control(key.data)
        self._read_events()

    def _read_events(self) -> None:
        while (data := receive_data(self.topology.events_out)) is not None:
            kind = kind_of(data)
            if kind == SCORES:
                batch = decode_scores(data)
                self.statistics.add_batch(len(batch.keys), batch.capacity)
                for number, sequence, epoch, face, scores in split_batch(batch):
                    self.cameras[number].joiner.add_scores(sequence, epoch, face, scores)
                continue
            record = decode_record(data)
            camera = self.cameras[record.camera]
            if kind == END:
                camera.ended = camera.ended or record.epoch == camera.epoch
            else:
                camera.joiner.add_record(record)

    # --- results

    def _emit(self) -> None:
        while self._outbox and send_data(self.topology.inbox_in, self._outbox[0]):
            self._outbox.popleft()
            self.topology.outputs[0].page.ring()
        for camera in self.cameras:
            emitted = camera.joiner.emitted
            while camera.live or self._has_room():
                joined = camera.joiner.next_ready(time.monotonic())
                if joined is None:
                    break
                self._deliver(camera, joined)
            if camera.joiner.emitted != emitted:
                camera.note_emitted()
                self.topology.trackers[camera.tracker].page.ring()

    def _has_room(self) -> bool:
        if self._stopping:
            return True
        return len(self._outbox) < _OUTPUT_QUEUE and all(item.has_room for item in self.subscriptions)

    def _deliver(self, camera: CameraState, joined: Joined) -> None:
        self.statistics.add_result(joined.result)
        for subscription in self.subscriptions:
            subscription.offer(joined.result)
        if not self.topology.outputs:
            return
        if len(self._outbox) >= _OUTPUT_QUEUE and camera.live:
            self.output_dropped += 1
            return
        message = encode_result(camera.number, joined.generation, joined.slot, joined.result)
        if self._outbox or not send_data(self.topology.inbox_in, message):
            self._outbox.append(message)
        self.topology.outputs[0].page.ring()

    # --- workers

    def _read_control(self, worker: WorkerProcess) -> None:
        assert worker.control is not None
        try:
            messages = worker.control.receive()
        except EOFError:
            self._selector.unregister(worker.control)  # its death is told by the process descriptor
            return
        for message, _ in messages:
            self._handle(worker, message)

    def _handle(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        match message["op"]:
            case "ready":
                worker.ready = worker.was_ready = True
            case "opened":
                camera = self.cameras[message["camera"]]
                camera.opened, camera.fps = True, message["fps"]
                for output in self.topology.outputs:
                    output.send({"op": "rate", "camera": camera.number, "fps": camera.fps})
                if not camera.rings:
                    self._new_ring(camera, message["width"] * message["height"] * 3)
            case "need_ring":
                self._new_ring(self.cameras[message["camera"]], message["bytes"])
            case "ended":
                camera = self.cameras[message["camera"]]
                camera.captured, camera.broken, camera.late = message["captured"], message["broken"], message["late"]
                worker.finished = True
                worker.send({"op": "finish"})
            case "failed":
                self._fail(worker, message["kind"], message["error"])
            case "sink_failed":
                self.failures.append(message["error"])
                log.error("%s", message["error"])
            case "backend":
                self.backend = message["name"]
                if message["failure"] is None:
                    log.info("%s runs on %s: %s", worker.name, message["name"], message["reason"])
                else:
                    log.error("%s runs on %s, not on the GPU: %s", worker.name, message["name"], message["failure"])
            case "usage":
                worker.peak_mb = max(worker.peak_mb, message["peak_mb"])
            case "quit":
                self._stop_asked = True

    def _new_ring(self, camera: CameraState, nbytes: int) -> None:
        generation = camera.add_ring(self._ring_slots, nbytes, self.topology.readers)
        self.topology.announce_ring(camera, generation)

    def _fail(self, worker: WorkerProcess, kind: str, text: str) -> None:
        """A worker gave up with an error of the user's kind: a camera ends, anything else ends the run."""
        worker.finished = True
        if worker in self.topology.captures:
            camera = self.cameras[self.topology.captures.index(worker)]
            camera.error = text
            if all(other.error for other in self.cameras) and not self.statistics.frames:
                raise getattr(errors, kind, WorkerError)(text)
            self.failures.append(text)
            log.error("%s", text)
            if camera.rings:
                camera.close_writers()
                self.topology.trackers[camera.tracker].page.ring()
            else:
                camera.ended = True
        else:
            raise getattr(errors, kind, WorkerError)(text)

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker process has ended: read its last words, collect it and, unless it was done, replace it."""
        assert worker.control is not None
        self._selector.unregister(worker.pidfd)
        if worker.control.fileno() in self._selector.get_map():
            self._read_control(worker)
        if worker.control.fileno() in self._selector.get_map():
            self._selector.unregister(worker.control)
        code = worker.reap()
        worker.close()
        if worker.finished or self._stopping:
            return
        deaths = worker.deaths_in_a_minute()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        limit = self._config.restart_limit if worker.was_ready else min(1, self._config.restart_limit)
        if deaths > limit:
            self._fail(worker, "WorkerError", f"worker {worker.name} died {deaths} times in a minute (last: {how}); "
                       "see its messages above")  # fmt: skip
            return
        log.warning("worker %s died (%s): replacing it", worker.name, how)
        self._respawn_at[worker] = time.monotonic() + 0.05 * 2 ** (deaths - 1)

    def _watch(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker, due in self._respawn_at.items() if due <= now]:
            del self._respawn_at[worker]
            self._replace(worker)
        if now >= self._next_memory:
            self._next_memory = now + _MEMORY_EVERY
            for worker in self.topology.workers:
                worker.sample_memory()
                if worker.alive and worker.silent_for(now) > self._config.stuck_after:
                    log.warning("worker %s has been stuck for %.0f s: killing it", worker.name, self._config.stuck_after)
                    worker.kill()

    def _replace(self, worker: WorkerProcess) -> None:
        if worker in self.topology.captures:
            self.cameras[self.topology.captures.index(worker)].recover_rings()
        if worker in self.topology.trackers:
            self._read_events()  # what the dead one had sent decides the next track id
            index = self.topology.trackers.index(worker)
            for camera in self.cameras:
                if camera.tracker == index:
                    camera.epoch += 1
        self._start(worker)
        if worker in self.topology.detectors:
            for tracker in self.topology.trackers:
                tracker.send({"op": "redetect"})

    # --- the end

    def _shut_down(self) -> None:
        self._stopping = True
        deadline = time.monotonic() + (0.0 if self._kill_asked else _LEAVE)
        while self._outbox and time.monotonic() < deadline:
            if send_data(self.topology.inbox_in, self._outbox[0]):
                self._outbox.popleft()
            else:
                time.sleep(0.002)
        for worker in self.topology.workers:
            worker.sample_memory()
            worker.finished = True
            worker.send({"op": "finish"})
        while any(worker.alive for worker in self.topology.workers):
            if time.monotonic() >= deadline:
                for worker in self.topology.workers:
                    worker.kill()
            try:
                self._poll(0.02)
            except FerengineError as error:  # said by a worker on its way out
                self.error = self.error or error
        self._selector.close()
        os.close(self._wake_out)
        os.close(self._wake_in)
        self.topology.close()
