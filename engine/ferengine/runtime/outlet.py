"""One output worker as the supervisor sees it: its inbox, what waits for it, and the frames that it may keep."""

from __future__ import annotations

from collections import deque

from ferengine.ipc.channel import data_pair, send_data
from ferengine.ipc.process import WorkerProcess
from ferengine.runtime.frame_loans import Lender

HOLD = 4
"""Frames of each camera that an output worker may keep from being used again."""

QUEUE = 8
"""Results that may wait until its inbox has room."""


class Outlet:
    """The worker of one kind of output: ``name`` is "video" or "window", ``reader`` its bit in the hold masks.

    Its queue and its frames are its own: one that is slow, stopped or failed takes nothing from the others.
    """

    def __init__(self, name: str, reader: int) -> None:
        self.name = name
        self.worker = WorkerProcess(name)
        self.lender = Lender(reader, HOLD - 1, None)
        self.inbox_in, self.inbox_out = data_pair()
        self.waiting: deque[bytes] = deque()
        self.dropped = 0
        self.failed = False

    @property
    def has_room(self) -> bool:
        return self.failed or len(self.waiting) < QUEUE

    def put(self, message: bytes) -> None:
        """Queue ``message`` and send what there is room for."""
        if not self.failed:
            self.waiting.append(message)
            self.flush()

    def flush(self) -> None:
        sent = False
        while self.waiting and send_data(self.inbox_in, self.waiting[0]):
            self.waiting.popleft()
            sent = True
        if sent:
            self.worker.page.notify()

    def give_up(self) -> None:
        """It has failed for good: nothing is kept for it."""
        self.failed = True
        self.waiting.clear()
