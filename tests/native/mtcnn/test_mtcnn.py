"""MTCNN's steps in C++ against the plain ones over NumPy and cv2, and its networks against ONNX Runtime."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ferengine._native import MtcnnCascade, mtcnn_crops, mtcnn_decode, mtcnn_parts_near, mtcnn_pyramid, mtcnn_suppress
from ferengine.detection.mtcnn_weights import mtcnn_networks, read_weights
from oracles.plain_mtcnn import boxes as plain
from oracles.plain_mtcnn import sampling

pytestmark = pytest.mark.usefixtures("each_instruction_set")

SETTINGS: dict[str, Any] = {"min_face": 40.0, "factor": 0.709, "thresholds": (0.6, 0.7, 0.7), "max_candidates": 400}
LEVEL = 1 / 128
"""One grey level, normalised."""


def weights() -> list[list[NDArray[np.float32]]]:
    return [read_weights("pnet"), read_weights("rnet"), read_weights("onet")]


@cache
def made_once(**other: Any) -> MtcnnCascade:
    return MtcnnCascade(*weights(), **(SETTINGS | other))


@pytest.fixture(scope="module")
def cascade() -> MtcnnCascade:
    return made_once()


@cache
def session(name: Literal["pnet", "rnet", "onet"]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(mtcnn_networks()[name], providers=["CPUExecutionProvider"])


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    """Neighbours are alike, as in images."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, tuple(-(-length // 4) for length in shape[:2]) + shape[2:], dtype=np.uint8)
    smooth = coarse.repeat(4, axis=0).repeat(4, axis=1)[: shape[0], : shape[1]]
    return np.clip(smooth.astype(int) + random.integers(-20, 21, shape), 0, 255).astype(np.uint8)


def channels_last(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(sampling.normalise(images).transpose(0, 2, 3, 1))


# --- pyramid


@settings(deadline=None, max_examples=60)
@example(height=24, width=24, min_face=12.0, factor=0.5, seed=0, padding=0)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(12, 80), st.floats(0.3, 0.9), st.integers(0, 99), st.integers(0, 7))
def test_pyramid(height: int, width: int, min_face: float, factor: float, seed: int, padding: int) -> None:
    frame = noise(seed, height, width + padding, 3)[:, :width]  # rows are padded
    levels = mtcnn_pyramid(frame, min_face, factor)
    expected = list(sampling.pyramid(frame, min_face, factor))
    assert [scale for scale, _ in levels] == [scale for scale, _ in expected]
    for (_, level), (_, image) in zip(levels, expected, strict=True):
        difference = np.abs(level - channels_last(image[None])[0])
        assert difference.max() < 1.01 * LEVEL  # ties may round the other way
        halved = height % image.shape[0] == width % image.shape[1] == 0  # of means of 2 x 2 pixels a quarter are ties
        assert (difference > 0.01 * LEVEL).mean() < (0.3 if halved else 0.05)


def test_halved_frames_make_small_levels() -> None:
    frame = noise(5, 1024, 768, 3)
    for (_, level), (_, image) in zip(mtcnn_pyramid(frame, 20, 0.7), sampling.pyramid(frame, 20, 0.7), strict=True):
        assert np.abs(level - channels_last(image[None])[0]).max() < 1.01 * LEVEL


def test_pyramid_of_a_single_pixel_and_of_the_smallest_level() -> None:
    assert mtcnn_pyramid(np.zeros((1, 1, 3), np.uint8), 12, 0.7) == []
    ((scale, level),) = mtcnn_pyramid(np.full((12, 12, 3), (255, 128, 0), np.uint8), 12, 0.7)
    assert scale == 1
    np.testing.assert_array_equal(level, np.broadcast_to(np.float32([-127.5, 0.5, 127.5]) * LEVEL, (12, 12, 3)))


# --- parts of levels near known faces


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 400), st.integers(1, 400), st.floats(12, 60), st.floats(0.4, 0.9), st.integers(0, 99),
    st.lists(st.tuples(*[st.floats(-50, 450, width=32)] * 2, *[st.floats(-5, 200, width=32)] * 2), max_size=3),
)  # fmt: skip
def test_parts_near(
    height: int, width: int, min_face: float, factor: float, seed: int, boxes: list[tuple[float, float, float, float]]
) -> None:
    frame = noise(seed, height, width + 3, 3)[:, :width]
    near = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32).reshape(-1, 4)
    found, expected = mtcnn_parts_near(frame, near, min_face, factor), list(sampling.parts_near(frame, near, min_face, factor))
    assert [part[:3] for part in found] == [part[:3] for part in expected]
    for (*_, image), (*_, plain_image) in zip(found, expected, strict=True):
        assert image.shape == plain_image.shape
        assert np.abs(image - channels_last(plain_image[None])[0]).max() < 1.01 * LEVEL


def test_parts_near_nothing_and_everything() -> None:
    frame = noise(3, 60, 80, 3)
    assert mtcnn_parts_near(frame, np.empty((0, 4), np.float32), 12, 0.7) == []
    assert mtcnn_parts_near(frame, np.float32([[5, 5, 5, 9]]), 12, 0.7) == []
    [(scale, x, y, image)] = mtcnn_parts_near(frame, np.float32([[-900, -900, 900, 900]]), 12, 0.3)
    (*_, (smallest, level)) = mtcnn_pyramid(frame, 12, 0.3)
    assert (scale, x, y) == (smallest, 0, 0)
    np.testing.assert_array_equal(image, level)
    for near in (np.float32([[1, 2, 3]]), np.float32([[np.nan, 1, 2, 3]])):
        with pytest.raises(ValueError, match="near must"):
            mtcnn_parts_near(frame, near, 12, 0.7)


# --- crops


@settings(deadline=None)
@example(height=37, width=18, x=0.0, y=0.5, box_width=0.0, box_height=0.0, size=24, seed=18)
@given(
    st.integers(1, 60), st.integers(1, 60), st.floats(-90, 90, width=32), st.floats(-90, 90, width=32),
    st.floats(0, 120, width=32), st.floats(0, 120, width=32), st.sampled_from([24, 48]), st.integers(0, 99),
)  # fmt: skip
def test_crops(height: int, width: int, x: float, y: float, box_width: float, box_height: float, size: int, seed: int) -> None:
    frame = noise(seed, height, width + 3, 3)[:, :width]
    boxes = np.array([[x, y, x + box_width, y + box_height]], np.float32)
    crops, expected = mtcnn_crops(frame, boxes, size), channels_last(sampling.crops(frame, boxes, size))
    # a coordinate that rounds to the neighbouring 1/32 of a pixel changes a sample by 1/32 of the contrast
    assert np.abs(crops - expected).max() <= 255 / 16 * LEVEL
    if min(box_width, box_height) >= 1:  # else all samples lie in one row or column, and round the same way
        assert np.abs(crops - expected).mean() <= 0.5 * LEVEL


def test_crops_far_outside_and_huge_are_grey() -> None:
    frame = noise(1, 20, 30, 3)
    boxes = np.float32([[1e9, 0, 1e9, 5], [-1e30, -1e30, -1e29, -1e29], [40, 30, 90, 60], [-3e38, 3e38, 3e38, 3e38]])
    np.testing.assert_allclose(mtcnn_crops(frame, boxes, 24), -0.5 * LEVEL)
    assert np.isfinite(mtcnn_crops(frame, np.float32([[-3e38, -3e38, 3e38, 3e38]]), 24)).all()
    assert mtcnn_crops(frame, np.empty((0, 4), np.float32), 24).shape == (0, 24, 24, 3)


def test_a_crop_without_area_repeats_one_sample() -> None:
    frame = noise(2, 20, 30, 3)
    (crop,) = mtcnn_crops(frame, np.float32([[7, 9, 7, 9]]), 24)
    assert (crop == crop[0, 0]).all()


# --- decoding and suppression


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.floats(0.05, 0.9), st.sampled_from([0.0, 0.6, 0.9]), st.data())
def test_decoding(rows: int, columns: int, scale: float, threshold: float, data: st.DataObject) -> None:
    values = st.floats(-8, 8, width=32)
    verdicts = data.draw(arrays.arrays(np.float32, (rows, columns, 16), elements=values))
    probabilities = (1 / (1 + np.exp(-verdicts[..., 0]))).astype(np.float32)
    assume(not (np.abs(probabilities - threshold) < 1e-6).any())  # too close to say
    moves = verdicts[..., 1:5].transpose(2, 0, 1)
    windows, expected, expected_scores = plain.decode_proposals(probabilities, moves, threshold, scale)
    seen, boxes, scores = mtcnn_decode(verdicts, threshold, scale)
    np.testing.assert_allclose(seen, windows.reshape(-1, 4), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(boxes, expected.reshape(-1, 4), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 99), st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.sampled_from(["union", "min"]))
def test_suppression(count: int, seed: int, threshold: float, overlap: Literal["union", "min"]) -> None:
    random = np.random.default_rng(seed)
    corners = random.integers(-20, 60, (count, 2))
    boxes = np.hstack([corners, corners + random.integers(-5, 40, (count, 2))]).astype(np.float32)  # some without an area
    scores = random.integers(0, 5, count).astype(np.float32)  # many ties, which go to the earlier box
    kept = mtcnn_suppress(boxes, scores, threshold, overlap)
    assert kept.tolist() == plain.non_maximum_suppression(boxes, scores, threshold, overlap).tolist()


def test_suppression_of_huge_boxes() -> None:
    boxes = np.float32([[0, 0, 1e18, 1e18], [0, 0, 1e18, 1e18], [-1e18, -1e18, 0, 0]])
    assert mtcnn_suppress(boxes, np.float32([1, 2, 3]), 0.5, "union").tolist() == [2, 1]


def test_a_box_turned_inside_out_drops_no_other() -> None:
    boxes = np.float32([[100, 100, 90, 130], [300, 300, 340, 340], [301, 300, 341, 340]])
    for overlap in ("union", "min"):
        assert mtcnn_suppress(boxes, np.float32([0.9, 0.8, 0.7]), 0.7, overlap).tolist() == [0, 1]  # type: ignore[arg-type]


# --- networks


@settings(deadline=None, max_examples=40)
@given(st.integers(12, 70), st.integers(12, 70), st.integers(0, 99))
def test_pnet(height: int, width: int, seed: int) -> None:
    cascade, expected = made_once(), session("pnet")
    level = channels_last(noise(seed, height, width, 3)[None])[0]
    probabilities, boxes = cascade.propose(level)
    planar = np.ascontiguousarray(level.transpose(2, 0, 1)[None])
    (p,), (b,) = expected.run(["probabilities", "boxes"], {"input": planar})
    assert (probabilities.shape, boxes.shape) == (p[0].shape, b.shape)
    np.testing.assert_allclose(probabilities, p[0], atol=2e-5)
    np.testing.assert_allclose(boxes, b, atol=2e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(12, 70), st.integers(12, 70), st.integers(0, 99), st.floats(0, 1))
def test_pnet_skims(height: int, width: int, seed: int, quantile: float) -> None:
    cascade = made_once()
    level = channels_last(noise(seed, height, width, 3)[None])[0]
    probabilities, boxes = cascade.propose(level)
    coarse = probabilities[::2, ::2]
    limit = float(np.quantile(coarse, quantile))
    assume(0 < limit < 1)
    assume(not ((np.abs(coarse - limit) < 1e-6) & (coarse != limit)).any())  # too close to say
    skimmed, skimmed_boxes = cascade.propose(level, float(np.log(limit / (1 - limit))) - 1e-5)
    promising = np.zeros(probabilities.shape, bool)
    promising[::2, ::2] = coarse >= limit
    padded = np.pad(promising, 1)
    looked = np.any([padded[y : y + len(promising), x : x + promising.shape[1]] for y in range(3) for x in range(3)], axis=0)
    looked[::2, ::2] = True
    assert (skimmed[~looked] == 0).all()
    np.testing.assert_allclose(skimmed[looked], probabilities[looked], atol=1e-6)
    np.testing.assert_allclose(skimmed_boxes[:, looked], boxes[:, looked], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 13])
def test_rnet_and_onet(cascade: MtcnnCascade, count: int) -> None:
    for name, side, method in (("rnet", 24, cascade.refine), ("onet", 48, cascade.decide)):
        images = channels_last(np.stack([noise(seed, side, side, 3) for seed in range(13)])[:count])
        probabilities, values = method(images)
        if not count:
            assert (probabilities.shape, values.shape[0]) == ((0,), 0)
            continue
        outputs = ["probabilities", "boxes", *(["landmarks"] if name == "onet" else [])]
        p, *rest = session(name).run(outputs, {"input": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})  # type: ignore[arg-type]
        np.testing.assert_allclose(probabilities, p, atol=2e-5)
        np.testing.assert_allclose(values, np.hstack(rest), atol=2e-5)


# --- networks in bytes


def logit(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    probabilities = probabilities.astype(np.float64)
    return np.log(probabilities) - np.log1p(-probabilities)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.integers(12, 60), st.integers(12, 60), st.integers(0, 99))
def test_pnet_in_bytes(height: int, width: int, seed: int) -> None:
    cascade = made_once()
    level = channels_last(noise(seed, height, width, 3)[None])[0]
    estimated, exact = cascade.estimate_proposals(level), logit(cascade.propose(level)[0])
    assert estimated.shape == exact.shape
    assert np.abs(estimated - exact).max() < 1.5


def test_rnet_in_bytes(cascade: MtcnnCascade) -> None:
    for count in (0, 1, 3, 4, 8, 13):
        images = channels_last(np.stack([noise(seed, 24, 24, 3) for seed in range(13)])[:count])
        estimated, exact = cascade.estimate_refinements(images), logit(cascade.refine(images)[0])
        assert estimated.shape == exact.shape
        assert np.abs(estimated - exact).max(initial=0) < 1.5


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.integers(30, 120), st.integers(30, 120), st.integers(0, 99), st.sampled_from([(0.6, 0.7), (0.0, 0.0)]))
def test_estimates_change_no_answer(height: int, width: int, seed: int, limits: tuple[float, float]) -> None:
    """At thresholds of 0 noise is full of faces, which the networks themselves have to score. At others a cell of noise may be
    estimated further off than the margin, which was chosen for photographs: so the frames are always the same."""
    frame = noise(seed, height, width + 3, 3)[:, :width]
    near = [None, np.float32([[3, 4, 30, 35]])]
    chosen: dict[str, Any] = {"min_face": 24.0, "thresholds": (*limits, 0.0), "max_candidates": 30}
    plain_answers = made_once(**chosen, estimates=False).detect([frame] * 2, near)
    answers = made_once(**chosen, estimates=True).detect([frame] * 2, near)
    for expected, found in zip(plain_answers, answers, strict=True):
        for wanted, given_ in zip(expected, found, strict=True):
            np.testing.assert_array_equal(given_, wanted)


# --- what is refused


def test_weights_that_do_not_fit() -> None:
    pnet, rnet, onet = weights()
    with pytest.raises(ValueError, match="too few arrays"):
        MtcnnCascade(pnet[:-1], rnet, onet, **SETTINGS)
    with pytest.raises(ValueError, match="too many arrays"):
        MtcnnCascade(pnet, [*rnet, rnet[0]], onet, **SETTINGS)
    with pytest.raises(ValueError, match=r"array 0 of the weights must have the shape \(3, 3, 3, 32\), not \(3, 3, 3, 10\)"):
        MtcnnCascade(pnet, rnet, pnet, **SETTINGS)
    with pytest.raises(ValueError, match="weights must be finite"):
        MtcnnCascade([pnet[0] * np.float32(np.nan), *pnet[1:]], rnet, onet, **SETTINGS)


@pytest.mark.parametrize(
    "wrong",
    [{"min_face": 11.0}, {"min_face": np.inf}, {"factor": 1.0}, {"thresholds": (0.6, 0.7, 1.0)}, {"max_candidates": 0}],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MtcnnCascade(*weights(), **(SETTINGS | wrong))


def test_frames_that_cannot_be_read_in_place(cascade: MtcnnCascade) -> None:
    frame = np.zeros((50, 60, 3), np.uint8)
    for wrong in (frame[::-1], frame[:, ::2], frame[..., 0], frame[:0]):
        with pytest.raises(ValueError, match="frame"):
            cascade.detect([wrong], [None])
    with pytest.raises(TypeError, match="uint8"):
        cascade.detect([frame.astype(np.float32)], [None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="as long as frames"):
        cascade.detect([frame], [])


def test_boxes_that_are_none(cascade: MtcnnCascade) -> None:
    frame = np.zeros((50, 60, 3), np.uint8)
    nan = np.full((1, 4), np.nan, np.float32)
    with pytest.raises(ValueError, match="boxes must be finite"):
        mtcnn_crops(frame, nan, 24)
    with pytest.raises(ValueError, match="size"):
        mtcnn_crops(frame, nan[:0], 1)
    with pytest.raises(ValueError, match="boxes must be finite"):
        mtcnn_suppress(nan, np.ones(1, np.float32), 0.5, "union")
    with pytest.raises(ValueError, match="scores must be finite"):
        mtcnn_suppress(np.ones((1, 4), np.float32), nan[0, :1], 0.5, "union")
    with pytest.raises(ValueError, match=r"near must have the shape \(n, 4\)"):
        cascade.detect([frame], [np.ones(4, np.float32)])
    with pytest.raises(ValueError, match="near must be finite"):
        cascade.detect([frame], [nan])
    with pytest.raises(ValueError, match="level must have the shape"):
        cascade.propose(np.zeros((11, 40, 3), np.float32))
    for method in (cascade.refine, cascade.estimate_refinements):
        with pytest.raises(ValueError, match=r"\(n, 24, 24, 3\)"):
            method(np.zeros((2, 3, 24, 24), np.float32))
    with pytest.raises(ValueError, match="level must"):
        cascade.estimate_proposals(np.zeros((11, 40, 3), np.float32))
    with pytest.raises(ValueError, match="level must be finite"):
        cascade.estimate_proposals(np.full((12, 40, 3), np.nan, np.float32))
