"""Whether an ONNX file keeps weights in other files, read from its bytes.

ONNX files are protocol buffers; the numbers of their fields are those of onnx/onnx.proto, which never change. Reading them
here saves the package ``onnx``, which takes 35 MB and which nothing else in a run on a CPU needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from ferengine.errors import ModelError

_Message: TypeAlias = Literal["model", "graph", "node", "attribute", "function", "training", "sparse", "tensor"]

FIELDS: Mapping[_Message, Mapping[int, _Message]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""The fields of each message that lead to tensors, by number."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor: where its values lie, and whether (1) that is another file."""

_MAX_DEPTH = 100
"""Messages within messages, as protocol buffers' own readers allow."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(data: bytes) -> bool:
    """Whether an ONNX file refers to weights in other files, anywhere in it.

    Raises:
        ModelError: It is no ONNX file.
    """
    if b"location" not in data:  # the key that names such a file
        return False
    try:
        return _refers(memoryview(data), "model", 0)
    except (IndexError, ValueError):
        raise ModelError("the network is no ONNX file, or it is damaged") from None


def _refers(data: memoryview, message: _Message, depth: int) -> bool:
    """Whether a message is, or holds, a tensor whose values lie elsewhere; ValueError and IndexError where it is none."""
    if depth > _MAX_DEPTH:
        raise ValueError("messages are nested too deeply")
    inside, found = FIELDS[message], False
    for number, value in _fields(data):
        if message == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)):
            found = True
        elif number in inside:
            if isinstance(value, int):
                raise ValueError("a number stands where a message belongs")
            found |= _refers(value, inside[number], depth + 1)
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError("fields are counted from 1")
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"there is no wire type {kind} in ONNX files")
        if place + length > len(data):
            raise ValueError("a field ends behind its message")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than ten bytes")
