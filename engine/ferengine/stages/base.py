"""The life cycle of a stage, and what its worker process offers it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from ferengine._native import WorkerPage
from ferengine.stages.messages import FromWorker, ToWorker

StartT = TypeVar("StartT")


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage may use of its worker process.

    Attributes:
        page: The worker's event page.
        control: The descriptor of the control socket, readable when a message waits.
        send: Sends a control message to the engine.
        poll_control: Handles the control messages that wait now, not only after the step.
        opening: Keeps the heartbeat going during a block that may take longer than a step should.
    """

    page: WorkerPage
    control: int
    send: Callable[[FromWorker], None]
    poll_control: Callable[[], None]
    opening: Callable[[], AbstractContextManager[None]]


class Stage(Generic[StartT]):
    """One part of the pipeline, alone in its worker process.

    The worker makes it from its start message, calls ``open`` once, and then, until Finish comes, ``handle``
    for each control message, ``step`` as long as there is work, and ``wait`` when there is none. ``close`` ends a run
    that nothing has interrupted. All calls come from one thread. Descriptors in a message are closed when ``open`` or
    ``handle`` returns: what is kept is duplicated.

    A FerengineError that any of them raises ends the worker, and is reported to the engine; it is not started again.

    Args:
        start: Settings and descriptors.
        context: What the worker offers.
    """

    def __init__(self, start: StartT, context: StageContext) -> None:
        self.start = start
        self.context = context

    def open(self) -> None:
        """Attach the shared memory, load the networks, begin to open the source. May take long."""
        raise NotImplementedError

    def handle(self, message: ToWorker) -> None:
        """Take a control message; those that do not concern this kind of stage are ignored."""

    def step(self) -> bool:
        """Do a bounded piece of work without blocking for long; False when there was none to do."""
        raise NotImplementedError

    def wait(self, seen: int, timeout: float) -> None:
        """Sleep until there may be work.

        Args:
            seen: The count of the worker's event before the last step.
            timeout: Seconds to sleep at most.
        """
        self.context.page.wait(seen, timeout)

    def close(self) -> None:
        """Finish files, release devices."""
