"""Which images are accepted, and that all of them become the same BGR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.frames import MAX_SIDE, as_bgr, check_image, copy_as_bgr


def _image(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 4]),
    layout=st.sampled_from(["as is", "padded", "upside down", "mirrored", "every second", "transposed", "channels reversed"]),
)
def test_every_layout_becomes_the_same_bgr(height: int, width: int, channels: int, layout: str) -> None:
    image = _image(height, width, channels)
    if layout == "padded":
        image = _image(height, width + 5, channels)[:, 2 : width + 2]
    elif layout == "upside down":
        image = image[::-1]
    elif layout == "mirrored":
        image = image[:, ::-1]
    elif layout == "every second":
        image = _image(2 * height, 2 * width, channels)[::2, ::2]
    elif layout == "transposed":
        image = _image(width, height, channels).swapaxes(0, 1)
    elif layout == "channels reversed":
        image = image[:, :, ::-1]
    expected = np.repeat(image, 3, axis=2) if channels == 1 else np.array(image[:, :, :3])
    out = np.zeros((height, width, 3), np.uint8)
    copy_as_bgr(check_image(image), out)
    assert (out == expected).all()
    assert (as_bgr(image) == expected).all()
    if channels == 1:
        assert (as_bgr(image[:, :, 0]) == expected).all()


def test_what_is_bgr_already_is_not_copied() -> None:
    image = _image(8, 8, 3)
    assert np.shares_memory(as_bgr(image), image)
    assert np.shares_memory(as_bgr(image[2:5, 1:4]), image)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32: scale it to 0\.\.255"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((4, 4, 5), np.uint8), r"\(4, 4, 5\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
        (np.zeros(12, np.uint8), r"\(12,\)"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((4, 0), np.uint8), "empty"),
        (
            np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (MAX_SIDE + 1, 2, 3), (0, 0, 0)),
            f"at most {MAX_SIDE}",
        ),
        ([[0]], "list"),
        (None, "NoneType"),
    ],
)
def test_everything_else_is_one_clear_error(image: Any, named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        as_bgr(image, "door: a pushed frame")
    assert "door: a pushed frame" in str(caught.value)
