"""The most confident mistakes, and the images of an evaluation."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.vision import cv2
from ferengine_tools.evaluation.confusion_matrix import draw_confusion, fractions, in_paper_order
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.mistakes import find_mistakes, write_mistakes
from ferengine_tools.evaluation.paper import CLASSES, TABLE_ONE

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [0.05, 0.95]])
ACTUAL = np.array([0, 0, 0, 1, 0])


def faces() -> LabelledFaces:
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((1, 48, 48), 40, np.uint8)
    return LabelledFaces(images, ACTUAL, ("calm", "loud"), tuple(f"row {row}" for row in range(5)))


def test_the_surest_come_first_and_no_right_answer_comes() -> None:
    found = find_mistakes(PROBABILITIES, ACTUAL, ("calm", "loud"))
    assert [(each.row, each.actual, each.predicted, each.confidence) for each in found] == [
        (4, "calm", "loud", 0.95),
        (1, "calm", "loud", 0.8),
        (2, "calm", "loud", 0.6),
        (3, "loud", "calm", 0.7),
    ]
    assert [each.row for each in find_mistakes(PROBABILITIES, ACTUAL, ("calm", "loud"), per_class=1)] == [4, 3]


def test_mistakes_are_written_as_files_and_a_sheet(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    out = tmp_path / "errors"
    write_mistakes(out, find_mistakes(PROBABILITIES, ACTUAL, ("calm", "loud")), faces(), "title")
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == [
        "calm/01_loud_95.png", "calm/02_loud_80.png", "calm/03_loud_60.png", "loud/01_calm_70.png", "mistakes.png",
    ]  # fmt: skip
    np.testing.assert_array_equal(cv2.imread(str(out / "calm/01_loud_95.png"), cv2.IMREAD_GRAYSCALE), faces().images[4])
    rows = list(csv.DictReader((out / "mistakes.csv").open()))
    assert rows[0] == {
        "file": "calm/01_loud_95.png", "actual": "calm", "predicted": "loud", "confidence": "0.9500", "source": "row 4",
    }  # fmt: skip
    sheet = cv2.imread(str(out / "mistakes.png"))
    assert sheet is not None
    assert sheet.shape[1] > 400
    with pytest.raises(UsageError, match="errors is not an empty folder"):
        write_mistakes(out, [], faces(), "title")


def test_labels_and_names_of_any_kind_make_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    classes, out = ("..", "fear/surprise"), tmp_path / "errors"
    named = replace(faces(), names=tuple(os.fsdecode(b"caf\xe9") for _ in faces().names))
    write_mistakes(out, find_mistakes(PROBABILITIES, ACTUAL, classes, per_class=1), named, "title")
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["%2E%2E/01_fear%2Fsurprise_95.png", "fear%2Fsurprise/01_%2E%2E_70.png", "mistakes.png"]
    rows = list(csv.DictReader((out / "mistakes.csv").open(encoding="utf-8")))
    assert [(row["actual"], row["source"]) for row in rows] == [(name, r"caf\udce9") for name in classes]
    assert [path.name for path in tmp_path.iterdir()] == ["errors"]


def test_a_model_without_mistakes_leaves_an_empty_list(tmp_path: Path) -> None:
    write_mistakes(tmp_path / "errors", [], faces(), "title")
    assert [path.name for path in (tmp_path / "errors").iterdir()] == ["mistakes.csv"]


def test_shares_of_each_actual_class() -> None:
    found = fractions([[3, 1], [0, 0]])
    np.testing.assert_allclose(found[0], [0.75, 0.25])
    assert np.isnan(found[1]).all()


def test_rows_and_columns_follow_the_order_of_the_paper() -> None:
    turned = CLASSES[::-1]
    np.testing.assert_array_equal(in_paper_order(TABLE_ONE[::-1, ::-1], turned), TABLE_ONE)
    assert in_paper_order(np.eye(2), ("calm", "loud")) is None
    assert TABLE_ONE.shape == (7, 7)
    assert TABLE_ONE.diagonal().tolist() == [0.59, 0.69, 0.61, 0.81, 0.71, 0.61, 0.70]


@pytest.mark.parametrize("classes", [CLASSES, ("calm", "loud")])
def test_the_confusion_matrix_is_drawn(classes: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `train`)")
    path = tmp_path / "new" / "confusion.png"
    draw_confusion(path, np.eye(len(classes), dtype=int).tolist(), classes, "title")
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    assert width / height == pytest.approx(2 if classes == CLASSES else 1, rel=0.05)  # the one of Zhao's paper stands beside
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    draw_confusion(path, np.eye(len(classes), dtype=int).tolist(), classes, " + ".join(["a model"] * 20))
    longer = cv2.imread(str(path))
    assert longer is not None
    assert longer.shape[0] > height  # a title of several lines has room
    with pytest.raises(SinkError, match=r"confusion\.nothing cannot be written"):
        draw_confusion(tmp_path / "confusion.nothing", [[1, 0], [0, 1]], ("calm", "loud"), "title")
