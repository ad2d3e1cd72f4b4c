"""A source whose frames the embedding program hands in."""

from __future__ import annotations

from dataclasses import dataclass

from ferengine.errors import UsageError
from ferengine.sources import SourceSpec


@dataclass(frozen=True, slots=True)
class PushSource:
    """A camera called ``name`` that gets its frames through ``Engine.push``.

    It is live: a frame that finds no free slot is dropped, and the tracker skips to the newest. With ``wait`` every
    frame is processed, as from a file: ``push`` waits for a free slot.
    """

    name: str = "push"
    wait: bool = False

    def spec(self) -> SourceSpec:
        """Raises UsageError for an empty name."""
        if not self.name:
            raise UsageError("a push source needs a name")
        return SourceSpec("push", "", self.name, pace="fast" if self.wait else "native")
