"""FER-2013 as a table and as sheets of tiles, whole and damaged."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data.fer2013 import LABELS, load_fer2013

PIXELS = np.random.default_rng(2).integers(0, 256, (4, 48, 48), np.uint8)
EMOTIONS = (3, 0, 6, 2)
USAGES = ("Training", "PublicTest", "PrivateTest", "Training")
VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
Row = dict[str, str]


def table(path: Path, change: Callable[[list[Row]], object] = lambda rows: None) -> Path:
    rows = [
        {"emotion": str(emotion), "pixels": " ".join(map(str, image.ravel())), "Usage": usage}
        for emotion, image, usage in zip(EMOTIONS, PIXELS, USAGES, strict=True)
    ]
    change(rows)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def tiles(folder: Path, change: Callable[[list[Row]], object] = lambda rows: None) -> Path:
    """Two sheets of one row of 64 faces each, 70 of them listed; face n is of the even grayscale n."""
    rows = [{"emotion": str(n % 7), "usage": USAGES[n % 4], **dict.fromkeys(VOTES, "0"), VOTES[n % 7]: "10"} for n in range(70)]
    change(rows)
    with (folder / "labels.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for sheet in range(2):
        greys = np.repeat(np.arange(64, dtype=np.uint8) + 64 * sheet, 48)
        image = np.broadcast_to(greys, (48, 64 * 48))
        assert cv2.imwrite(str(folder / f"tiles-{sheet}.webp"), np.ascontiguousarray(image), [cv2.IMWRITE_WEBP_QUALITY, 101])
    return folder


def test_the_table(tmp_path: Path) -> None:
    data = load_fer2013(table(tmp_path / "fer2013.csv"))
    np.testing.assert_array_equal(data.images, PIXELS)
    assert data.images.dtype == np.uint8
    assert data.labels.tolist() == list(EMOTIONS)
    assert [LABELS[n] for n in data.labels] == ["happy", "angry", "neutral", "fear"]
    assert data.votes is None
    assert data.indices("training").tolist() == [0, 3]
    assert data.indices("public").tolist() == [1]
    assert data.indices("private").tolist() == [2]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("emotion", "7", r"row 4: emotion must be 0 to 6, not '7'"),
        ("emotion", "-1", r"row 4: emotion"),
        ("emotion", "", r"row 4: emotion"),
        ("emotion", "3" * 5000, r"row 4: emotion"),
        ("Usage", "Validation", r"row 4: Usage must be one of Training, PublicTest, PrivateTest, not 'Validation'"),
        ("pixels", "1 2 3", r"row 4: 2304 pixels expected, found 3"),
        ("pixels", "", r"row 4: 2304 pixels expected, found 0"),
        ("pixels", " ".join(["9"] * 2305), r"found 2305"),
        ("pixels", " ".join(["256"] * 2304), r"row 4: pixels must be 0 to 255"),
        ("pixels", " ".join(["-1"] * 2304), r"row 4: pixels must be 0 to 255"),
        ("pixels", " ".join(["9" * 20] * 2304), r"row 4: pixels must be 0 to 255"),
        ("pixels", "grayscale", r"row 4: pixels must be numbers"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    path = table(tmp_path / "fer2013.csv", lambda rows: rows[2].update({column: value}))
    with pytest.raises(UsageError, match=rf"fer2013\.csv, {message}" if message.startswith("row") else message):
        load_fer2013(path)


@pytest.mark.parametrize("column", ["emotion", "pixels", "Usage"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = table(tmp_path / "fer2013.csv", lambda rows: [row.pop(column) for row in rows])
    with pytest.raises(UsageError, match=f"no column {column}"):
        load_fer2013(path)


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "fer2013.csv")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UsageError, match=r"row 5: .*truncated"):
        load_fer2013(path)


def test_table_truncated_between_two_rows_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_fer2013(table(tmp_path / "fer2013.csv"))
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        f"{tmp_path / 'fer2013.csv'} holds 2 training, 1 public, 1 private faces, where the competition's has 28,709 training, "
        "3,589 public, 3,589 private: is it truncated?"
    )


def test_complete_table_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ferengine_tools.data.fer2013._FACES", {"training": 2, "public": 1, "private": 1})
    load_fer2013(table(tmp_path / "fer2013.csv"))
    assert not caplog.records


def test_other_layouts_may_be_of_any_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A person's own images come as folders."""
    load_fer2013(folders(tmp_path / "folders"))
    (tmp_path / "tiles").mkdir()
    load_fer2013(tiles(tmp_path / "tiles"))
    assert not caplog.records


def test_a_byte_order_mark_is_no_part_of_the_table(tmp_path: Path) -> None:
    path = table(tmp_path / "fer2013.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_fer2013(path).labels.tolist() == list(EMOTIONS)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text("emotion,pixels,Usage\n")
    with pytest.raises(UsageError, match="no faces"):
        load_fer2013(path)


@pytest.mark.parametrize("name", ["absent", "absent.csv", "."])
def test_neither_table_nor_tiles(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="neither"):
        load_fer2013(tmp_path / name)


def test_the_tiles(tmp_path: Path) -> None:
    data = load_fer2013(tiles(tmp_path))
    expected = np.broadcast_to(np.arange(70)[:, None, None], (70, 48, 48))
    assert np.abs(data.images.astype(int) - expected).max() <= 3  # WebP holds colours, grayscale comes back rounded
    assert data.labels.tolist() == [n % 7 for n in range(70)]
    assert data.votes is not None
    np.testing.assert_array_equal(data.votes, 10 * np.eye(7, dtype=np.float32)[data.labels])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"emotion": "9"}, "row 7: emotion"),
        ({"usage": "Test"}, "row 7: usage"),
        ({"fear": "many"}, "row 7: the votes must be numbers"),
    ],
)
def test_a_wrong_row_of_the_listing_is_named(tmp_path: Path, change: Row, message: str) -> None:
    folder = tiles(tmp_path, lambda rows: rows[5].update(change))
    with pytest.raises(UsageError, match=rf"labels\.csv, {message}"):
        load_fer2013(folder)


def test_a_missing_sheet_is_noticed(tmp_path: Path) -> None:
    (tiles(tmp_path) / "tiles-1.webp").unlink()
    with pytest.raises(UsageError, match="names 70 faces, the sheets hold 64"):
        load_fer2013(tmp_path)


def test_a_truncated_sheet_is_named(tmp_path: Path) -> None:
    path = tiles(tmp_path) / "tiles-1.webp"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"tiles-1\.webp.*truncated"):
        load_fer2013(tmp_path)


def folders(folder: Path) -> Path:
    """The faces of the table as the common image folders."""
    for number, (image, emotion, usage) in enumerate(zip(PIXELS, EMOTIONS, USAGES, strict=True)):
        path = folder / ("train" if usage == "Training" else "test") / LABELS[emotion] / f"{usage}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    return folder


def test_the_image_folders(tmp_path: Path) -> None:
    data = load_fer2013(folders(tmp_path))
    assert data.votes is None
    found = {
        (int(label), int(usage), image.tobytes())
        for label, usage, image in zip(data.labels, data.usage, data.images, strict=True)
    }
    usages = [("Training", "PublicTest", "PrivateTest").index(usage) for usage in USAGES]
    assert found == {(label, usage, image.tobytes()) for label, usage, image in zip(EMOTIONS, usages, PIXELS, strict=True)}


def test_other_image_folders_are_refused(tmp_path: Path) -> None:
    face = next(folders(tmp_path).glob("train/*/*.png"))
    for wrong, message in (
        (tmp_path / "train" / "bored" / face.name, "bored.*must be one of angry"),
        (face.with_name("face.png"), "must begin with one of Training, PublicTest, PrivateTest"),
    ):
        wrong.parent.mkdir(exist_ok=True)
        face.rename(wrong)
        with pytest.raises(UsageError, match=message):
            load_fer2013(tmp_path)
        wrong.rename(face)
    face.write_bytes(face.read_bytes()[:60])
    with pytest.raises(UsageError, match=rf"{face.name} is not an image of 48 x 48"):
        load_fer2013(tmp_path)


def test_empty_image_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="holds no faces"):
        load_fer2013(tmp_path)


@pytest.mark.data
def test_the_real_faces(data_dir: Path) -> None:
    data = load_fer2013(data_dir / "fer2013")
    assert data.name == "FER-2013"
    assert len(data.images) == 35_887
    assert [len(data.indices(split)) for split in ("training", "public", "private")] == [28_709, 3_589, 3_589]
    assert np.bincount(data.labels).tolist() == [4953, 547, 5121, 8989, 6077, 4002, 6198]
    assert data.images[data.indices("training")].mean() == pytest.approx(129.5, abs=1.0)


def test_files_that_are_no_faces_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folders(tmp_path)
    whole = load_fer2013(folder)
    first = sorted((folder / "train").glob("*/*"))[0]
    first.rename(first.with_suffix(".PNG"))
    assert np.array_equal(load_fer2013(folder).images, whole.images)
    assert not caplog.records
    (first.parent / "deeper").mkdir()
    (first.parent / "deeper" / first.name).touch()
    (first.parent / ".hidden.png").touch()
    (folder / "test" / "notes.txt").touch()
    assert len(load_fer2013(folder).images) == len(whole.images)
    assert f"2 files are left out, such as {first.parent / 'deeper' / first.name}" in caplog.text
