"""Which images are accepted, and that all of them become the same BGR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine.frames import MAX_SIDE, as_bgr, check_image, copy_as_bgr, drawable_image, readable_frame, rotate


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


def test_readable_frames_are_not_copied() -> None:
    padded = _image(8, 12, 3)[:, 2:9]
    assert readable_frame(padded) is padded
    for grey in (_image(8, 8, 1), _image(8, 8, 1)[:, :, 0], _image(8, 12, 1)[:, 2:9, 0]):
        read = readable_frame(grey, grey=True)
        assert read.shape == grey.shape[:2]
        assert np.shares_memory(read, grey)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_layouts_are_copied_for_opencv_and_native_code(channels: int) -> None:
    image = _image(6, 8, channels)
    for view in (image[::-1], image[:, ::-1], image[::2, ::2], image.swapaxes(0, 1)):
        read = readable_frame(view, grey=True)
        assert read.flags.c_contiguous
        assert (read == (view[:, :, 0] if channels == 1 else view)).all()


def test_only_grey_readers_take_one_channel() -> None:
    with pytest.raises(UsageError, match=r"must have the shape \(H, W, 3\) BGR, not \(4, 4\)"):
        readable_frame(np.zeros((4, 4), np.uint8))
    with pytest.raises(UsageError, match=r"\(H, W, 3\) BGR or \(H, W\) grayscale, not \(4, 4, 4\)"):
        readable_frame(np.zeros((4, 4, 4), np.uint8), grey=True)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 450, 89.9])
def test_rotation_is_clockwise_by_quarter_turns(degrees: float) -> None:
    image = _image(4, 6, 3)
    assert (rotate(image, degrees) == np.rot90(image, -round(degrees / 90))).all()
    assert rotate(image, 360) is image


def test_what_is_drawn_on_is_checked() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    assert drawable_image(image) is image
    loan = image.view()
    loan.flags.writeable = False
    with pytest.raises(UsageError, match=r"read-only, as images on loan are: draw on a copy \(image.copy\(\)\)"):
        drawable_image(loan)
    for wrong, reason in ((image[..., 0], "shape"), (image.astype(np.float32), "dtype"), ("talk.png", "NumPy array")):
        with pytest.raises(UsageError, match=reason):
            drawable_image(wrong)  # type: ignore[arg-type]
