"""From what the workers send to what consumers get: records and scores are joined, and results go out in order."""

from __future__ import annotations

import time

from ferengine.ipc.channel import receive_data
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.consumers import EventReporter
from ferengine.runtime.joiner import split_batch
from ferengine.runtime.output_workers import OutputDispatcher
from ferengine.runtime.state import RunState
from ferengine.runtime.topology import Topology
from ferengine.stages.records import CameraEnd, Record, ScoreBatch, decode_event


class Delivery:
    """Takes in what trackers and classifiers have sent, and delivers the results that are ready.

    Args:
        state: The run.
        topology: Its workers.
        dispatcher: What gives results to the outputs.
        events: What calls the callback for camera events.
    """

    def __init__(self, state: RunState, topology: Topology, dispatcher: OutputDispatcher, events: EventReporter) -> None:
        self._state = state
        self._topology = topology
        self._dispatcher = dispatcher
        self._events = events
        self._turn = 0

    def take_in(self) -> None:
        """Read all that the workers have sent, without waiting."""
        while (data := receive_data(self._topology.events_out)) is not None:
            match decode_event(data):
                case Record() as record:
                    self._add_record(record)
                case ScoreBatch() as batch:
                    self._add_scores(batch)
                case CameraEnd() as end:
                    ended = self._state.cameras.get(end.camera)
                    if ended is not None:
                        ended.ended = ended.ended or end.epoch == ended.epoch

    def _add_record(self, record: Record) -> None:
        camera = self._state.cameras.get(record.camera)
        if camera is None:  # removed since
            return
        for reader in [*self._state.subscriptions.readers, *self._dispatcher.readers]:
            reader.release_skipped(camera.rings.values(), camera.joiner.last_sequence, record.sequence)
        camera.last_captured_ns = max(camera.last_captured_ns, record.captured_ns)
        camera.joiner.add_record(record)

    def _add_scores(self, batch: ScoreBatch) -> None:
        self._state.metrics.add_batch(batch)
        for number, sequence, epoch, face, scores in split_batch(batch):
            camera = self._state.cameras.get(number)
            if camera is not None:
                camera.joiner.add_scores(sequence, epoch, face, scores)

    def emit(self) -> None:
        """Deliver what is ready, one result of each camera in turn, so that none takes all the room in a queue."""
        self._dispatcher.flush()
        waiting = [camera for camera in self._state.cameras if camera.joiner.waiting]
        self._turn += 1
        first = self._turn % len(waiting) if waiting else 0
        waiting = [*waiting[first:], *waiting[:first]]
        while waiting:
            waiting = [camera for camera in waiting if self._emit_one(camera)]

    def _emit_one(self, camera: CameraState) -> bool:
        """Deliver the camera's next result; False when it has none that may go out."""
        if not (camera.live or self._state.stopping or camera.leave_until is not None or self._has_room(camera)):
            return False
        joined = camera.joiner.next_ready(time.monotonic())
        if joined is None:
            return False
        if camera.input is not None:  # a pushed camera has no source to open: it starts with its first result
            self._events.report(camera.lifecycle.note_open(time.time()))
        self._state.metrics.add_result(joined.result)
        camera.seen.add(joined.result)
        self._state.subscriptions.offer(
            joined.result,
            camera.live,
            lambda reader: reader.borrow(camera.rings.get(joined.generation), joined.slot, joined.result.frame),
        )
        self._dispatcher.offer(camera, joined)
        camera.note_emitted()
        self._topology.trackers[camera.tracker].page.notify()
        return True

    def _has_room(self, camera: CameraState) -> bool:
        return self._dispatcher.has_room and not self._state.subscriptions.holds_back(camera.name)
