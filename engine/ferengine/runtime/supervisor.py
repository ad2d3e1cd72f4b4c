"""The engine's own thread: keeps the workers going, joins and delivers their results."""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Callable
from functools import partial

from ferengine import errors
from ferengine.config import EngineConfig
from ferengine.errors import EngineStoppedError, FerengineError, SourceError, WorkerError
from ferengine.frames import MAX_SIDE
from ferengine.ipc.process import WorkerProcess, refused
from ferengine.results import CameraEvent
from ferengine.runtime.cameras import Cameras, CameraState
from ferengine.runtime.consumers import EventReporter
from ferengine.runtime.delivery import Delivery
from ferengine.runtime.ending import STOP_FRAMES, Ending
from ferengine.runtime.output_workers import OutputDispatcher
from ferengine.runtime.push import PushInput
from ferengine.runtime.rings import FrameRings
from ferengine.runtime.state import RunState
from ferengine.runtime.subscriptions import join_in_slices
from ferengine.runtime.topology import Topology
from ferengine.runtime.workers import Worker, WorkerCallbacks, WorkerManager
from ferengine.sources import SourceSpec
from ferengine.stages.messages import (
    BackendChosen,
    BeginCapture,
    BlurredWhole,
    CaptureCounts,
    CaptureEnded,
    ControlMessage,
    Failed,
    NeedRing,
    OpenSource,
    Ready,
    Redetect,
    Rendered,
    SinkFailed,
    SourceDisconnected,
    SourceOpened,
    StopCapture,
    Usage,
    VideoJoined,
    VideoRefused,
    WindowClosed,
)
from ferengine.stages.start_messages import VideoPart

_TICK = 0.25
"""Seconds that the loop sleeps at most."""
_LARGE = 50_000_000
"""Pixels of a frame from which on it is said that they take long."""
DRAIN = 1.0
"""Seconds that frames on their way get to come out when their camera is removed."""

log = logging.getLogger("ferengine")


class Supervisor:
    """One run, from the start of the workers to their end.

    Args:
        cameras: The cameras of the run.
        topology: Its workers.
        config: Its settings.
        keep_open: Whether the run goes on without cameras.
        on_event: Called with each camera event.
    """

    def __init__(
        self,
        cameras: Cameras,
        topology: Topology,
        config: EngineConfig,
        *,
        keep_open: bool,
        on_event: Callable[[CameraEvent], object] | None = None,
    ) -> None:
        self.state = state = RunState(config, cameras, topology, keep_open=keep_open)
        self.rings = FrameRings(state, self._fail_camera)
        self._cameras = cameras
        self._topology = topology
        self._selector = selectors.DefaultSelector()
        self._selector.register(state.wake_pipe, selectors.EVENT_READ)
        self._selector.register(topology.events_out, selectors.EVENT_READ)
        callbacks = WorkerCallbacks(
            launch=topology.launch,
            on_message=self._handle,
            on_failed=self._fail_worker,
            before_replacing=self._before_replacing,
            on_started=self._note_started,
            progress=self._progress,
        )
        self._workers = WorkerManager(lambda: topology.workers, config, self._selector, callbacks)
        self._dispatcher = OutputDispatcher(topology.outputs)
        self._events = EventReporter(on_event)
        self._delivery = Delivery(state, topology, self._dispatcher, self._events)
        self._ending = Ending(state, self._workers, self.rings, self._dispatcher, self._events)
        self._thread = threading.Thread(target=self._run, name="ferengine-supervisor", daemon=True)
        self._start_lock = threading.Lock()
        self._closed = self._capturing = False
        self._next_tidying = 0.0

    # --- called by other threads

    def start(self) -> None:
        """Start the run, unless it has been started. Raises EngineStoppedError after the end."""
        with self._start_lock:
            if self._closed:
                raise EngineStoppedError("the engine has been closed: make a new one")
            if not self.state.started:
                self.state.executor.open()
                self.state.started = True
                try:
                    self._thread.start()
                except RuntimeError as error:  # no thread, as under ulimit -u
                    self.state.started = False
                    self._end_unstarted()
                    raise refused(error) or error from None

    def close_unstarted(self) -> bool:
        """Let go of everything if the run has not been started; False if it has."""
        with self._start_lock:
            if self.state.started or self._closed:
                return self._closed
            self._end_unstarted()
            return True

    def _end_unstarted(self) -> None:
        self._closed = self.state.stopping = True
        self.state.executor.close()
        self.state.subscriptions.end()
        self._release()
        self.state.ready.set()
        self.state.finished.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; False after ``timeout`` seconds."""
        self._events.note_waiting()
        return join_in_slices(self._thread, timeout)

    # --- cameras: in the supervisor's thread, or before it runs

    def add_camera(self, spec: SourceSpec, *, held: bool = False) -> CameraState:
        """A further camera, with its capture worker. Raises MemoryError or OSError, and leaves nothing of it behind, where the
        system refuses what they need."""
        camera = self._cameras.add(spec)
        camera.held = held
        if camera.capture is None:
            camera.input = PushInput(camera, self.state, self.rings)
        if self.state.started:
            self._topology.announce_camera(camera)
            try:
                if camera.capture is not None:
                    self._workers.start(camera.capture)
            except (MemoryError, OSError):
                self._forget(camera)
                raise
        return camera

    def set_zones(self, camera: CameraState, spec: SourceSpec) -> None:
        """Watch and ignore what ``spec`` says, from the next frame on."""
        camera.use_zones(spec)
        if self.state.started:
            self._topology.announce_zones(camera)

    def open_held(self, camera: CameraState) -> None:
        """Have the capture worker of a camera that was added as held open its source; one that does not run does so at its
        start."""
        camera.held = False
        if camera.capture is not None:
            camera.capture.send(OpenSource())

    def close_input(self, camera: CameraState) -> None:
        """No further frame is captured; those on their way still come out. A capture worker that does not run gets the
        message when it, or its successor, is started."""
        camera.input_ended = True
        if camera.capture is not None:
            camera.capture.send(StopCapture())
        elif camera.input is not None:
            camera.input.close()

    def remove_camera(self, camera: CameraState, *, drain: bool) -> None:
        """Remove the camera, once what is on its way has come out (at most a second) or at once."""
        if not self.state.started:
            self._forget(camera)
            return
        camera.leave_until = time.monotonic() + (DRAIN if drain else 0.0)
        self.close_input(camera)

    def _forget(self, camera: CameraState) -> None:
        """Take everything away that the camera had: worker, rings, records that wait."""
        camera.note_cut()
        self._dispatcher.end(camera)
        self._topology.forget_camera(camera)
        if camera.capture is not None:
            self._workers.dismiss(camera.capture)
        camera.drop_rings()
        self._cameras.remove(camera)

    def _fail_camera(self, camera: CameraState, error: FerengineError) -> None:
        """The camera ends with ``error``, and so does the run when none is left that could ever give a frame."""
        camera.error = str(error)
        only = all(other.error for other in self._cameras) and not self.state.metrics.frames
        if only and not self.state.keep_open:
            self.state.abort(error)
            return
        self.state.note_failure(str(error))
        if camera.capture is not None:
            self._workers.dismiss(camera.capture)  # nothing keeps a device open for frames that have no place
        self._close_writers(camera)

    def _close_writers(self, camera: CameraState) -> None:
        """No further frame comes: have the track worker note it."""
        camera.close_writers()
        self._topology.trackers[camera.tracker].page.notify()

    # --- the thread

    def _run(self) -> None:
        state = self.state
        began = time.monotonic()
        try:
            for worker in self._topology.workers:
                self._workers.start(worker)
            self._loop(began)
        except Exception as error:
            self.state.abort(error)
        finally:
            try:
                self._shut_down()
                for camera in self._cameras:
                    self._report_end(camera)
                state.metrics.wall_s = time.monotonic() - began
                self._ending.finish_events()  # a consumer that reads to the end has also had all events
            finally:
                state.subscriptions.end()
                state.ready.set()
                state.finished.set()

    def _loop(self, began: float) -> None:
        state = self.state
        while state.keep_open or not all(camera.done for camera in self._cameras):
            if state.kill_requested or state.error is not None:
                return
            if state.stop_requested and not self._workers.stopping:
                state.stopping = self._workers.stopping = True
                for camera in self._cameras:
                    self.close_input(camera)
                if not state.ready.is_set() or not self._capturing:
                    return
            if self._ending.is_past(STOP_FRAMES) or (state.stop_requested and all(camera.done for camera in self._cameras)):
                return
            self._poll(self._wait_time())
            state.executor.run()
            self._delivery.emit()
            self._workers.watch()
            self._tidy()
            if not state.ready.is_set() and self._all_ready():
                state.metrics.startup_s = time.monotonic() - began
                state.ready.set()
            if state.ready.is_set() and state.consuming and not self._capturing:
                self._capturing = True
                for worker in self._topology.captures:
                    worker.send(BeginCapture())

    def _all_ready(self) -> bool:
        opened = all(camera.held or camera.state != "opening" for camera in self._cameras) and not self.rings.pending
        return opened and all(worker.ready for worker in self._topology.workers if worker.alive)

    def _wait_time(self) -> float:
        now = time.monotonic()
        waits = [camera.joiner.seconds_to_deadline(now) for camera in self._cameras]
        if self._dispatcher.waiting:
            waits.append(0.002)
        return min([_TICK, *(wait for wait in waits if wait is not None)])

    def _poll(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            if key.fileobj is self.state.wake_pipe:
                self.state.wake_pipe.clear()
            elif isinstance(key.data, WorkerProcess) and key.fd in self._selector.get_map():
                self._workers.handle(key.data, key.fd, events)
        self._delivery.take_in()

    def _tidy(self) -> None:
        now = time.monotonic()
        for camera in self._cameras:
            leaves = camera.leave_until is not None and (camera.done or now > camera.leave_until)
            if camera.done or leaves:
                self._report_end(camera)
            if leaves:
                self._forget(camera)
        if now >= self._next_tidying:
            self._next_tidying = now + _TICK
            for camera in self._cameras:
                if camera.done:
                    self._dispatcher.end(camera)
            self.rings.tidy()

    def _report_end(self, camera: CameraState) -> None:
        reason = camera.end_reason(self.state.error, stopped=self.state.stop_requested)
        self._events.report(camera.lifecycle.note_end(reason, time.time()))

    # --- workers

    def _note_started(self, worker: Worker) -> None:
        if self._capturing and worker in self._topology.captures:
            worker.send(BeginCapture())
        camera = self._topology.camera_of(worker)
        if camera is not None and camera.input_ended:
            worker.send(StopCapture())
        if worker.restarts and worker in self._topology.detectors:
            for tracker in self._topology.trackers:
                tracker.send(Redetect())

    def _handle(self, worker: Worker, message: ControlMessage) -> None:
        camera, output = self._topology.camera_of(worker), self._topology.output_of(worker)
        match message:
            case Ready():
                worker.ready = worker.was_ready = True
            case SourceOpened() if camera is not None:
                self._note_open(camera, message)
            case SourceDisconnected() if camera is not None:
                self._events.report(camera.lifecycle.note_disconnect(message.reason, message.time))
            case NeedRing() if camera is not None:
                self.rings.begin(camera, message.nbytes)
            case CaptureCounts() | CaptureEnded() if camera is not None:
                camera.note_counts(message)
                if isinstance(message, CaptureEnded):
                    camera.at_end = message.at_end
                    self._close_writers(camera)
                    self._workers.dismiss(worker)
            case Failed():
                self._fail_worker(worker, message.error_class, message.text)
            case SinkFailed() if output is not None:
                output.error = output.error or message.error
                self.state.note_failure(message.error)
            case VideoPart() if output is not None:
                output.parts.append(message)
            case VideoJoined() if output is not None:
                output.note_joined(message.camera, message.frames)
            case VideoRefused() if output is not None:
                output.note_refused(message.camera)
            case Rendered() if output is not None:
                output.note_written(message.camera, message.results)
            case BlurredWhole() if output is not None:
                output.blurred_whole += message.frames
            case BackendChosen():
                self._note_backend(worker, message)
            case Usage():
                worker.peak_mb = max(worker.peak_mb, message.peak_mb)
            case WindowClosed():
                self.state.stop_requested = True

    def _note_open(self, camera: CameraState, opened: SourceOpened) -> None:
        camera.opened, camera.fps, camera.joiner.live = True, opened.fps, opened.live
        camera.note_length(opened, self.state.config.max_frames)
        self._events.report(camera.lifecycle.note_open(opened.time))
        self._topology.announce_rate(camera)
        if max(opened.width, opened.height) > MAX_SIDE:
            text = f"{camera.name} has {opened.width}x{opened.height} pixels, and {MAX_SIDE} a side is the maximum: use --size"
            self._fail_camera(camera, SourceError(text))
            return
        camera.size = opened.width, opened.height
        if opened.width * opened.height > _LARGE:
            shown = f"{camera.name} has frames of {opened.width}x{opened.height} pixels"
            log.warning("%s, which take long to decode and to search: --size 3840x2160 scales them down", shown)
        nbytes = opened.width * opened.height * 3
        if not camera.rings or (camera.spec.blocks and camera.newest_ring.slot_bytes != nbytes):
            self.rings.begin(camera, nbytes)

    def _note_backend(self, worker: Worker, chosen: BackendChosen) -> None:
        """What runs the networks, and why; an error when it is not the GPU that was meant to."""
        if worker is self._topology.classifier:
            self.state.metrics.backend = chosen.name
        if chosen.failure is None:
            log.info("%s runs %s: %s", worker.name, chosen.networks, chosen.reason)
        else:
            log.error("%s runs %s, not on the GPU: %s", worker.name, chosen.networks, chosen.failure)

    def _fail_worker(self, worker: Worker, error_class: str, text: str) -> None:
        """A worker gave up: a camera or an output ends, anything else ends the run."""
        worker.finished = worker.failed = True
        error = getattr(errors, error_class, WorkerError)(text)
        camera = self._topology.camera_of(worker)
        output = self._topology.output_of(worker)
        if camera is not None:
            self._fail_camera(camera, error)
        elif output is not None:
            self.state.note_failure(text)
            output.give_up(text)
            self.rings.release_reader(output.reader)
        elif worker not in self._topology.captures:
            self.state.abort(error)

    def _progress(self, worker: Worker) -> int | None:
        """A classifier that does nothing has no faces; one that was stuck has a network that does not end for some."""
        if worker is self._topology.classifier:
            return self.state.metrics.batches if worker.killed_for else None
        camera = self._topology.camera_of(worker)
        return None if camera is None else camera.published

    def _before_replacing(self, worker: Worker) -> None:
        camera = self._topology.camera_of(worker)
        if camera is not None:
            camera.recover_rings()
            camera.begin_capture_life()
            reason = "its worker died and is being replaced"
            self._events.report(camera.lifecycle.note_disconnect(reason, time.time()))
        if worker in self._topology.trackers:
            self._delivery.take_in()  # what the dead one had sent decides the next track id
            index = self._topology.trackers.index(worker)
            for tracked in self._cameras:
                if tracked.tracker == index:
                    tracked.epoch += 1
                    tracked.release_recorded()

    # --- the end

    def _shut_down(self) -> None:
        """End what is alive and let go of everything, whatever fails on the way."""
        steps: tuple[Callable[[], None], ...] = (
            partial(self._ending.finish_work, self._delivery.take_in, self._poll),
            partial(self._ending.end_workers, self._poll),
            self._ending.note_cut_results,
            self._release,
        )
        for step in steps:
            try:
                step()
            except Exception as error:
                self.state.abort(error)

    def _release(self) -> None:
        self._selector.close()
        self.state.wake_pipe.close()
        for camera in self._cameras:
            camera.drop_rings()
        self._topology.close()
