"""Face crops against a plain NumPy reference, OpenCV and the documented errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ferengine._native import crop_faces
from ferengine.vision import cv2
from oracles.crop_reference import grey_levels, reference_crop

pytestmark = pytest.mark.usefixtures("each_instruction_set")


def crop(frame: NDArray[np.uint8], squares: Any, size: int) -> NDArray[np.float32]:
    squares = np.asarray(squares, np.float32).reshape(-1, 4)
    out = np.full((len(squares), size, size), np.nan, np.float32)
    crop_faces(frame, squares, out)
    return out


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


@st.composite
def frames(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Grey and BGR images, some of them windows of a larger one, so that their rows are padded."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    top, left, pad = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 5))
    shape: tuple[int, ...] = (height + top, width + left + pad)
    if draw(st.booleans()):
        shape += (3,)
    rows = draw(st.sampled_from([1, 2]))  # 2: every second row, as of an interlaced image
    whole = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 256, shape, np.uint8)
    return whole[top::rows, left : left + width]


squares = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 3), st.just(4)),
    elements=st.floats(0, 1, width=32),
    fill=st.nothing(),
)
angles = st.one_of(st.just(0.0), st.floats(-3.25, 3.25, width=32))


@settings(max_examples=300, deadline=None)
@given(frames(), squares, st.floats(-2, 6), angles, st.integers(1, 50))
def test_crops_equal_the_reference(
    frame: NDArray[np.uint8], unit: NDArray[np.float32], log_side: float, angle: float, size: int
) -> None:
    wanted = unit.copy()  # centres from one frame before the frame to one behind it
    wanted[:, 0] = (unit[:, 0] * 3 - 1) * frame.shape[1]
    wanted[:, 1] = (unit[:, 1] * 3 - 1) * frame.shape[0]
    wanted[:, 2] = 2.0 ** (log_side + unit[:, 2])
    wanted[:, 3] = angle
    got = crop(frame, wanted, size)
    for square, one in zip(wanted, got, strict=True):
        np.testing.assert_allclose(one, reference_crop(frame, square, size), atol=0.01)


@pytest.mark.parametrize("shape", [(48, 96), (48, 96, 3)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6])
def test_integer_factors_equal_opencv_area(shape: tuple[int, ...], factor: int) -> None:
    frame = noise(*shape)
    size = 24 // factor
    expected = cv2.resize(grey_levels(frame)[8:32, 40:64], (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(crop(frame, [52, 20, 24, 0], size)[0], expected, atol=1e-3)


def test_grey_equals_opencv_within_its_rounding() -> None:
    frame = noise(64, 64, 3)
    expected = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    assert np.abs(crop(frame, [32, 32, 64, 0], 64)[0] - expected).max() <= 1


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_equal_rot90(quarter: int) -> None:
    frame = noise(32, 32)
    turned = crop(frame, [16, 16, 32, quarter * np.pi / 2], 32)[0]
    # a crop turned clockwise on the screen shows the image turned the other way
    np.testing.assert_allclose(turned, np.rot90(frame, quarter), atol=0.01)


@settings(max_examples=50, deadline=None)
@given(frames(), st.floats(1, 60, width=32), angles, st.integers(1, 20))
def test_bytes_are_the_rounded_intensities(frame: NDArray[np.uint8], side: float, angle: float, size: int) -> None:
    square = np.array([[frame.shape[1] / 2, frame.shape[0] / 3, side, angle]], np.float32)
    rounded = np.empty((1, size, size), np.uint8)
    crop_faces(frame, square, rounded)
    levels = crop(frame, square, size)
    np.testing.assert_array_equal(rounded, np.floor(levels + np.float32(0.5)))


def in_colour(frame: NDArray[np.uint8], squares: Any, size: int, order: str, kind: Any = np.uint8) -> NDArray[Any]:
    squares = np.asarray(squares, np.float32).reshape(-1, 4)
    out = np.empty((len(squares), 3, size, size), kind)
    crop_faces(frame, squares, out, order=order)
    return out


@settings(max_examples=150, deadline=None)
@given(frames(), squares, st.floats(-2, 6), angles, st.integers(1, 70), st.sampled_from(["rgb", "bgr"]))
def test_each_colour_equals_the_reference_of_that_channel(
    frame: NDArray[np.uint8], unit: NDArray[np.float32], log_side: float, angle: float, size: int, order: str
) -> None:
    wanted = unit.copy()
    wanted[:, 0] = (unit[:, 0] * 3 - 1) * frame.shape[1]
    wanted[:, 1] = (unit[:, 1] * 3 - 1) * frame.shape[0]
    wanted[:, 2], wanted[:, 3] = 2.0 ** (log_side + unit[:, 2]), angle
    got, rounded = in_colour(frame, wanted, size, order, np.float32), in_colour(frame, wanted, size, order)
    for plane, channel in enumerate("bgr".index(letter) for letter in order):
        one = np.ascontiguousarray(frame[..., channel]) if frame.ndim == 3 else frame
        for square, found in zip(wanted, got[:, plane], strict=True):
            np.testing.assert_allclose(found, reference_crop(one, square, size), atol=0.01)
        np.testing.assert_array_equal(got[:, plane], crop(one, wanted, size))
    np.testing.assert_array_equal(rounded, np.floor(got + np.float32(0.5)))


@pytest.mark.parametrize(("order", "planes"), [("rgb", [200, 120, 30]), ("bgr", [30, 120, 200])])
@pytest.mark.parametrize(("side", "angle"), [(20, 0.0), (4, 0.0), (20, 0.4)])
def test_planes_stand_in_the_order_that_is_named(order: str, planes: list[int], side: float, angle: float) -> None:
    frame = np.full((32, 32, 3), (30, 120, 200), np.uint8)  # blue, green, red
    assert in_colour(frame, [16, 16, side, angle], 8, order).reshape(3, -1).max(axis=1).tolist() == planes


@given(st.floats(-300, 300, width=32), st.floats(0.5, 300, width=32))
def test_floats_are_normalised(mean: float, std: float) -> None:
    frame, square = noise(20, 30, 3), np.array([[12, 9, 17, 0.3]], np.float32)
    out = np.empty((1, 9, 9), np.float32)
    crop_faces(frame, square, out, mean, std)
    np.testing.assert_allclose(out, (crop(frame, square, 9) - mean) / std, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.7])
@pytest.mark.parametrize("centre", [0.0, -1e9, 1e9, 1e17, -3e38, 3e38])
@pytest.mark.parametrize("side", [1e-38, 1e-3, 1.0, 48.0, 1e9, 1e17, 3e38])
def test_extreme_squares_stay_within_the_frames_intensities(angle: float, centre: float, side: float) -> None:
    frame = noise(30, 40, 3)
    levels = grey_levels(frame)
    for position in ((centre, 7.0), (9.0, centre), (centre, centre)):
        got = crop(frame, [*position, side, angle], 48)
        assert got.min() >= levels.min() - 0.01
        assert got.max() <= levels.max() + 0.01


@pytest.mark.parametrize(
    ("centre", "corner"), [((-1e9, -1e9), (0, 0)), ((1e9, -1e9), (0, -1)), ((-1e17, 1e17), (-1, 0)), ((3e38, 3e38), (-1, -1))]
)
@pytest.mark.parametrize(("side", "angle"), [(3.0, 0.0), (48.0, 0.0), (60.0, 0.5)])
def test_far_squares_see_the_nearest_corner(
    centre: tuple[float, float], corner: tuple[int, int], side: float, angle: float
) -> None:
    frame = noise(30, 40)
    np.testing.assert_allclose(crop(frame, [*centre, side, angle], 16), frame[corner], atol=0.01)


def test_a_huge_square_around_the_frame_sees_its_corners() -> None:
    frame = noise(30, 40)
    got = crop(frame, [20, 15, 1e9, 0], 2)[0]
    np.testing.assert_allclose(got, frame[np.ix_([0, -1], [0, -1])], atol=0.01)


@pytest.mark.parametrize("shape", [(4, 65536), (65536, 4)])
def test_long_white_frames_stay_white(shape: tuple[int, int]) -> None:
    frame = np.full(shape, 255, np.uint8)
    out = np.zeros((1, 1, 1), np.uint8)
    crop_faces(frame, np.array([[shape[1] / 2, shape[0] / 2, 65536, 0]], np.float32), out)
    assert out.item() == 255
    np.testing.assert_allclose(crop(frame, [shape[1] / 2, shape[0] / 2, 65536, 0], 1), 255, atol=0.05)


def test_no_squares_are_no_crops() -> None:
    crop_faces(noise(4, 4), np.empty((0, 4), np.float32), np.empty((0, 48, 48), np.uint8))


FRAME = noise(20, 30, 3)
SQUARE = np.array([[10, 10, 8, 0]], np.float32)
OUT = np.zeros((1, 8, 8), np.float32)


def square_with(column: int, value: float) -> NDArray[np.float32]:
    square = SQUARE.copy()
    square[0, column] = value
    return square


def read_only() -> NDArray[np.float32]:
    out = OUT.copy()
    out.flags.writeable = False
    return out


BAD: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "frame: a list": (TypeError, {"frame": [[1, 2], [3, 4]]}),
    "frame: None": (TypeError, {"frame": None}),
    "frame: float": (TypeError, {"frame": FRAME.astype(np.float32)}),
    "frame: signed": (TypeError, {"frame": FRAME.view(np.int8)}),
    "frame: one dimension": (ValueError, {"frame": FRAME[0, :, 0].copy()}),
    "frame: four channels": (ValueError, {"frame": np.zeros((20, 30, 4), np.uint8)}),
    "frame: no rows": (ValueError, {"frame": FRAME[:0]}),
    "frame: no columns": (ValueError, {"frame": FRAME[:, :0]}),
    "frame: too wide": (ValueError, {"frame": np.zeros((1, 65537), np.uint8)}),
    "frame: too high": (ValueError, {"frame": np.zeros((65537, 1), np.uint8)}),
    "frame: mirrored": (ValueError, {"frame": FRAME[:, ::-1]}),
    "frame: upside down": (ValueError, {"frame": FRAME[::-1]}),
    "frame: RGB by a view": (ValueError, {"frame": FRAME[..., ::-1]}),
    "frame: every second column": (ValueError, {"frame": FRAME[:, ::2]}),
    "frame: one channel of three": (ValueError, {"frame": FRAME[..., 0]}),
    "frame: transposed": (ValueError, {"frame": FRAME.transpose(1, 0, 2)}),
    "frame: one row repeated": (ValueError, {"frame": np.broadcast_to(FRAME[:1], FRAME.shape)}),
    "squares: double": (TypeError, {"squares": SQUARE.astype(np.float64)}),
    "squares: text": (TypeError, {"squares": "square"}),
    "squares: one dimension": (ValueError, {"squares": SQUARE[0]}),
    "squares: three columns": (ValueError, {"squares": SQUARE[:, :3]}),
    "squares: side 0": (ValueError, {"squares": square_with(2, 0)}),
    "squares: side below 0": (ValueError, {"squares": square_with(2, -1)}),
    **{f"squares: NaN in column {i}": (ValueError, {"squares": square_with(i, np.nan)}) for i in range(4)},
    **{f"squares: infinity in column {i}": (ValueError, {"squares": square_with(i, np.inf)}) for i in range(4)},
    "out: double": (TypeError, {"out": OUT.astype(np.float64)}),
    "out: other byte order": (TypeError, {"out": OUT.astype(OUT.dtype.newbyteorder())}),
    "out: a list": (TypeError, {"out": OUT.tolist()}),
    "out: three planes of grey": (ValueError, {"out": np.zeros((1, 3, 8, 8), np.float32)}),
    "out: one plane of colour": (ValueError, {"order": "rgb"}),
    "out: two planes of colour": (ValueError, {"out": np.zeros((1, 2, 8, 8), np.float32), "order": "bgr"}),
    "order: unknown": (ValueError, {"order": "hsv"}),
    "order: a number": (TypeError, {"order": 3}),
    "out: two dimensions": (ValueError, {"out": OUT[0]}),
    "out: not square": (ValueError, {"out": np.zeros((1, 8, 9), np.float32)}),
    "out: of size 0": (ValueError, {"out": np.zeros((1, 0, 0), np.float32)}),
    "out: too few": (ValueError, {"out": np.zeros((0, 8, 8), np.float32)}),
    "out: too many": (ValueError, {"out": np.zeros((2, 8, 8), np.float32)}),
    "out: strided": (ValueError, {"out": np.zeros((1, 8, 16), np.float32)[..., ::2]}),
    "out: read-only": (ValueError, {"out": read_only()}),
    "std: 0": (ValueError, {"std": 0.0}),
    "std: below 0": (ValueError, {"std": -1.0}),
    "std: NaN": (ValueError, {"std": np.nan}),
    "std: infinite": (ValueError, {"std": np.inf}),
    "mean: NaN": (ValueError, {"mean": np.nan}),
    "mean: text": (TypeError, {"mean": "grey"}),
    "bytes with a mean": (ValueError, {"out": OUT.astype(np.uint8), "mean": 1.0}),
    "bytes with a std": (ValueError, {"out": OUT.astype(np.uint8), "std": 2.0}),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case: str) -> None:
    error, changed = BAD[case]
    arguments: dict[str, Any] = {"frame": FRAME, "squares": SQUARE, "out": OUT.copy()} | changed
    with pytest.raises(error):
        crop_faces(**arguments)
