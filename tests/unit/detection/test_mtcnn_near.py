"""Searching only near known faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import UsageError
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.tracking.matching import iou_matrix
from ferengine_tools.near_search import NearSearch, every_nth, main, measure

DETECTOR = MtcnnDetector()


@pytest.fixture(scope="module")
def pair() -> NDArray[np.uint8]:
    """The same face twice, one half as large."""
    frame = np.zeros((512, 800, 3), np.uint8)
    frame[:, :512], frame[128:384, 530:786] = ASTRONAUT.load(), ASTRONAUT.load()[::2, ::2]
    return frame


def test_only_the_faces_near_the_boxes(pair: NDArray[np.uint8]) -> None:
    everywhere = DETECTOR.detect(pair).boxes
    assert len(everywhere) == 2
    for box in everywhere:
        found = DETECTOR.detect(pair, near=box[None]).boxes
        assert len(found) == 1
        assert iou_matrix(found, [box])[0, 0] > 0.9
    both = DETECTOR.detect(pair, near=everywhere).boxes
    assert (iou_matrix(both, everywhere).max(axis=0) > 0.9).all()
    assert len(DETECTOR.detect(pair, near=np.empty((0, 4), np.float32))) == 0


@pytest.mark.parametrize("shift", [(-0.6, 0.4), (0.5, -0.5), (0.3, 0.7)])
@pytest.mark.parametrize("growth", [0.8, 1.0, 1.25])
def test_faces_that_moved_and_grew(pair: NDArray[np.uint8], shift: tuple[float, float], growth: float) -> None:
    for x, y, w, h in DETECTOR.detect(pair).boxes:
        old = np.float32([[x + shift[0] * w, y + shift[1] * h, w * growth, h * growth]])
        found = DETECTOR.detect(pair, near=old).boxes
        assert iou_matrix(found, [[x, y, w, h]]).max() > 0.8


def test_a_small_box_does_not_find_a_large_face(pair: NDArray[np.uint8]) -> None:
    x, y, w, h = max(DETECTOR.detect(pair).boxes, key=lambda box: float(box[2]))
    inside = np.float32([[x + 0.45 * w, y + 0.45 * h, 0.15 * w, 0.15 * h]])
    assert not (iou_matrix(DETECTOR.detect(pair, near=inside).boxes, [[x, y, w, h]]) > 0.5).any()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.floats(-(2.0**127), 2.0**127, width=32) | st.floats(-300, 900, width=32)] * 4), max_size=4))
def test_boxes_of_any_size_and_place(boxes: list[tuple[float, ...]]) -> None:
    frame = ASTRONAUT.load()[:200, :300]
    near = np.array(boxes, np.float32).reshape(-1, 4)
    with np.errstate(over="ignore"):
        finite = np.isfinite(near[:, :2] + near[:, 2:]).all()
    if finite:
        found = DETECTOR.detect(frame, near=near)
        assert np.isfinite(found.boxes).all()
    else:
        with pytest.raises(UsageError, match="finite"):
            DETECTOR.detect(frame, near=near)


def test_what_is_refused(pair: NDArray[np.uint8]) -> None:
    for near in (np.zeros(4), np.zeros((1, 5)), np.full((1, 4), np.nan)):
        with pytest.raises(UsageError, match=r"\(n, 4\): x, y, w, h"):
            DETECTOR.detect(pair, near=near)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="1 for 2 frames"):
        DETECTOR.detect_many([pair, pair], [None])


def test_measuring_recall(pair: NDArray[np.uint8]) -> None:
    """The second face comes between two full scans and is found by the next one."""
    alone = pair.copy()
    alone[:, 512:] = 0
    frames = [(0.0, alone), (0.2, alone), (0.4, pair), (0.6, pair), (1.0, pair), (1.2, pair)]
    result = measure(frames, DETECTOR, full_scan=1.0)
    assert (result.frames, result.faces, result.found, result.extra) == (6, 10, 8, 0)
    assert result.recall == 0.8
    assert 0 < result.near_ms < result.full_ms
    assert NearSearch(0, 0, 0, 0, 0.0, 0.0).recall == 1


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.mp4")]) != 0
    assert "absent.mp4" in capsys.readouterr().err
    assert main(["x.mp4", "--every", "0"]) == 2


@pytest.mark.data
def test_recall_on_a_clip(data_dir: Path) -> None:
    result = measure(every_nth(str(data_dir / "clips" / "woman2.mp4"), 6), MtcnnDetector(), full_scan=1.0)
    assert result.frames > 50
    assert result.recall >= 0.98
    assert result.near_ms < result.full_ms
