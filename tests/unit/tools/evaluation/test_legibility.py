"""Accuracy by yaw and score, and of faces made worse."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ferengine.classification.pose import FACE_POINTS, rotation
from ferengine.errors import UsageError
from ferengine.results import Pose
from ferengine_tools.evaluation.legibility import blurred, by_bin, dimmed, main, shrunk, yaws


def with_landmarks(folder: Path) -> Path:
    """Face n of the list is turned by 2.1 n degrees to the left."""
    header, *rows = (folder / "labels.csv").read_text().splitlines()
    names = [f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"]
    listed = [",".join([header, *names])]
    for number, row in enumerate(rows):
        points = 33 * (FACE_POINTS @ rotation(Pose(-2.1 * number, 0, 0)).T)[:, :2] + 50
        listed.append(",".join([row, *(f"{value:.6f}" for value in points.ravel())]))
    (folder / "labels.csv").write_text("\n".join(listed))
    return folder


def reversed_labels(model: Path) -> Path:
    """The same network with its outputs, and their labels, in the opposite order."""
    proto = onnx.load(model)
    [weights] = proto.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(weights)[:, ::-1]), weights.name))
    other = model.with_name("reversed.onnx")
    onnx.save(proto, other)
    manifest = json.loads(model.with_suffix(".json").read_text())
    manifest |= {"labels": manifest["labels"][::-1], "sha256": hashlib.sha256(other.read_bytes()).hexdigest()}
    other.with_suffix(".json").write_text(json.dumps(manifest))
    return other


def test_yaw_is_that_of_the_listed_landmarks(wild: Path) -> None:
    with pytest.raises(UsageError, match="no landmarks"):
        yaws(wild, ["0.png"])
    np.testing.assert_allclose(yaws(with_landmarks(wild), ["20.png", "0.png"]), [42, 0], atol=0.01)


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    right = np.array([True, False, True, True])
    bins = list(by_bin(np.array([0.0, 0.5, 0.5, 1.0]), (0.0, 0.5, 1.0, 1.0), right))
    assert [row[:2] for row in bins] == [("0-0.5", 1), ("0.5-1", 3), ("1-1", 1)]
    assert [row[2] for row in bins] == [1.0, pytest.approx(2 / 3), 1.0]
    assert math.isnan(next(by_bin(np.array([3.0]), (0.0, 1.0), right[:1]))[2])


def test_faces_are_made_worse_by_as_much_as_asked() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    np.testing.assert_array_equal(shrunk(images, 48), images)
    blocks = images.reshape(2, 12, 4, 12, 4).mean((2, 4))
    assert shrunk(images, 12).std() <= blocks.std() + 1
    np.testing.assert_array_equal(blurred(images, 0), images)
    deviations = [blurred(images, sigma).std() for sigma in (0, 1, 2, 3)]
    assert deviations == sorted(deviations, reverse=True)
    np.testing.assert_allclose(dimmed(images, 0.25), images / 4, atol=0.51)


def test_the_command_prints_a_table_of_each_kind(
    bar_models: Any, wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bar_models.write(tmp_path)
    assert main(["--data", str(with_landmarks(wild)), "--model", str(model)]) == 0
    printed = capsys.readouterr().out
    assert main(["--data", str(wild), "--model", str(reversed_labels(model))]) == 0
    assert capsys.readouterr().out == printed
    assert main(["--data", str(wild), "--model", str(bar_models.write(tmp_path, name="two", labels=("low", "high")))]) == 2
    assert "the model knows low, high; the classes of the data are angry, " in " ".join(capsys.readouterr().err.split())
    assert "| yaw, degrees | 0-10 | 10-20 |" in printed
    assert "| faces | 1 | 1 | 1 | 1 | 1 | 3 |" in printed  # 0, 5, 10, ... of them are validation: 0, 10.5, ..., 73.5 degrees
    for name in ("largest score", "width, pixels", "blur, sigma", "light"):
        assert f"| {name} |" in printed
