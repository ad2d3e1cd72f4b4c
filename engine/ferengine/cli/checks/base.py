"""The result of a check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        status: ``ok``; ``warn`` if ``ferengine run`` works but something else does not; ``fail`` if it cannot work.
        reason: What was found.
        hint: What to do about it; empty if nothing is to be done.
    """

    status: Status
    reason: str
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)
