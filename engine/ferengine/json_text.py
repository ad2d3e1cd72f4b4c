"""JSON as RFC 8259 has it, which knows no NaN and no Infinity, and whose names should be unique."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    ensure_ascii: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """JSON text that any reader takes: a number that is not finite is written as ``null``, and logged with its place.

    Args:
        value: What ``json.dumps`` takes; so are the other arguments.
        indent: Spaces a level.
        separators: Between items, and between a key and its value.
        ensure_ascii: Whether to escape what is not ASCII.
        default: Makes something that JSON knows of other values.

    Example:
        >>> json_text({"mean": 0.5})
        '{"mean": 0.5}'
    """

    def text(value: Any) -> str:
        return json.dumps(
            value, allow_nan=False, indent=indent, separators=separators, ensure_ascii=ensure_ascii, default=default
        )

    try:
        return text(value)
    except ValueError:
        replaced: list[str] = []
        finite = _finite(value, "", replaced)
        if not replaced:
            raise  # it refers to itself
    log.warning("%d numbers that are not finite were written as null: %s", len(replaced), ", ".join(replaced[:5]))
    return text(finite)


def parse_json(text: str | bytes) -> Any:
    """The value of a text that a person may have written: a name that stands twice in an object is a mistake.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or has a name twice; the message says where.

    Example:
        >>> parse_json('{"calm": 0.5, "calm": 0.2}')
        Traceback (most recent call last):
        ValueError: 'calm' is given twice
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(value: Any, place: str, replaced: list[str]) -> Any:
    """A copy with ``None`` for what is not finite; the places of that are added to ``replaced``."""
    if isinstance(value, float) and not math.isfinite(value):
        replaced.append(place.lstrip(".") or "the value")
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item, f"{place}.{key}", replaced) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, f"{place}[{number}]", replaced) for number, item in enumerate(value)]
    return value
