"""The end of a run: everything alive that still has data finishes, and what is cut off is counted and reported."""

from __future__ import annotations

import time
from collections.abc import Callable

from ferengine.errors import FerengineError, WorkerError
from ferengine.ipc.process import refused
from ferengine.runtime.events import EventReporter
from ferengine.runtime.output_workers import OutputDispatcher
from ferengine.runtime.state import RunState
from ferengine.runtime.workers import WorkerManager

STOP_FRAMES = 3.0
"""Seconds from a stop in which frames on their way may still come out."""
STOP_OUTPUTS = 5.0
"""Seconds from a stop in which outputs and callbacks may finish what they have been given."""


class Ending:
    """How long the parts of a run are waited for at its end, and what was cut off.

    At the natural end (all cameras have ended) outputs and callbacks get all the time that they need, as long as they are
    alive: slow is not hung. After a stop, or when the run fails, they get a stated time.

    Args:
        state: The run.
        workers: Its worker processes.
        dispatcher: What gives results to the outputs.
        events: What calls the callback for camera events.
    """

    def __init__(self, state: RunState, workers: WorkerManager, dispatcher: OutputDispatcher, events: EventReporter) -> None:
        self._state = state
        self._workers = workers
        self._dispatcher = dispatcher
        self._events = events
        self._stopped_at: float | None = None

    def is_past(self, seconds: float) -> bool:
        """Whether the run was killed, or was stopped or failed that long ago; never at its natural end."""
        state = self._state
        if self._stopped_at is None and (state.stop_requested or state.error is not None):
            self._stopped_at = time.monotonic()
        return state.kill_requested or (self._stopped_at is not None and time.monotonic() > self._stopped_at + seconds)

    def note_cut_frames(self) -> None:
        """Count the frames that were captured and came to no result; files lose none unless they are stopped."""
        for camera in self._state.cameras:
            camera.note_cut()
            if camera.cut and self._state.error is None:
                self._state.note_failure(f"{camera.name}: the end of the run cut off {camera.cut} frames on their way")

    def finish_outputs(self, poll: Callable[[], None]) -> None:
        """Have the outputs write what waits for them. One that dies is replaced, and its successor goes on.

        Args:
            poll: Waits for messages and deaths, and handles them.
        """
        outputs = self._state.topology.outputs
        try:
            while any(output.busy for output in outputs) and not self.is_past(STOP_OUTPUTS):
                self._dispatcher.flush()
                for output in outputs:
                    if not output.waiting and output.worker.alive and output.finished_life != output.worker.lives:
                        output.finished_life = output.worker.lives
                        self._workers.finish(output.worker)
                poll()
                self._workers.watch()
        except (FerengineError, OSError, MemoryError) as error:  # a malformed message, or no memory for a successor
            self._state.abort(error if isinstance(error, FerengineError) else refused(error) or WorkerError(str(error)))

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
