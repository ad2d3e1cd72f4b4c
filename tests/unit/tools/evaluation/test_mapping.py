"""Folders of labelled faces, and maps between their classes and a model's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.evaluation.faces import LabelledFaces, folder_faces
from ferengine_tools.evaluation.groups import read_groups
from ferengine_tools.evaluation.mapping import LabelMap, load_map, merge


def write_faces(folder: Path, count: int = 2, shape: tuple[int, int] = (60, 60), first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full(shape, first + number, np.uint8))


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    write_faces(tmp_path / "joy", first=10)
    write_faces(tmp_path / "contempt", first=50)
    write_faces(tmp_path / "anger", first=90, shape=(20, 20))
    (tmp_path / "readme.txt").write_text("not a class")
    label_map = LabelMap({"joy": "happy", "contempt": None, "anger": "angry"})
    faces = folder_faces(tmp_path, 48, label_map)
    assert faces.classes == ("angry", "happy")
    assert faces.names == ("anger/0.png", "anger/1.png", "joy/0.png", "joy/1.png")
    assert faces.labels.tolist() == [0, 0, 1, 1]
    assert faces.images.shape == (4, 48, 48)
    assert faces.images[:, 0, 0].tolist() == [90, 91, 10, 11]


def test_two_folders_may_be_one_class(tmp_path: Path) -> None:
    for name in ("fear", "surprise", "joy"):
        write_faces(tmp_path / name, 1)
    faces = folder_faces(tmp_path, 48, LabelMap({"fear": "startled", "surprise": "startled"}))
    assert faces.classes == ("startled", "joy")
    assert faces.labels.tolist() == [0, 1, 0]


def test_folders_that_hold_no_faces(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent is not a folder"):
        folder_faces(tmp_path / "absent", 48, LabelMap())
    with pytest.raises(UsageError, match="holds no classes"):
        folder_faces(tmp_path, 48, LabelMap())
    (tmp_path / "joy").mkdir()
    with pytest.raises(UsageError, match="joy holds no images"):
        folder_faces(tmp_path, 48, LabelMap())
    (tmp_path / "joy" / "one.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"one\.png cannot be read as an image"):
        folder_faces(tmp_path, 48, LabelMap())
    cv2.imwrite(str(tmp_path / "joy" / "half.tif"), np.full((48, 48), 0.5, np.float32))
    with pytest.raises(UsageError, match=r"half\.tif has pixels of 32-bit floats: save it with 8 or 16 bits a channel$"):
        folder_faces(tmp_path, 48, LabelMap())
    (tmp_path / "joy" / "half.tif").unlink()
    cv2.imwrite(str(tmp_path / "joy" / "one.png"), np.zeros((40, 60), np.uint8))
    with pytest.raises(UsageError, match=r"one\.png is 60 x 40 pixels: faces must be cropped square first"):
        folder_faces(tmp_path, 48, LabelMap())


def test_faces_in_deeper_folders_belong_to_the_class_above(tmp_path: Path) -> None:
    write_faces(tmp_path / "joy" / "lab" / "anna", 1, first=10)
    write_faces(tmp_path / "joy" / "lab" / "omar", 1, first=20)
    write_faces(tmp_path / "anger", 1, first=30)
    write_faces(tmp_path / "anger" / ".checkpoints", 1)
    write_faces(tmp_path / ".hidden", 1)
    (tmp_path / "anger" / "._0.png").write_bytes(b"what a Mac keeps beside 0.png")
    faces = folder_faces(tmp_path, 48, LabelMap())
    assert faces.classes == ("anger", "joy")
    assert faces.names == ("anger/0.png", "joy/lab/anna/0.png", "joy/lab/omar/0.png")
    assert faces.images[:, 0, 0].tolist() == [30, 10, 20]
    table = tmp_path / "groups.csv"
    table.write_text("file,age\njoy/lab/omar/0.png,old\n")
    assert read_groups(table, faces.names)["age"].tolist() == ["", "", "old"]


def test_a_map_that_names_no_folder_is_refused(tmp_path: Path) -> None:
    write_faces(tmp_path / "joy", 1)
    with pytest.raises(UsageError, match="the map's folders name 'joi'; the data have joy"):
        folder_faces(tmp_path, 48, LabelMap({"joi": "happy"}))
    with pytest.raises(UsageError, match="the map leaves out all faces"):
        folder_faces(tmp_path, 48, LabelMap({"joy": None}))


def test_outputs_are_merged_and_left_out() -> None:
    outputs = {"angry": "negative", "sad": "negative", "happy": "positive", "contempt": None}
    matrix, classes = LabelMap({}, outputs).matrix(("angry", "happy", "sad", "contempt", "neutral"), ("positive", "negative"))
    assert classes == ("positive", "negative", "neutral")
    merged = merge(np.array([[0.1, 0.2, 0.2, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]]), matrix)
    np.testing.assert_allclose(merged, [[0.4, 0.6, 0.0], [0.0, 0.0, 0.0]])


def test_a_class_that_the_model_lacks_is_named_with_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"the class 'joy', the model angry, happy: say in a map .*joy = false"):
        LabelMap().matrix(("angry", "happy"), ("happy", "joy"))
    with pytest.raises(UsageError, match=r"outputs name 'hapy'; the model knows angry, happy"):
        LabelMap({}, {"hapy": None}).matrix(("angry", "happy"), ("happy",))


def test_a_map_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_text('[folders]\njoy = "happy"\ncontempt = false\n[outputs]\nneutral = false\n')
    assert load_map(path) == LabelMap({"joy": "happy", "contempt": None}, {"neutral": None})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("folders = 3", "'folders' is none of the tables"),
        ('[classes]\na = "b"', "'classes' is none of the tables"),
        ("[folders]\njoy = true", "folders.joy must be the name of a class"),
        ("[folders]\njoy = ''", "folders.joy must be"),
        ("[folders", "is not TOML"),
        (f"folders = {'9' * 5000}", "is not TOML: .*digits"),
        (f"[folders]\na = 0x{'f' * 5000}", "folders.a must be the name of a class .* not a number of thousands of digits"),
    ],
)
def test_a_damaged_map_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        load_map(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_map(tmp_path / "absent.toml")


def test_renamed_faces_keep_their_names_and_groups() -> None:
    faces = LabelledFaces(
        np.arange(3, dtype=np.uint8)[:, None, None], np.array([0, 1, 2]), ("a", "b", "c"), ("x", "y", "z"),
        {"age": np.array(["old", "young", "old"])},
    )  # fmt: skip
    kept = faces.renamed(LabelMap({"a": None, "c": "b"}))
    assert kept.classes == ("b",)
    assert kept.labels.tolist() == [0, 0]
    assert kept.names == ("y", "z")
    assert kept.groups["age"].tolist() == ["young", "old"]
    with pytest.raises(UsageError, match="leaves out all faces"):
        faces.renamed(LabelMap(dict.fromkeys("abc")))
    with pytest.raises(UsageError, match="the map's folders name 'd'; the data have a, b, c"):
        faces.renamed(LabelMap({"a": None, "d": "b"}))


def test_groups_come_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("file,age,place\njoy/1.png,old,here\njoy/0.png,young,\n")
    groups = read_groups(path, ("joy/0.png", "joy/1.png", "joy/2.png"))
    assert {name: values.tolist() for name, values in groups.items()} == {
        "age": ["young", "old", ""],
        "place": ["", "here", ""],
    }


def test_byte_order_marks_are_no_part_of_a_table_or_map(tmp_path: Path) -> None:
    """Excel and Notepad write them."""
    groups, label_map = tmp_path / "groups.csv", tmp_path / "labels.toml"
    groups.write_text("file,age\njoy/0.png,old\n", encoding="utf-8-sig")
    assert read_groups(groups, ("joy/0.png",))["age"].tolist() == ["old"]
    label_map.write_text('[folders]\njoy = "happy"\n', encoding="utf-8-sig")
    assert load_map(label_map) == LabelMap({"joy": "happy"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("age\nold\n", "must have the column file"),
        ("file\njoy/0.png\n", "at least one more"),
        ("file,age\njoy/0.png,1\njoy/0.png,2\n", r"row 3: joy/0\.png is named twice"),
        ("file,age\n0.png,1\n", r"names none of the faces: .* like joy/0\.png"),
    ],
)
def test_a_table_of_groups_that_does_not_fit_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        read_groups(path, ("joy/0.png",))
    with pytest.raises(UsageError, match="cannot be read"):
        read_groups(tmp_path / "absent.csv", ("joy/0.png",))


def test_files_without_a_class_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_faces(tmp_path / "happy")
    assert len(folder_faces(tmp_path, 48, LabelMap())) == 2
    assert not caplog.records
    (tmp_path / "loose.png").touch()
    (tmp_path / "faces.csv").touch()
    (tmp_path / "happy" / "portrait.gif").touch()
    assert len(folder_faces(tmp_path, 48, LabelMap())) == 2
    assert "2 files are in no class or are no images (.png, .jpg" in caplog.text
    assert f"such as {tmp_path / 'loose.png'}" in caplog.text
