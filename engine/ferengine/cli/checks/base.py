"""What a check says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok``: as it should be. ``warn``: ``ferengine run`` works, but something does not. ``fail``: it cannot work.

    ``reason``: what was found; ``hint``: what to do about it, empty where nothing is to be done.
    """

    status: Status
    reason: str
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
