"""What comes over the sockets between processes."""

from __future__ import annotations

import dataclasses
import json
import random
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from ferengine._native import FACE_KEY
from ferengine.classification.quality import MEASURES
from ferengine.stages.codec import decode_control, encode_control
from ferengine.stages.messages import MESSAGE_TYPES, ControlMessage
from ferengine.stages.records import CameraEnd, Record, ScoreBatch, decode_event, face_rows
from ferengine.stages.start_messages import Descriptor
from ferengine.tracking.track import TrackedFace
from fuzzing.mutations import changed_json, damaged


class Messages:
    """Control messages, records and scores."""

    def __init__(self, _: object) -> None: ...

    def run(self, chance: random.Random) -> None:
        if chance.random() < 0.3:
            decode_event(damaged(_event(chance), chance))
            return
        kind = MESSAGE_TYPES[chance.choice(list(MESSAGE_TYPES))]
        data, descriptors = encode_control(_value(kind, chance))
        if chance.random() < 0.6:
            body = changed_json(json.loads(data), chance)
            data = json.dumps(body).encode(errors="surrogatepass")
        else:
            data = damaged(data, chance)
        message: ControlMessage = decode_control(data, descriptors[: chance.randrange(3)])
        assert type(message) in MESSAGE_TYPES.values()

    def close(self) -> None: ...


def _event(chance: random.Random) -> bytes:
    match chance.randrange(3):
        case 0:
            faces = [
                TrackedFace(number, (1.0, 2.0, 3.0, 4.0), 0.5, 0.5, "detected", None, (0.0, 0.0, 1.0, 0.0))
                for number in range(3)
            ]
            return Record(0, 1, 2, 0.5, 1, 2, 0, 0, 1, False, face_rows(faces)).encode()
        case 1:
            return ScoreBatch(
                np.zeros(3, FACE_KEY), np.zeros((3, 7), np.float32), np.zeros((3, MEASURES), np.float32), 8, 1
            ).encode()
        case _:
            return CameraEnd(1, 2).encode()


def _value(kind: Any, chance: random.Random) -> Any:
    """Some value of a declared type."""
    if kind is Descriptor:
        return chance.randrange(5)
    origin = get_origin(kind)
    if origin is Literal:
        return chance.choice(get_args(kind))
    if origin in (Union, types.UnionType):
        return _value(chance.choice(get_args(kind)), chance)
    if origin is tuple:
        arguments = get_args(kind)
        kinds = [arguments[0]] * chance.randrange(3) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(item, chance) for item in kinds)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _value(hints[field.name], chance) for field in dataclasses.fields(kind)})  # type: ignore[operator]
    return {int: 3, float: 0.5, bool: True, str: "x", types.NoneType: None}[kind]
