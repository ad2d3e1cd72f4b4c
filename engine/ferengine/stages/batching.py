"""When a batch is closed."""

from __future__ import annotations

from dataclasses import dataclass

from ferengine.errors import UsageError


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """A batch closes at once when the device is idle, when ``max_batch`` faces wait, or when the oldest face has
    waited ``deadline`` seconds; never while none waits."""

    max_batch: int
    deadline: float

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.deadline < 0:
            raise UsageError(f"a batch holds at least 1 face and waits at least 0 s, not {self}")

    def closes(self, waiting: int, oldest_age: float, *, device_idle: bool) -> bool:
        """Whether to close it now: ``waiting`` faces, the oldest of them queued ``oldest_age`` seconds ago."""
        return waiting > 0 and (device_idle or waiting >= self.max_batch or oldest_age >= self.deadline)
