"""What the encoder makes is a file that a decoder reads, frame for frame and time for time."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.service.encoder import Encoder, fitted
from ferengine.service.fragments import TIMESCALE, FragmentWriter, nal_units
from ferengine.service.messages import Answer, Encode, Encoded


def moving_square(number: int, width: int = 320, height: int = 180) -> NDArray[np.uint8]:
    """A bright square that moves over a gradient: BGR uint8."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 120, width, dtype=np.uint8)
    left = 5 * number % (width - 40)
    image[40:80, left : left + 40] = (40, 200, 250)
    return image


def request(time: float, *, width: int = 320, height: int = 180, key: bool = False, jpeg: bool = False) -> Encode:
    return Encode(width, height, round(time * TIMESCALE), True, key, jpeg)


def test_fragments_play_at_their_times() -> None:
    encoder = Encoder()
    times = [0.0, 0.066, 0.14, 0.2, 0.5, 0.566]
    made = [encoder.encode(moving_square(n), request(time)) for n, time in enumerate(times)]
    assert made[0].mime.startswith('video/mp4; codecs="avc1.4D')
    assert [bool(each.init) for each in made] == [True] + 5 * [False]
    with av.open(io.BytesIO(made[0].init + b"".join(each.fragment for each in made))) as file:
        frames = list(file.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-4)
    for number, frame in enumerate(frames):
        difference = np.abs(frame.to_ndarray(format="bgr24").astype(int) - moving_square(number)).mean()
        assert difference < 12


def test_a_key_frame_comes_when_asked_after_a_pause_and_every_two_seconds() -> None:
    encoder = Encoder()
    times = [0.1 * number for number in range(30)] + [5.0, 5.1, 5.2]
    keys = [encoder.encode(moving_square(n), request(time, key=n == 5)).key for n, time in enumerate(times)]
    assert [number for number, key in enumerate(keys) if key] == [0, 5, 25, 30]


def test_a_key_frame_starts_what_can_be_decoded() -> None:
    encoder = Encoder()
    made = [encoder.encode(moving_square(n), request(0.1 * n, key=n == 3)) for n in range(6)]
    with av.open(io.BytesIO(made[0].init + b"".join(each.fragment for each in made[3:]))) as file:
        assert len(list(file.decode(video=0))) == 3


def test_a_new_size_begins_a_new_video() -> None:
    encoder = Encoder()
    first = encoder.encode(moving_square(0), request(0))
    second = encoder.encode(moving_square(1, 322, 241), request(0.1, width=322, height=241))
    assert (first.width, first.height, second.width, second.height) == (320, 180, 322, 240)
    assert second.key
    assert second.init not in (b"", first.init)
    with av.open(io.BytesIO(second.init + second.fragment)) as file:
        [frame] = file.decode(video=0)
    assert (frame.width, frame.height) == (322, 240)


def test_jpeg_alone_and_beside_the_video() -> None:
    encoder = Encoder()
    alone = encoder.encode(moving_square(0), Encode(320, 180, 0, False, False, True))
    assert (alone.fragment, alone.init) == (b"", b"")
    both = encoder.encode(moving_square(0), request(0, jpeg=True))
    assert both.fragment
    with av.open(io.BytesIO(both.jpeg), format="mjpeg") as file:
        [frame] = file.decode(video=0)
    assert np.abs(frame.to_ndarray(format="bgr24").astype(int) - moving_square(0)).mean() < 8


def test_without_the_encoder_there_is_a_reason_and_still_a_jpeg() -> None:
    made = Encoder("no-such-codec").encode(moving_square(0), request(0, jpeg=True))
    assert "no-such-codec" in made.error
    assert made.jpeg
    assert not made.fragment


def test_large_frames_are_scaled() -> None:
    assert fitted(3840, 2160) == (1280, 720)
    assert fitted(1080, 1920) == (720, 1280)
    assert fitted(1, 1) == (2, 2)


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda unit: b"\0" not in unit), max_size=6), st.booleans())
def test_nal_units_are_found(units: list[bytes], long: bool) -> None:
    stream = b"".join((b"\0\0\0\1" if long else b"\0\0\1") + unit for unit in units)
    assert list(nal_units(stream)) == units


def test_missing_parameter_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="no parameter sets"):
        FragmentWriter(320, 180, b"\0\0\1\x67abc")


@given(st.booleans(), st.integers(0, 2**31), st.binary(max_size=50), st.binary(max_size=50), st.text(max_size=10))
def test_messages_survive(flag: bool, number: int, one: bytes, two: bytes, text: str) -> None:
    sent = Encoded(flag, number, 7, text, one, two, one + two, text)
    assert Encoded.decode(sent.encode()) == sent
    asked = Encode(number, 3, number, flag, not flag, flag, ((1.5, -2.0, 3.0, number / 7),) * (number % 4))
    assert Encode.decode(asked.encode()) == asked
    assert Answer.decode(Answer(flag, text).encode()) == Answer(flag, text)
