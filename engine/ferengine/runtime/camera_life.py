"""When a camera starts, is lost, comes back and ends: each told once."""

from __future__ import annotations

from typing import Literal

from ferengine.results import CameraEvent


class CameraLife:
    """The life of the camera ``name``. Each method gives the event to tell, or ``None`` where that is known already;
    ``now`` is seconds since the epoch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Literal["opening", "running", "lost", "ended"] = "opening"
        self._started = False
        self._lost_since = 0.0

    def note_open(self, now: float) -> CameraEvent | None:
        """It is open: "started", or "back" after a loss."""
        if self.state not in ("opening", "lost"):
            return None
        was_started, self.state, self._started = self._started, "running", True
        if was_started:
            return CameraEvent(self.name, "back", now, seconds=max(0.0, now - self._lost_since))
        return CameraEvent(self.name, "started", now)

    def note_lost(self, reason: str, now: float) -> CameraEvent | None:
        """It broke off, or did not open and is tried again."""
        if self.state not in ("opening", "running"):
            return None
        self.state, self._lost_since = "lost", now
        return CameraEvent(self.name, "lost", now, reason)

    def note_end(self, reason: str | None, now: float) -> CameraEvent | None:
        """All its results have gone out."""
        if self.state == "ended":
            return None
        self.state = "ended"
        return CameraEvent(self.name, "ended", now, reason)
