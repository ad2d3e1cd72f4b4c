"""From the supervisor to the render workers: results in order, a queue for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from ferengine.ipc.channel import data_pair, send_data
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.frame_loans import FrameReader
from ferengine.runtime.joiner import Joined
from ferengine.runtime.workers import new_worker
from ferengine.stages.records import RenderItem

HOLD = 4
"""Frames of each camera that a render worker may keep from being used again."""

QUEUE = 8
"""Results that may wait until its inbox has room."""


class OutputWorker:
    """A render worker as the supervisor sees it: its inbox, what waits for it, and the frames that it may keep.

    Its queue and its frames are its own: one that is slow, stopped or failed takes nothing from the others.

    Args:
        name: "video" or "window".
        reader: Its bit in the hold masks.
    """

    def __init__(self, name: str, reader: int) -> None:
        self.name = name
        self.worker = new_worker(name, f"render {name}")
        self.reader = FrameReader(reader, HOLD - 1, None)
        self.inbox_in, self.inbox_out = data_pair()
        self.waiting: deque[bytes] = deque()
        self.written = 0
        self.dropped = 0
        self.error: str | None = None
        self.failed = False

    @property
    def has_room(self) -> bool:
        return self.failed or len(self.waiting) < QUEUE

    def put(self, message: bytes) -> None:
        """Queue a RenderItem and send what there is room for."""
        if not self.failed:
            self.waiting.append(message)
            self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        sent = False
        while self.waiting and send_data(self.inbox_in, self.waiting[0]):
            self.waiting.popleft()
            sent = True
        if sent:
            self.worker.page.notify()

    def give_up(self, error: str) -> None:
        """It has failed for good: nothing is kept for it."""
        self.failed = True
        self.error = self.error or error
        self.waiting.clear()


class OutputDispatcher:
    """Gives every result to every render worker.

    Files wait for room in all of them. A result of a live source that finds no room is dropped, and its frame released
    at once, so that a slow output does not fill the camera's ring.
    """

    def __init__(self, outputs: Sequence[OutputWorker]) -> None:
        self._outputs = outputs

    @property
    def has_room(self) -> bool:
        return all(output.has_room for output in self._outputs)

    @property
    def waiting(self) -> bool:
        return any(output.waiting for output in self._outputs)

    @property
    def readers(self) -> Iterable[FrameReader]:
        return [output.reader for output in self._outputs if not output.failed]

    def offer(self, camera: CameraState, joined: Joined) -> None:
        """Queue the result, or drop it where the camera is live and there is no room."""
        message: bytes | None = None
        for output in self._outputs:
            if output.failed:
                continue
            if camera.live and not (output.has_room and self._kept(output, camera, joined) <= HOLD):
                output.dropped += 1
                loan = output.reader.borrow(camera.rings.get(joined.generation), joined.slot, joined.result.frame)
                if loan is not None:
                    loan.release()
                continue
            message = message or RenderItem(camera.number, joined.generation, joined.slot, joined.result).encode()
            output.put(message)
            output.written += 1

    @staticmethod
    def _kept(output: OutputWorker, camera: CameraState, joined: Joined) -> int:
        """Frames that the worker has not released, the one of ``joined`` included."""
        held = [sequence for ring in camera.rings.values() for sequence, _ in ring.held(output.reader.reader)]
        return sum(sequence <= joined.result.frame for sequence in held)

    def end(self, camera: int) -> None:
        """The camera's last result has been offered: its file may be closed."""
        for output in self._outputs:
            output.put(RenderItem(camera, 0, 0, None).encode())

    def flush(self) -> None:
        """Send what there is room for."""
        for output in self._outputs:
            output.flush()

    def drain(self, deadline: float) -> None:
        """Send the rest, until ``deadline`` of time.monotonic()."""
        self.flush()
        while self.waiting and time.monotonic() < deadline:
            time.sleep(0.002)
            self.flush()
