"""From the supervisor to the render workers: results in order, a queue for each."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from ferengine.ipc.channel import data_pair, send_data
from ferengine.ipc.frame_loans import FrameReader
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.joiner import Joined
from ferengine.runtime.workers import new_worker
from ferengine.stages.records import RenderItem
from ferengine.stages.start_messages import VideoPart

HOLD = 4
"""Frames of each camera that a render worker may keep from being used again; fewer of very large ones."""

QUEUE = 8
"""Results that may wait until its inbox has room."""

_SHOWN_A_SECOND = 60.0
"""Results of a file that a window shows at most, however fast the file is read."""


class OutputWorker:
    """A render worker as the supervisor sees it: its inbox, what waits for it, and the frames that it may keep.

    Its queue and its frames are its own: one that is slow, stopped or failed takes nothing from the others.

    Args:
        name: "video" or "window".
        reader: Its bit in the hold masks.
        complete: Whether it takes every result of a source that can wait. A window does not: it shows what it can, and
            nothing waits for it.

    Attributes:
        parts: The files that its worker has made, in all its lives.
        offered: Results that were meant for it and not dropped.
        written: Those that its worker has reported safe, in all its lives.
        dropped: Results that found no room, or for a window came faster than it shows them.
        blurred_whole: Frames that it blurred as a whole, because no detection said in time where faces are.
        cut: At the end of the run: those that were offered and not written.
        finished_life: The life of its worker that has been asked to end.
    """

    def __init__(self, name: str, reader: int, *, complete: bool) -> None:
        self.name = name
        self.complete = complete
        self.worker = new_worker(name, f"render {name}")
        self.reader = FrameReader(reader, HOLD - 1, None)
        self.inbox_in, self.inbox_out = data_pair()
        self.waiting: deque[bytes] = deque()
        self.parts: list[VideoPart] = []
        self.offered = 0
        self.dropped = 0
        self.blurred_whole = 0
        self.cut = 0
        self.finished_life = 0
        self._written: Counter[int] = Counter()
        self._shown_at: dict[int, float] = {}
        self.error: str | None = None
        self.failed = False

    @property
    def has_room(self) -> bool:
        return self.failed or len(self.waiting) < QUEUE

    @property
    def busy(self) -> bool:
        """Whether it still has results, or a file to close."""
        return self.offered > 0 and not (self.failed or self.worker.finished)

    @property
    def verb(self) -> str:
        return "written" if self.complete else "shown"

    @property
    def written(self) -> int:
        return self._written.total()

    def note_written(self, camera: int, results: int) -> None:
        """Its worker has brought ``results`` more of a camera to safety."""
        self._written[camera] += results

    def note_joined(self, camera: int, frames: int) -> None:
        """The parts of a camera's video are one file, which has the name of the first. Where its worker was killed before it
        could report what was safe already, the file holds more than was reported."""
        self._written[camera] = max(self._written[camera], frames)
        joined = [part for part in self.parts if part.camera == camera][1:]
        self.parts = [part for part in self.parts if part not in joined]

    def note_refused(self, camera: int) -> None:
        """The file of a camera's video that was reported last was not made."""
        last = [part for part in self.parts if part.camera == camera][-1:]
        self.parts = [part for part in self.parts if part not in last]

    def takes(self, camera: CameraState, now: float) -> bool:
        """Whether it wants the camera's next result; a window paces its showing of files."""
        if self.complete or camera.live:
            return True
        if now - self._shown_at.get(camera.number, 0.0) < 1 / _SHOWN_A_SECOND:
            return False
        self._shown_at[camera.number] = now
        return True

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

    Files wait for room in the videos. A result of a live source that finds no room is dropped, and so is any result for
    a window that finds none; its frame is released at once, so that a slow output does not fill the camera's ring.
    """

    def __init__(self, outputs: Sequence[OutputWorker]) -> None:
        self._outputs = outputs

    @property
    def has_room(self) -> bool:
        return all(output.has_room for output in self._outputs if output.complete)

    @property
    def waiting(self) -> bool:
        return any(output.waiting for output in self._outputs)

    @property
    def readers(self) -> Iterable[FrameReader]:
        return [output.reader for output in self._outputs if not output.failed]

    def offer(self, camera: CameraState, joined: Joined) -> None:
        """Queue the result, or drop it where the camera is live and there is no room."""
        message: bytes | None = None
        now = time.monotonic()
        for output in self._outputs:
            if output.failed:
                continue
            waits = output.complete and not camera.live
            if not (
                waits or (output.has_room and self._kept(output, camera, joined) <= camera.hold and output.takes(camera, now))
            ):
                output.dropped += 1
                loan = output.reader.borrow(camera.rings.get(joined.generation), joined.slot, joined.result.frame)
                if loan is not None:
                    loan.release()
                continue
            message = message or RenderItem(camera.number, joined.generation, joined.slot, joined.result).encode()
            output.put(message)
            output.offered += 1

    @staticmethod
    def _kept(output: OutputWorker, camera: CameraState, joined: Joined) -> int:
        """Frames that the worker has not released, the one of ``joined`` included."""
        held = [sequence for ring in camera.rings.values() for sequence, _ in ring.held(output.reader.reader)]
        return sum(sequence <= joined.result.frame for sequence in held)

    def end(self, camera: CameraState) -> None:
        """The camera's last result has been offered: its file may be closed. May be called more than once."""
        if not camera.output_ended:
            camera.output_ended = True
            for output in self._outputs:
                output.put(RenderItem(camera.number, 0, 0, None).encode())

    def flush(self) -> None:
        """Send what there is room for."""
        for output in self._outputs:
            output.flush()
