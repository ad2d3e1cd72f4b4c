"""Errors that a user can act on: each message names what is wrong and gives a hint.

The command line prints the message alone and exits with ``exit_code``. Any other exception that escapes is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args


class FerengineError(Exception):
    """Base of all errors that ferengine raises on purpose (exit code 1)."""

    exit_code = 1


class UsageError(FerengineError, ValueError):
    """An argument or option is invalid (exit code 2)."""

    exit_code = 2


class MissingDependencyError(FerengineError, ImportError):
    """A required package or system library is not installed."""


class SourceError(FerengineError):
    """A camera, file or stream cannot be opened or read."""


class CredentialsError(SourceError):
    """A stream refuses the credentials or requires some. It is not retried, since cameras lock accounts."""


class ModelError(FerengineError):
    """A model, its manifest or its weights are missing, damaged or of the wrong shape."""


class DeviceError(FerengineError):
    """A GPU is out of memory, failed, or has an unsuitable driver.

    Args:
        message: What failed, and the hint.
        lost: Whether CUDA works no more in this process, while it may in another.
    """

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class SinkError(FerengineError):
    """An output cannot be created or written.

    Attributes:
        lost: How many results had been handed over and are not in the file, where that is known.
    """

    lost: int | None = None


class WorkerError(FerengineError):
    """A worker process could not start, or died more often than the restart limit allows."""


class ServiceError(FerengineError):
    """The web service cannot listen, or one of its processes cannot be started or has died."""


class EngineStoppedError(FerengineError):
    """The engine has stopped and accepts no more sources or consumers."""


def describe_invalid(item: Mapping[str, Any], name: str, show: Callable[[object], str] = repr, model: Any = None) -> str:
    """Say in one sentence what is wrong with a setting, from one of the errors of pydantic's ``ValidationError``.

    Args:
        item: An item of ``ValidationError.errors()``.
        name: The name of the setting as the user wrote it; empty if the error concerns several.
        show: How to print the wrong value, for values that may hold credentials.
        model: The model that was to be made, whose fields are named where there is none of a name.

    Returns:
        For example "min_face: input should be less than 4096, not 5000".
    """
    if item["type"] == "extra_forbidden":
        hint = "" if model is None else f": {name_hint(str(item['loc'][-1]), known_fields(model, item['loc'][:-1]))}"
        return f"there is no {name}{hint}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{name}: {message}" if name else str(message)
    text = f"{name}: {message[0].lower()}{message[1:]}"
    return (
        text
        if item["type"] == "missing" or isinstance(item["input"], dict | list | tuple)
        else f"{text}, not {shown(item['input'], show)}"
    )


def invalid_items(error: Any) -> list[Any]:
    """What is wrong with the settings, from pydantic's ``ValidationError``.

    A list in which a value is wrong is not also called too short: pydantic counts only the values that are right.
    """
    items: list[Any] = error.errors(include_url=False)
    places = [item["loc"] for item in items]
    return [
        item
        for item in items
        if item["type"] not in ("too_short", "too_long")
        or not any(len(place) > len(item["loc"]) and place[: len(item["loc"])] == item["loc"] for place in places)
    ]


def describe_all(error: Any, model: Any, show: Callable[[object], str] = repr) -> str:
    """Say in one line all that is wrong with the fields of a model, from pydantic's ``ValidationError``.

    Args:
        error: The error.
        model: The model that was to be made.
        show: How to print a wrong value.
    """
    items = invalid_items(error)
    return "; ".join(describe_invalid(item, ".".join(map(str, item["loc"])), show, model) for item in items)


def known_fields(model: Any, place: Iterable[str | int] = ()) -> list[str]:
    """The names that may stand at a place in one of pydantic's models, such as those of one zone at ("zones", 1).

    Args:
        model: The class of the model.
        place: The fields and indices that lead there.
    """
    for part in place:
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                model = next(_models_in(field.annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def name_hint(name: object, known: Iterable[str]) -> str:
    """What to write in the place of a name that nothing has.

    Args:
        name: What was given for a name; a caller's mistake may be a number or ``None``.
        known: The names that there are.

    Example:
        >>> name_hint("dor", ["door", "gate"]), name_hint("hall", ["door", "gate"])
        ("did you mean 'door'?", 'known are door, gate')
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"


def shown(value: object, show: Callable[[object], str] = repr) -> str:
    """A value for a message of one line: what is very long is cut.

    Args:
        value: The value.
        show: How to print it.

    Example:
        >>> shown(10**400)
        '1000000000000000000000000000000000000000...'
    """
    try:
        text = show(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:40]}..."


_MAX_SHOWN = 200
