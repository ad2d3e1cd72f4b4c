"""The end of a run: everything alive that still has data finishes, and what is cut off is counted and reported."""

from __future__ import annotations

import time
from collections.abc import Callable

from ferengine.errors import FerengineError
from ferengine.runtime.consumers import EventReporter
from ferengine.runtime.output_workers import OutputDispatcher
from ferengine.runtime.rings import FrameRings
from ferengine.runtime.state import RunState
from ferengine.runtime.workers import LEAVE, WorkerManager

STOP_FRAMES = 3.0
"""Seconds from a stop in which frames on their way may still come out."""
STOP_OUTPUTS = 5.0
"""Seconds from a stop in which outputs and callbacks may finish what they have been given."""

_TICK, _FULL_TICK = 0.25, 0.002
"""Seconds between two looks at the outputs at most, and while one has no room for what waits."""


class Ending:
    """How long the parts of a run are waited for at its end, and what was cut off.

    At the natural end (all cameras have ended) outputs and callbacks get all the time that they need, as long as they are
    alive: slow is not hung. After a stop, or when the run fails, they get a stated time.

    Args:
        state: The run.
        workers: Its worker processes.
        rings: Its frame rings.
        dispatcher: What gives results to the outputs.
        events: What calls the callback for camera events.
    """

    def __init__(
        self,
        state: RunState,
        workers: WorkerManager,
        rings: FrameRings,
        dispatcher: OutputDispatcher,
        events: EventReporter,
    ) -> None:
        self._state = state
        self._workers = workers
        self._rings = rings
        self._dispatcher = dispatcher
        self._events = events
        self._stopped_at: float | None = None

    def is_past(self, seconds: float) -> bool:
        """Whether the run was killed, or was stopped or failed that long ago; never at its natural end."""
        state = self._state
        if self._stopped_at is None and (state.stop_requested or state.error is not None):
            self._stopped_at = time.monotonic()
        return state.kill_requested or (self._stopped_at is not None and time.monotonic() > self._stopped_at + seconds)

    # --- the steps, in their order

    def finish_work(self, read_events: Callable[[], None], poll: Callable[[float], None]) -> None:
        """Capture, track and classify no more, and have the outputs write what waits for them.

        Args:
            read_events: Takes the records and scores that have come in.
            poll: Waits for messages and deaths, for so many seconds at most, and handles them.
        """
        state = self._state
        state.stopping = True
        state.executor.close()
        self._rings.close()
        read_events()
        self._note_cut_frames()
        renderers = state.topology.renderers
        for worker in state.topology.workers:
            if worker not in renderers:
                self._workers.dismiss(worker)
        for camera in state.cameras:
            self._dispatcher.end(camera)
        self._finish_outputs(poll)

    def _note_cut_frames(self) -> None:
        """Count the frames that were captured and came to no result; files lose none unless they are stopped."""
        for camera in self._state.cameras:
            camera.note_cut()
            if camera.cut and self._state.error is None:
                self._state.note_failure(f"{camera.name}: the end of the run cut off {camera.cut} frames on their way")

    def _finish_outputs(self, poll: Callable[[float], None]) -> None:
        """An output that dies with results in hand is replaced, and its successor goes on."""
        self._workers.stopping = False
        outputs = self._state.topology.outputs
        while any(output.busy for output in outputs) and not self.is_past(STOP_OUTPUTS):
            self._dispatcher.flush()
            for output in outputs:
                if not output.waiting and output.worker.alive and output.finished_life != output.worker.lives:
                    output.finished_life = output.worker.lives
                    self._workers.finish(output.worker)
            poll(_FULL_TICK if self._dispatcher.waiting else _TICK)
            self._workers.watch()

    def end_workers(self, poll: Callable[[float], None]) -> None:
        """End all workers: at once if the run was killed, else within a moment."""

        def poll_anyway() -> None:
            try:
                poll(0.02)
            except FerengineError as error:  # a malformed message: the workers are ended all the same
                self._state.abort(error)

        self._workers.end_all(0.0 if self._state.kill_requested else LEAVE, poll_anyway)

    def note_cut_results(self) -> None:
        """Count the results that no output will write any more."""
        for output in self._state.topology.outputs:
            output.cut = output.offered - output.written
            if output.cut and output.error is None and self._state.error is None:
                text = f"{output.name}: {output.cut} of {output.offered} results were not {output.verb}: {self._reason()}"
                output.error = text
                self._state.note_failure(text)

    def _reason(self) -> str:
        if self._state.kill_requested:
            return "the end was forced"
        if self._stopped_at is None:
            return "its worker died with them"
        return f"the run was stopped, and outputs then get {STOP_OUTPUTS:.0f} s"

    def finish_events(self) -> None:
        """Have the callback called with all camera events, as long as it returns."""
        cut = self._events.close(lambda: self.is_past(STOP_OUTPUTS), self._state.config.stuck_after)
        if cut:
            self._state.note_failure(f"the callback for camera events did not take the last {cut}: it does not return")
