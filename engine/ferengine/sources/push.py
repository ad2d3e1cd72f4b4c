"""A source whose frames the embedding program hands in."""

from __future__ import annotations

from dataclasses import dataclass

from ferengine.errors import UsageError, shown
from ferengine.sources.spec import SourceSpec


@dataclass(frozen=True, slots=True)
class PushSource:
    """A camera whose frames come through ``Engine.push``.

    It is live: a frame that finds no free slot is dropped, and the tracker skips to the newest.

    Attributes:
        name: What results call the camera.
        wait: Process every frame instead, as from a file: ``push`` waits for a free slot.

    Raises:
        UsageError: If the name is empty or cannot name a file.
    """

    name: str = "push"
    wait: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise UsageError(f"a push source needs a name, not {shown(self.name)}")
        if not isinstance(self.wait, bool):
            raise UsageError(f"wait of the push source {self.name} is True or False, not {shown(self.wait)}")
        self.spec()

    def spec(self) -> SourceSpec:
        """Return the description of the source that the engine takes."""
        return SourceSpec("push", "", self.name, pace="fast" if self.wait else "native")
