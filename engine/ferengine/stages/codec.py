"""Encoder and decoder of the control messages.

On the socket a message is a JSON object with its kind and its fields; the descriptors among these travel beside it, and
the object holds their indices.
"""

from __future__ import annotations

import json
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ferengine.errors import UsageError, WorkerError
from ferengine.stages.messages import MESSAGE_TYPES, ControlMessage
from ferengine.stages.start_messages import Descriptor


def encode_control(message: ControlMessage) -> tuple[bytes, list[int]]:
    """The bytes of ``message``, and the descriptors to send along, which remain the caller's."""
    descriptors: list[int] = []
    body = _pack(message, type(message), descriptors)
    return json.dumps({"kind": type(message).__name__, **body}).encode(), descriptors


def decode_control(data: bytes, descriptors: Sequence[int]) -> ControlMessage:
    """The inverse of ``encode_control``. Raises WorkerError, which names the message, for an unknown or malformed one."""
    try:
        body = json.loads(data)
        kind = body.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise WorkerError(f"a control message cannot be read: {data[:80]!r}") from None
    if not isinstance(kind, str) or kind not in MESSAGE_TYPES:
        raise WorkerError(f"unknown control message {kind!r}")
    try:
        message: ControlMessage = _unpack(body, MESSAGE_TYPES[kind], descriptors)
    except (ValueError, UsageError) as error:
        raise WorkerError(f"malformed control message {kind}: {error}") from None
    return message


@cache
def _field_types(record: type) -> dict[str, Any]:
    """The type of each field, in order."""
    hints = get_type_hints(record)
    return {field.name: hints[field.name] for field in fields(record)}


def _pack(value: Any, kind: Any, descriptors: list[int]) -> Any:
    """``value``, of the declared type ``kind``, as JSON takes it."""
    if kind is Descriptor:
        descriptors.append(value)
        return len(descriptors) - 1
    if get_origin(kind) is tuple:
        return [_pack(item, item_kind, descriptors) for item, item_kind in zip(value, _item_types(kind, value), strict=True)]
    if is_dataclass(value):  # not its kind, which may be a union
        types_ = _field_types(type(value))  # type: ignore[arg-type]
        return {name: _pack(getattr(value, name), item_kind, descriptors) for name, item_kind in types_.items()}
    return value


def _unpack(value: Any, kind: Any, descriptors: Sequence[int]) -> Any:
    """The inverse of ``_pack``. Raises ValueError where ``value`` does not fit ``kind``."""
    if kind is Descriptor:
        if type(value) is not int or not 0 <= value < len(descriptors):
            raise ValueError(f"descriptor {value!r} is not among the {len(descriptors)} that came along")
        return descriptors[value]
    origin = get_origin(kind)
    if origin is tuple:
        return tuple(
            _unpack(item, item_kind, descriptors)
            for item, item_kind in zip(_checked(value, list), _item_types(kind, value), strict=True)
        )
    if origin in (Union, types.UnionType):
        return _unpack_first(value, get_args(kind), descriptors)
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is not one of {get_args(kind)}")
        return value
    if is_dataclass(kind):
        return _unpack_record(_checked(value, dict), kind, descriptors)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    return _checked(value, kind)


def _unpack_first(value: Any, kinds: Sequence[Any], descriptors: Sequence[int]) -> Any:
    """As the first of ``kinds`` that ``value`` fits."""
    errors = []
    for kind in kinds:
        try:
            return _unpack(value, kind, descriptors)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError("; ".join(errors))


def _unpack_record(values: dict[str, Any], record: type, descriptors: Sequence[int]) -> Any:
    types_by_name = _field_types(record)
    for name in [*types_by_name, *values]:
        if name not in values or name not in types_by_name:
            raise ValueError(f"the field {name} is {'missing' if name not in values else 'unknown'}")
    unpacked = {}
    for name, kind in types_by_name.items():
        try:
            unpacked[name] = _unpack(values[name], kind, descriptors)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return record(**unpacked)


def _item_types(kind: Any, items: Sequence[Any]) -> Sequence[Any]:
    """The type of each of ``items``, for ``tuple[X, ...]`` and ``tuple[X, Y]``."""
    arguments = get_args(kind)
    return [arguments[0]] * len(items) if arguments[-1] is Ellipsis else arguments


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not of the type {kind.__name__}")
    return value
