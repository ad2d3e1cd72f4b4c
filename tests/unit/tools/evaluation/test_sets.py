"""The public sets as labelled faces: copies left out, contempt, and UTKFace's groups."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data import utkface
from ferengine_tools.data.fer2013 import LABELS8
from ferengine_tools.evaluation.mapping import LabelMap
from ferengine_tools.evaluation.selection import Selection, load_faces
from ferengine_tools.evaluation.sets import fer2013_faces, utkface_faces

evaluate = command("evaluate")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """fer2013.csv: 12 images to train on; of the 4 of PublicTest one is a copy, one a copy with noise."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (14, 6, 6)).astype(np.uint8)
    images = [cv2.resize(image, (48, 48), interpolation=cv2.INTER_CUBIC).astype(int) for image in coarse]
    near = np.clip(images[1] + rng.integers(-3, 4, (48, 48)), 0, 255)
    rows = [(image, "Training") for image in images[:12]]
    rows += [(image, "PublicTest") for image in (images[0], near, images[12], images[13])]
    with (tmp_path / "fer2013.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["emotion", "pixels", "Usage"])
        writer.writerows([number % 7, " ".join(map(str, image.ravel())), usage] for number, (image, usage) in enumerate(rows))
    return tmp_path / "fer2013.csv"


def test_copies_and_near_copies_are_left_out(photographs: Path) -> None:
    assert fer2013_faces(photographs, "public").names == ("row 12", "row 13", "row 14", "row 15")
    assert fer2013_faces(photographs, "public", without_copies="exact").names == ("row 13", "row 14", "row 15")
    assert fer2013_faces(photographs, "public", without_copies="near").names == ("row 14", "row 15")
    with pytest.raises(UsageError, match="no faces of the split private"):
        fer2013_faces(photographs, "private")


def test_contempt_is_the_crowds(photographs: Path, bar_models: Any, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    with photographs.with_name("fer2013new.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Usage", "Image name", *names])
        for number in range(16):
            votes = {"contempt": 9} if number == 15 else {"neutral": 9}
            usage = "Training" if number < 12 else "PublicTest"
            writer.writerow([usage, f"fer{number:07}.png", *(votes.get(name, 0) for name in names)])
    faces = fer2013_faces(photographs, "public", labels="ferplus8")
    assert faces.classes == LABELS8
    assert faces.labels.tolist() == [5, 6, 0, 7]
    model = bar_models.write(photographs.parent, labels=LABELS8)
    evaluate(["--model", str(model), "--data", str(photographs), "--labels", "ferplus8", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["recall"]["contempt"] == 0
    assert np.sum(found["confusion"], axis=1).tolist() == [1, 0, 0, 0, 0, 1, 1, 1]


def people() -> utkface.UtkFace:
    """Four faces of the test split and one of training; the second is misread by a network that calls all male."""
    return utkface.UtkFace(
        images=np.zeros((5, 48, 48), np.uint8),
        gender=np.array([0, 1, 0, 0, 1]),
        age=np.array([1, 25, 25, 80, 30]),
        ethnicity=np.array([0, 2, 2, 3, 0]),
        split=np.array([2, 2, 2, 2, 0]),
        names=np.array(["a", "b", "c", "d", "e"]),
        detected=np.ones(5, bool),
        moved=np.zeros(5, bool),
        skipped=(),
    )


def test_gender_metrics_by_age_and_ethnicity(
    bar_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(utkface, "load_utkface", lambda path, cache: kept.append(cache) or people())
    faces = utkface_faces(tmp_path, "test")
    assert faces.classes == ("male", "female")
    assert faces.groups["age"].tolist() == ["0-2", "20-29", "20-29", "70+"]
    assert faces.groups["ethnicity and gender"].tolist() == ["White male", "Asian female", "Asian male", "Indian male"]

    model = bar_models.write(tmp_path, labels=("male", "female"), task="gender", gain=0.0)  # ties go to the first
    command = ["--model", str(model), "--data", str(tmp_path), "--cache", str(tmp_path / "cache")]
    evaluate([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["faces"], found["accuracy"]) == ("test", 4, 0.75)
    assert kept[-1] == tmp_path / "cache"
    groups = {each["group"]: each for each in found["groups"]["ethnicity"]}
    assert (groups["Asian"]["correct"], groups["Asian"]["faces"]) == (1, 2)
    assert groups["Asian"]["low"] == pytest.approx(0.0945, abs=1e-3)  # Wilson's, 1 of 2
    assert "table_one" not in found
    evaluate([*command, "--split", "test"])
    printed = capsys.readouterr().out
    assert "| Asian     |     2 |       50.0 |" in printed
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in table)  # no line is wrapped
    assert "of these right %" in table[0]
    with pytest.raises(UsageError, match="--cache is for the crops of UTKFace"):
        evaluate([*command, "--split", "folder"])
    with pytest.raises(UsageError, match="for a model of gender choose one of train, training, validation, test, folder"):
        evaluate([*command, "--split", "private"])


def test_a_data_set_of_the_other_task_is_named(tmp_path: Path) -> None:
    (tmp_path / "20_1_0_20170112213500903.jpg").touch()
    with pytest.raises(UsageError, match="is UTKFace, which has labels of gender: choose another --model, such as gender"):
        load_faces(Selection(tmp_path), "expression", 48, LabelMap())
    for name in ("labels.csv", "faces.zip"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="is wild_faces, which has labels of expression"):
        load_faces(Selection(tmp_path), "gender", 48, LabelMap())
