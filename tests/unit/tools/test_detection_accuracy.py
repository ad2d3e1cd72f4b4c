"""How the accuracy of a detector is counted, and what MTCNN reaches on real photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detection import Detections, create_detector
from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.detection_accuracy import (
    DetectionAccuracy,
    Recall,
    comparison,
    count_stray,
    evaluate,
    fitted,
    main,
    match_greedily,
)


class Script:
    """A detector that answers by the level of the image's first pixel."""

    def __init__(self, answers: dict[int, list[list[float]]]) -> None:
        self.answers = answers

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        boxes = np.array(self.answers[int(frame[0, 0, 0])], np.float32).reshape(-1, 4)
        return Detections(boxes, np.linspace(1, 0.8, len(boxes), dtype=np.float32), None)


def album(folder: Path, items: list[dict[str, Any]]) -> Path:
    """A folder of flat images, the level of each its number."""
    for level, item in enumerate(items):
        item["image"] = f"{level}.png"
        cv2.imwrite(str(folder / item["image"]), np.full((20, 20, 3), level, np.uint8))
    (folder / "annotations.jsonl").write_text("\n".join(json.dumps(item) for item in items) + "\n")
    return folder


def test_counting(tmp_path: Path) -> None:
    faces = [
        {"box": [0, 0, 50, 60]},
        {"box": [100, 0, 40, 40]},
        {"box": [200, 0, 39, 80]},  # too small
        {"box": [300, 0, 90, 90], "ignore": True},
        {"box": [400, 0, 50, 50], "mask": "with_mask"},
        {"box": [500, 0, 50, 50], "mask": "without_mask"},
    ]
    folder = album(
        tmp_path,
        [
            {"source": "a", "faces": faces},
            {"source": "b", "faces": [{"box": [0, 0, 80, 80]}]},
            {"source": "negative_scene", "faces": []},
            {"source": "negative_scene", "faces": []},
        ],
    )
    everything = [face["box"] for face in faces]
    accuracy = evaluate(Script({0: everything[1:], 1: [], 2: [[0, 0, 9, 9]] * 3, 3: []}), folder)
    assert accuracy.sources == {"a": Recall(2, 3), "b": Recall(0, 1)}
    assert accuracy.masked == Recall(1, 1)
    assert accuracy.recall == 0.5
    assert (accuracy.faceless_scenes, accuracy.false_boxes, accuracy.false_per_scene) == (2, 3, 1.5)
    assert accuracy.to_dict()["groups"]["masked"] == {"found": 1, "faces": 1}
    assert "50.00%" in accuracy.to_text()
    assert (accuracy.crowds, accuracy.stray_boxes) == (2, 0)
    assert accuracy.milliseconds >= 0


def test_matching_is_one_to_one_and_best_first() -> None:
    faces = [[0, 0, 100, 100], [30, 0, 100, 100]]
    assert match_greedily(np.float32([[15, 0, 100, 100]]), faces) == {0}
    assert match_greedily(np.float32([[28, 0, 100, 100], [30, 0, 100, 100]]), faces) == {0, 1}
    assert match_greedily(np.float32([[0, 0, 100, 100]] * 2), faces) == {0, 1}
    assert match_greedily(np.float32([[0, 0, 100, 100]] * 2), faces[:1]) == {0}
    assert match_greedily(np.float32([[0, 0, 100, 39]]), faces[:1]) == set()
    assert match_greedily(np.float32([[0, 0, 100, 40]]), faces[:1]) == {0}
    assert match_greedily(np.empty((0, 4), np.float32), faces) == set()
    assert match_greedily(np.float32([[0, 0, 1, 1]]), []) == set()


def test_a_stray_box_has_its_middle_in_no_face() -> None:
    faces = [[0, 0, 10, 20], [100, 100, 10, 10]]
    boxes = np.float32([[4, 8, 4, 4], [6, 18, 8, 8], [104, 104, 2, 2], [60, 60, 10, 10], [0, 100, 10, 10]])
    assert count_stray(boxes, faces) == 3
    assert count_stray(boxes[:1], faces) == count_stray(np.empty((0, 4), np.float32), faces) == 0
    assert count_stray(boxes, []) == 5


def test_stray_boxes_are_counted_where_there_are_faces(tmp_path: Path) -> None:
    items = [{"source": "a", "faces": [{"box": [0, 0, 50, 50], "ignore": True}]}, {"source": "negative_scene", "faces": []}]
    accuracy = evaluate(Script({0: [[5, 5, 40, 40], [300, 0, 40, 40]], 1: [[0, 0, 9, 9]]}), album(tmp_path, items))
    assert (accuracy.crowds, accuracy.stray_boxes, accuracy.false_boxes) == (1, 1, 1)
    assert "1 boxes beside the faces of 1 photographs" in accuracy.to_text()


def test_faces_are_counted_by_size(tmp_path: Path) -> None:
    faces = [{"box": [0, 0, 30, 19]}, {"box": [50, 0, 30, 39]}, {"box": [100, 0, 90, 80], "mask": "with_mask"}]
    accuracy = evaluate(Script({0: [[100, 0, 90, 80]]}), album(tmp_path, [{"source": "a", "faces": faces}]))
    assert accuracy.sizes == {"20 to 40 px": Recall(0, 1), "80 px and more": Recall(1, 1)}
    assert "| faces of 20 to 40 px found (1)" in comparison({"mtcnn": accuracy})


def test_photographs_in_frames_of_other_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.full((20, 40, 3), 9, np.uint8)
    for size, inner, scale in (((100, 100), (50, 100), 2.5), ((10, 30), (5, 10), 0.25), ((40, 20), (20, 40), 1.0)):
        frame, factor = fitted(image, size)
        assert (frame.shape, factor) == ((size[1], size[0], 3), scale)
        assert (frame[: inner[0], : inner[1]] == 9).all()
        assert (frame[inner[0] :] == 127).all()
    folder = album(tmp_path, [{"source": "a", "faces": [{"box": [0, 0, 50, 60]}]}])  # of 20 x 20 pixels
    assert evaluate(Script({0: [[0, 0, 500, 600]]}), folder, (200, 300)).sources == {"a": Recall(1, 1)}
    assert main([str(folder), "--at", "64x48", "--at", "80x60"]) == 0
    assert "mtcnn 64x48 | mtcnn 80x60 |" in capsys.readouterr().out
    assert main([str(folder), "--at", "64"]) == 2
    assert "--at takes a width and a height such as 1280x720, not '64'" in capsys.readouterr().err


def test_a_detector_without_weights_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ferengine.detection.retinaface_weights.PACKAGE", "no-such-package-here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = album(tmp_path, [{"source": "negative_scene", "faces": []}])
    assert main([str(folder), "--compare", "--json"]) == 0
    output = capsys.readouterr()
    assert list(json.loads(output.out)) == ["haar", "mtcnn"]
    assert output.err.startswith("retinaface is left out: RetinaFace's weights come with the package")
    assert main([str(folder), "--detector", "retinaface"]) == 1


def test_the_comparison() -> None:
    haar = DetectionAccuracy({"a": Recall(1, 4), "b": Recall(1, 1)}, Recall(0, 2), 29, 7, 324, 11, 12.34)
    mtcnn = DetectionAccuracy({"a": Recall(4, 4), "b": Recall(0, 1)}, Recall(1, 2), 29, 0, 324, 2, 5.0)
    assert comparison({"haar": haar, "mtcnn": mtcnn}).splitlines() == [
        "|                                           |    haar |   mtcnn |",
        "|-------------------------------------------|--------:|--------:|",
        "| unmasked faces found                      |  40.0 % |  80.0 % |",
        "| - a (4)                                   |  25.0 % | 100.0 % |",
        "| - b (1)                                   | 100.0 % |   0.0 % |",
        "| masked faces found (2)                    |   0.0 % |  50.0 % |",
        "| false boxes in 29 scenes without a face   |       7 |       0 |",
        "| boxes beside the faces of 324 photographs |      11 |       2 |",
        "| processor milliseconds a photograph       |    12.3 |     5.0 |",
    ]


def test_an_album_without_faces(tmp_path: Path) -> None:
    accuracy = evaluate(Script({0: []}), album(tmp_path, [{"source": "a", "faces": []}]))
    assert accuracy.recall == accuracy.false_per_scene == 0


def test_folders_that_cannot_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"annotations\.jsonl does not exist"):
        evaluate(Script({}), tmp_path)
    album(tmp_path, [{"source": "a", "faces": []}])
    (tmp_path / "0.png").write_bytes(b"not an image")
    with pytest.raises(UsageError, match=r"0\.png.*line 1.*cannot be read"):
        evaluate(Script({}), tmp_path)
    for line in ("{", "[]", '{"image": "0.png"}'):
        (tmp_path / "annotations.jsonl").write_text(line)
        with pytest.raises(UsageError, match="line 1, is not an object"):
            evaluate(Script({}), tmp_path)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = album(tmp_path, [{"source": "negative_scene", "faces": []}])
    assert main([str(folder), "--detector", "haar", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faceless_scenes"] == 1
    assert main([str(folder)]) == 0
    assert "0.000 false boxes" in capsys.readouterr().out
    assert main([str(folder), "--compare", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out))[:2] == ["haar", "mtcnn"]
    assert main([str(folder), "--compare"]) == 0
    assert "| false boxes in 1 scenes without a face" in capsys.readouterr().out
    assert main([str(tmp_path / "absent")]) == 2
    assert "annotations.jsonl" in capsys.readouterr().err


@pytest.mark.data
def test_mtcnn_on_real_photographs(data_dir: Path) -> None:
    accuracy = evaluate(create_detector("mtcnn"), data_dir / "faces_detection")
    assert accuracy.recall >= 0.86, accuracy.to_text()
    assert accuracy.false_per_scene <= 0.1, accuracy.to_text()
