"""From the supervisor to the output worker: results in order, through a queue of its own."""

from __future__ import annotations

import time
from collections import deque

from ferengine.runtime.channel import send_data
from ferengine.runtime.joiner import Joined
from ferengine.runtime.topology import Topology
from ferengine.runtime.wire import encode_result

_QUEUE = 8


class OutputFeed:
    """What waits for room in the output worker's socket. Files wait when ``_QUEUE`` results do, live sources drop."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._waiting: deque[bytes] = deque()
        self.dropped = 0

    @property
    def has_room(self) -> bool:
        return len(self._waiting) < _QUEUE

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def offer(self, camera: int, joined: Joined, *, live: bool) -> None:
        if not self._topology.outputs:
            return
        if live and not self.has_room:
            self.dropped += 1
            return
        self._waiting.append(encode_result(camera, joined.generation, joined.slot, joined.result))
        self.flush()

    def end(self, camera: int) -> None:
        """The camera's last result has been offered: its file may be closed."""
        if self._topology.outputs:
            self._waiting.append(encode_result(camera, 0, 0, None))
            self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        sent = False
        while self._waiting and send_data(self._topology.inbox_in, self._waiting[0]):
            self._waiting.popleft()
            sent = True
        if sent:
            self._topology.outputs[0].page.ring()

    def drain(self, deadline: float) -> None:
        """Send the rest, until ``deadline`` of time.monotonic()."""
        self.flush()
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.002)
            self.flush()
