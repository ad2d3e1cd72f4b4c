"""From the supervisor to the output workers: results in order, a queue for each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from ferengine.runtime.cameras import CameraState
from ferengine.runtime.frame_loans import Lender
from ferengine.runtime.joiner import Joined
from ferengine.runtime.outlet import HOLD, Outlet
from ferengine.stages.messages import encode_result


class OutputFeed:
    """Gives every result to every outlet. Files wait for room in all; of live sources the result that finds none is
    dropped, and its frame given back at once, so that a slow output does not fill the camera's ring."""

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = outlets

    @property
    def dropped(self) -> int:
        return sum(outlet.dropped for outlet in self._outlets)

    @property
    def has_room(self) -> bool:
        return all(outlet.has_room for outlet in self._outlets)

    @property
    def waiting(self) -> bool:
        return any(outlet.waiting for outlet in self._outlets)

    @property
    def lenders(self) -> Iterable[Lender]:
        return [outlet.lender for outlet in self._outlets if not outlet.failed]

    def offer(self, camera: CameraState, joined: Joined) -> None:
        """Queue the result, or drop it where the camera is live and there is no room."""
        message: bytes | None = None
        for outlet in self._outlets:
            if outlet.failed:
                continue
            if camera.live and not (outlet.has_room and self._kept(outlet, camera, joined) <= HOLD):
                outlet.dropped += 1
                loan = outlet.lender.lend(camera.rings.get(joined.generation), joined.slot, joined.result.frame)
                if loan is not None:
                    loan.give_back()
                continue
            message = message or encode_result(camera.number, joined.generation, joined.slot, joined.result)
            outlet.put(message)

    @staticmethod
    def _kept(outlet: Outlet, camera: CameraState, joined: Joined) -> int:
        """Frames that the outlet has not given back, the one of ``joined`` included."""
        held = [sequence for ring in camera.rings.values() for sequence, _ in ring.held(outlet.lender.reader)]
        return sum(sequence <= joined.result.frame for sequence in held)

    def end(self, camera: int) -> None:
        """The camera's last result has been offered: its file may be closed."""
        for outlet in self._outlets:
            outlet.put(encode_result(camera, 0, 0, None))

    def flush(self) -> None:
        """Send what there is room for."""
        for outlet in self._outlets:
            outlet.flush()

    def drain(self, deadline: float) -> None:
        """Send the rest, until ``deadline`` of time.monotonic()."""
        self.flush()
        while self.waiting and time.monotonic() < deadline:
            time.sleep(0.002)
            self.flush()
