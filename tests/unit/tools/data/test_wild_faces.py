"""wild_faces: the loader, its split by person, its report, and the faces that are measured."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data.fer2013 import LABELS, load_fer2013
from ferengine_tools.data.wild_faces import is_wild_faces, load_wild_faces, split_of
from ferengine_tools.data.wild_faces_report import make_wild_faces_report
from ferengine_tools.evaluation import sets

main = command("data")

Row = dict[str, str]
ROWS = (("happy", "a", "5"), ("neutral", "b", "f"), ("sad", "a", "6"), ("neutral", "b", "10"), ("angry", "a", "5"))
"""Label, annotator and person: 5 and f (15) are divisible by 5, so for validation; 6 and 10 (16) are not."""


def image_of(number: int) -> Any:
    """Grayscale levels that rise to the right and, for each face otherwise, downwards, BGR uint8 (112, 112, 3)."""
    down, right = np.mgrid[0:112, 0:112]
    return np.repeat((right + (number + 1) * down / 8)[..., None], 3, 2).astype(np.uint8)


def write(folder: Path, change: Callable[[list[Row]], object] = lambda rows: None, side: int = 112) -> Path:
    rows = [
        {"file": f"{number:05}.png", "label": label, "annotator": annotator, "person": person}
        for number, (label, annotator, person) in enumerate(ROWS)
    ]
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for number, row in enumerate(rows):
            archive.writestr(row["file"], cv2.imencode(".png", image_of(number)[:side, :side])[1].tobytes())
    change(rows)
    with (folder / "labels.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_the_faces_and_their_split(tmp_path: Path) -> None:
    data = load_wild_faces(write(tmp_path))
    assert is_wild_faces(tmp_path)
    assert data.images.shape == (5, 60, 60)
    assert [data.classes[label] for label in data.labels] == ["happy", "neutral", "sad", "neutral", "angry"]
    assert data.indices("validation").tolist() == [0, 1, 4]
    assert data.indices("training").tolist() == [2, 3]
    assert not set(data.persons[data.indices("validation")]) & set(data.persons[data.indices("training")])


def test_a_crop_is_the_area_mean_of_the_engines_square(tmp_path: Path) -> None:
    """Pixel (r, c) of the middle 89.6 pixels covers 28/15 pixels a side, from 11.2 on: of a ramp the mean is its centre's."""
    data = load_wild_faces(write(tmp_path))
    centres = 11.2 + (np.arange(48) + 0.5) * 89.6 / 48 - 0.5  # pixel n covers [n, n + 1)
    expected = centres[None, :] + 2 * centres[:, None] / 8
    assert data.crops.shape == (5, 48, 48)
    assert np.abs(data.crops[1].astype(float) - expected).max() < 1.5  # levels are whole numbers
    np.testing.assert_array_equal(data.crops, data.images[:, 6:54, 6:54])


def test_a_person_is_a_hexadecimal_number() -> None:
    assert [split_of(person) for person in ("0", "5", "0a", "b509e2ed")] == [1, 1, 1, int(0xB509E2ED % 5 == 0)]
    with pytest.raises(ValueError):
        split_of("someone")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label", "joy", "row 2: label must be one of angry, .*, not 'joy'"),
        ("person", "someone", "row 2: person must be a hexadecimal number, not 'someone'"),
        ("file", "other.png", "lacks a file that labels.csv names: .*other.png"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    write(tmp_path, lambda rows: rows[0].update({name: value}))
    with pytest.raises(UsageError, match=message):
        load_wild_faces(tmp_path)


def test_it_is_not_taken_for_fer2013(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is wild_faces, not FER-2013: ferengine train takes it as a second --data"):
        load_fer2013(write(tmp_path))


def test_damaged_archives_and_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"00000\.png is not 112 x 112 pixels"):
        load_wild_faces(write(tmp_path, side=100))
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00000.png", bytes(10_000))
    damaged = bytearray((tmp_path / "faces.zip").read_bytes())
    damaged[39:49] = b"\xff" * 10  # behind the name, in the compressed bytes
    (tmp_path / "faces.zip").write_bytes(damaged)
    with pytest.raises(UsageError, match=r"faces\.zip cannot be read: Error -3 while decompressing data"):
        load_wild_faces(tmp_path)
    (tmp_path / "faces.zip").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"faces\.zip cannot be read"):
        load_wild_faces(tmp_path)
    write(tmp_path, lambda rows: [row.pop("person") for row in rows])
    with pytest.raises(UsageError, match=r"labels\.csv has no column person"):
        load_wild_faces(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label,annotator,person\n")
    with pytest.raises(UsageError, match="names no faces"):
        load_wild_faces(tmp_path)


def test_the_report_counts_splits_annotators_and_persons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    report = make_wild_faces_report(load_wild_faces(tmp_path))
    training, validation = report.splits.values()
    assert (training.faces, training.persons, validation.faces, validation.persons, report.shared) == (2, 2, 3, 2, 0)
    assert validation.classes == {**dict.fromkeys(LABELS, 0), "happy": 1, "neutral": 1, "angry": 1}
    assert report.annotators["a"] == {**dict.fromkeys(LABELS, 0), "happy": 1, "sad": 1, "angry": 1}
    main(["report", "--data", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out) == report.to_dict()
    main(["report", "--data", str(tmp_path)])
    assert "by a" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--labels is for FER-2013 and --cache for UTKFace"):
        main(["report", "--data", str(tmp_path), "--cache", str(tmp_path)])


def test_measured_faces_keep_what_lies_around_them(tmp_path: Path) -> None:
    faces = sets.wild_faces(write(tmp_path), "validation")
    assert (len(faces), faces.prior, faces.names) == (3, "everyday", ("00000.png", "00001.png", "00004.png"))
    assert faces.wide is not None
    np.testing.assert_array_equal(faces.images, faces.wide[:, 6:54, 6:54])
    taken = faces.take(np.array([2, 0]))
    assert taken.wide is not None
    np.testing.assert_array_equal(taken.wide, faces.wide[[2, 0]])
    assert (taken.prior, faces.sized(48).wide is faces.wide, faces.sized(64).wide) == ("everyday", True, None)


@pytest.mark.data
def test_the_real_faces(data_dir: Path) -> None:
    data = load_wild_faces(data_dir / "wild_faces")
    assert len(data.images) == 9611
    counts = {
        split: dict(zip(LABELS, np.bincount(data.labels[data.indices(split)], minlength=7).tolist(), strict=True))
        for split in ("training", "validation")
    }
    from ferengine_tools.evaluation.priors import COUNTS

    assert counts["training"] == COUNTS["everyday"]
    assert counts["validation"] == {
        "angry": 63, "disgust": 51, "fear": 3, "happy": 1167, "sad": 77, "surprise": 71, "neutral": 1318,
    }  # fmt: skip


@pytest.mark.parametrize("person", ["-5", "0x5", " 5", "5_5"])
def test_a_person_is_not_written_in_two_ways(tmp_path: Path, person: str) -> None:
    write(tmp_path, lambda rows: rows[0].update(person=person))
    with pytest.raises(UsageError, match="row 2: person must be a hexadecimal number"):
        load_wild_faces(tmp_path)
    write(tmp_path, lambda rows: rows[1].update(person="F"))
    assert load_wild_faces(tmp_path).persons[1] == "f"


def test_a_face_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, lambda rows: rows.append(rows[0]))
    with pytest.raises(UsageError, match=r"row 7: 00000\.png is named twice"):
        load_wild_faces(tmp_path)


def test_the_report_shows_names_as_they_are_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, lambda rows: rows[0].update(annotator="[/a]"))
    main(["report", "--data", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "[/a]" in shown
    assert shown.count("validation") == 4  # a split, two columns and a row, none of them cut
