"""Reads the fields of JSON objects that others wrote: a value of another type is an error that names its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeVar, cast

from ferengine.errors import UsageError, shown

T = TypeVar("T")


class JsonFields:
    """The fields of one JSON object. Each method takes the name of a field; numbers are returned as they were given, but for
    ``Decimal``, which becomes a float, and null, which ``json_text`` writes for NaN and infinity and which becomes NaN.

    Args:
        given: The object.
        what: What it should be, for messages, such as "a frame".
        place: Where it stands in that, such as "faces[2].pose"; empty for the whole.

    Raises:
        UsageError: It is no object. The methods raise it for a field that is missing or of another type.

    Example:
        >>> JsonFields({"yaw": "left"}, "a pose").number("yaw")
        Traceback (most recent call last):
        ferengine.errors.UsageError: this is not the JSON object of a pose: yaw should be a number, not 'left'
    """

    def __init__(self, given: object, what: str, place: str = "") -> None:
        self._what, self._place = what, place
        if not isinstance(given, Mapping):
            kind = f"it is of the type {type(given).__name__}"
            raise self._error(f"{place} should be an object, not {shown(given)}" if place else kind)
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str, choices: Sequence[str] = ()) -> str:
        """A text, one of ``choices`` where there are any."""
        wanted = f"one of {', '.join(choices)}" if choices else "a text"
        return cast(str, self._checked(name, wanted, lambda value: isinstance(value, str) and value in (choices or [value])))

    def number(self, name: str) -> float:
        """A number, whole or not."""
        return _plain(self._checked(name, "a number", _is_number))

    def whole(self, name: str) -> int:
        """A whole number, which may be written as 7.0."""
        return int(self._checked(name, "a whole number", _is_whole))

    def flag(self, name: str) -> bool:
        """True or false."""
        return cast(bool, self._checked(name, "true or false", lambda value: isinstance(value, bool)))

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """A list of so many numbers."""
        return self._tuple(self._value(name), self._at(name), count)

    def points(self, name: str, count: int) -> tuple[tuple[float, float], ...]:
        """A list of so many pairs of numbers."""
        given, place = self._value(name), self._at(name)
        if not _is_list(given) or len(given) != count:
            raise self._error(f"{place} should be a list of {count} points, not {shown(given)}")
        pairs = (self._tuple(each, f"{place}[{number}]", 2) for number, each in enumerate(given))
        return tuple((x, y) for x, y in pairs)

    def numbers_by_name(self, name: str) -> dict[str, float]:
        """An object whose fields are numbers, at least one."""
        part = self.part(name)
        if not part.names():
            raise self._error(f"{self._at(name)} should have at least one number")
        return {key: part.number(key) for key in part.names()}

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        given = self._list(name)
        for number, each in enumerate(given):
            if not isinstance(each, str):
                raise self._error(f"{self._at(name)}[{number}] should be a text, not {shown(each)}")
        return tuple(given)

    def part(self, name: str) -> JsonFields:
        """An object within it."""
        return JsonFields(self._value(name), self._what, self._at(name))

    def parts(self, name: str) -> list[JsonFields]:
        """The objects in a list."""
        return [JsonFields(each, self._what, f"{self._at(name)}[{number}]") for number, each in enumerate(self._list(name))]

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """What ``read`` makes of the field; ``None`` where it is missing or null."""
        return None if name not in self else self.nullable(name, read)

    def nullable(self, name: str, read: Callable[[str], T]) -> T | None:
        """What ``read`` makes of the field; ``None`` where it is null."""
        return None if self._value(name) is None else read(name)

    def names(self) -> list[str]:
        """The names of all fields."""
        for name in self._given:
            if not isinstance(name, str):
                raise self._error(f"{self._at(shown(name))} should have a text for a name")
        return list(self._given)

    def _list(self, name: str) -> Sequence[Any]:
        given = self._value(name)
        if not _is_list(given):
            raise self._error(f"{self._at(name)} should be a list, not {shown(given)}")
        return cast(Sequence[Any], given)

    def _tuple(self, given: Any, place: str, count: int) -> tuple[float, ...]:
        if not _is_list(given) or len(given) != count or not all(map(_is_number, given)):
            raise self._error(f"{place} should be a list of {count} numbers, not {shown(given)}")
        return tuple(map(_plain, given))

    def _checked(self, name: str, wanted: str, is_right: Callable[[Any], bool]) -> Any:
        value = self._value(name)
        if not is_right(value):
            raise self._error(f"{self._at(name)} should be {wanted}, not {shown(value)}")
        return value

    def _value(self, name: str) -> Any:
        if name not in self._given:
            raise self._error(f"{self._at(name)} is missing")
        return self._given[name]

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _error(self, text: str) -> UsageError:
        return UsageError(f"this is not the JSON object of {self._what}: {text}")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, Real | Decimal) and not isinstance(value, bool))


def _is_whole(value: Any) -> bool:
    if isinstance(value, float | Decimal):
        return float(value).is_integer()
    return isinstance(value, Integral) and not isinstance(value, bool)


def _plain(number: Any) -> float:
    if number is None:
        return math.nan
    return float(number) if isinstance(number, Decimal) else cast(float, number)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
