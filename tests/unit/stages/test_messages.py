"""Control messages: each comes back as it was sent, and what cannot be read is named."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.errors import WorkerError
from ferengine.models.settings import Prior
from ferengine.stages.codec import decode_control, encode_control
from ferengine.stages.messages import MESSAGE_TYPES, AddRing, CaptureEnded, Failed
from ferengine.stages.start_messages import Descriptor, SetRate


def priors() -> st.SearchStrategy[Prior]:
    """Priors that are valid: one probability for each label, and their sum is 1."""
    weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8)
    return st.builds(
        lambda name, parts, start: Prior(
            name, tuple(f"class {index}" for index in range(len(parts))), tuple(part / sum(parts) for part in parts), start
        ),
        st.text(),
        weights,
        st.none() | st.text(),
    )


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of the declared type ``kind``; descriptors are checked apart."""
    if kind is Descriptor:
        return st.integers(0, 2**31 - 1)
    if kind is Prior:
        return priors()
    origin = get_origin(kind)
    if origin is Literal:
        return st.sampled_from(get_args(kind))
    if origin in (Union, types.UnionType):
        return st.one_of([values(option) for option in get_args(kind)])
    if origin is tuple and get_args(kind)[-1] is Ellipsis:
        return st.lists(values(get_args(kind)[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(item) for item in get_args(kind)))
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**63),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        str: st.text(),
        types.NoneType: st.none(),
    }
    return simple[kind]


@pytest.mark.parametrize("name", MESSAGE_TYPES)
@settings(max_examples=30)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    message = data.draw(values(MESSAGE_TYPES[name]))
    encoded, descriptors = encode_control(message)
    assert decode_control(encoded, descriptors) == message


def test_messages_are_frozen_and_documented() -> None:
    for kind in MESSAGE_TYPES.values():
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert kind.__doc__
        assert not kind.__doc__.startswith(f"{kind.__name__}(")


def test_descriptors_arrive_under_other_numbers() -> None:
    data, descriptors = encode_control(AddRing(Descriptor(7), 3, 1, live=True))
    assert descriptors == [7]
    assert decode_control(data, [42]) == AddRing(Descriptor(42), 3, 1, live=True)


def test_whole_numbers_become_floats_where_floats_are_declared() -> None:
    message = decode_control(b'{"kind": "SetRate", "camera": 1, "fps": 25}', [])
    assert message == SetRate(1, 25.0)
    assert isinstance(message, SetRate)
    assert isinstance(message.fps, float)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\xff", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b'{"camera": 1}', "cannot be read"),
        (b'{"kind": "Explode"}', "unknown control message 'Explode'"),
        (b'{"kind": ["Ready"]}', "unknown control message ['Ready']"),
        (b'{"kind": "Failed", "error_class": "WorkerError"}', "malformed control message Failed: the field text is missing"),
        (b'{"kind": "Ready", "why": 1}', "malformed control message Ready: the field why is unknown"),
        (b'{"kind": "SetRate", "camera": "1", "fps": 1.0}', "SetRate: camera: '1' is not of the type int"),
        (b'{"kind": "SetRate", "camera": true, "fps": 1.0}', "SetRate: camera: True is not of the type int"),
        (b'{"kind": "AddRing", "ring": 0, "camera": 1, "generation": 1, "live": true}', "AddRing: ring: descriptor 0 is not"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, named: str) -> None:
    with pytest.raises(WorkerError) as caught:
        decode_control(data, [])
    assert named in str(caught.value)


def test_messages_are_compared_by_value() -> None:
    assert CaptureEnded(1, 2, 3, 4, 0, 0, False, True) == CaptureEnded(1, 2, 3, 4, 0, 0, False, True)
    assert CaptureEnded(1, 2, 3, 4, 0, 0, False, True) != CaptureEnded(1, 2, 3, 4, 0, 5, False, True)
    assert Failed("WorkerError", "x") != SetRate(1, 2.0)
