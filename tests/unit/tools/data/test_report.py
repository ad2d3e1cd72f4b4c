"""``ferengine data report``, and the rows that are left without copies across the splits."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from command_help import command
from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data import utkface as module
from ferengine_tools.data.fer2013 import LABELS, Fer2013
from ferengine_tools.data.protocol import duplicates, training_rows, unseen_rows
from ferengine_tools.data.repeats import count_by_split, repeats_table
from ferengine_tools.data.report import make_report
from ferengine_tools.data.utkface import SPLITS as UTKFACE_SPLITS
from ferengine_tools.data.utkface import UtkFace

main = command("data")

TRAINING, PUBLIC, PRIVATE = 0, 1, 2


def faces(count: int) -> NDArray[np.uint8]:
    """Images that resemble each other no more than strangers do, uint8 (count, 48, 48)."""
    rng = np.random.default_rng(11)
    images = np.empty((count, 48, 48), np.uint8)
    for image in images:
        coarse = cv2.resize(rng.normal(0, 1, (5, 5)).astype(np.float32), (48, 48), interpolation=cv2.INTER_CUBIC)
        image[:] = np.clip(128 + 40 * coarse, 0, 255)
    return images


@pytest.fixture
def data() -> Fer2013:
    """Ten faces: 0 to 5 training, 6 and 7 public, 8 and 9 private. 1 and 8 are 0 again, 9 is 2 brightened, 5 is 6 in the
    mirror, 4 is blank."""
    images = faces(10)
    images[1] = images[8] = images[0]
    images[9] = np.clip(images[2] * 0.7 + 40, 0, 255)
    images[5] = images[6][:, ::-1]
    images[4] = 200
    labels = np.array([0, 0, 3, 3, 6, 1, 1, 2, 4, 3])
    return Fer2013(images, labels, np.repeat([TRAINING, PUBLIC, PRIVATE], [6, 2, 2]), None)


def test_what_is_twice(data: Fer2013) -> None:
    report = make_report(data)
    training, public, private = report.splits.values()
    assert (training.faces, public.faces, private.faces, report.faces) == (6, 2, 2, 10)
    assert training.classes == {**dict.fromkeys(LABELS, 0), "angry": 2, "happy": 2, "neutral": 1, "disgust": 1}
    assert (training.blank, public.blank, private.blank, report.blank) == (1, 0, 0, [4])
    assert training.copies == {"training": 2, "public": 0, "private": 2}
    assert public.copies == {"training": 0, "public": 0, "private": 0}
    assert private.copies == {"training": 1, "public": 0, "private": 0}
    assert training.near_copies == {"training": 2, "public": 1, "private": 3}
    assert public.near_copies == {"training": 1, "public": 0, "private": 0}
    assert private.near_copies == {"training": 2, "public": 0, "private": 0}
    assert (report.pairs, report.mirrored) == (2, 1)
    assert (report.photographs, report.most_shown) == (3, 3)
    assert report.disagreeing == 1  # the face that is angry twice and sad once
    assert report.training_without_test_copies == 2
    assert report.unseen == {"public": 1, "private": 0}


def test_rows_without_copies(data: Fer2013) -> None:
    assert training_rows(data).tolist() == [0, 1, 2, 3, 4, 5]
    assert training_rows(data, without_test_copies=True).tolist() == [3, 4]
    assert unseen_rows(data, "public").tolist() == [7]
    assert unseen_rows(data, "private").tolist() == []


def test_nothing_twice(data: Fer2013) -> None:
    report = make_report(replace(data, images=faces(10)))
    assert report.pairs == report.photographs == report.disagreeing == 0
    assert report.most_shown == 1
    assert report.blank == []
    assert report.training_without_test_copies == 6
    assert report.unseen == {"public": 2, "private": 2}


@pytest.fixture
def table(tmp_path: Path, data: Fer2013) -> Path:
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [
        f"{label},{' '.join(map(str, image.ravel()))},{usages[usage]}"
        for label, image, usage in zip(data.labels, data.images, data.usage, strict=True)
    ]
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return path


def test_the_command(table: Path, data: Fer2013, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", "--data", str(table), "--json"])
    assert json.loads(capsys.readouterr().out) == make_report(data).to_dict()
    main(["report", "--data", str(table)])
    text = " ".join(capsys.readouterr().out.split())
    assert "3 photographs are shown more than once (one 3 times), 1 of them with more than one label" in text
    assert "2 training faces are left" in text
    assert "Blank: rows 4." in text


@pytest.fixture
def utkface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five faces of known labels, one of them twice and once more in the mirror; cropping is not what is tested here."""
    images = faces(5)
    images[1] = images[0]
    images[4] = images[0][:, ::-1]
    images[3] = 90
    known = UtkFace(
        images=images,
        gender=np.array([0, 1, 1, 0, 1]),
        age=np.array([1, 25, 26, 70, 9]),
        ethnicity=np.array([0, 2, 2, 4, 1]),
        split=np.array([0, 0, 2, 2, 1]),
        names=np.array(list("abcde")),
        detected=np.array([True, True, False, True, True]),
        moved=np.array([False, True, True, False, False]),
        skipped=("odd.jpg",),
    )
    monkeypatch.setattr("ferengine_tools.data.utkface.load_utkface", lambda path, cache: known)
    return tmp_path / "utkface.zip"


def test_utkface(utkface: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", "--data", str(utkface), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["faces"], report["moved"], report["undetected"], report["skipped"]) == (5, 2, 1, ["odd.jpg"])
    training, validation, test = report["splits"].values()
    assert (training["faces"], validation["faces"], test["faces"]) == (2, 1, 2)
    assert training["gender"] == test["gender"] == {"male": 1, "female": 1}
    assert test["ethnicity"] == {"White": 0, "Black": 0, "Asian": 1, "Indian": 0, "other": 1}
    assert {name: count for name, count in test["age"].items() if count} == {"20-29": 1, "70+": 1}
    assert {name: count for name, count in validation["age"].items() if count} == {"3-9": 1}
    assert training["copies"] == {"training": 2, "validation": 0, "test": 0}
    assert training["near_copies"] == {"training": 2, "validation": 2, "test": 0}
    assert validation["near_copies"] == {"training": 1, "validation": 0, "test": 0}
    assert test["near_copies"] == {"training": 0, "validation": 0, "test": 0}
    assert (training["blank"], validation["blank"], test["blank"], report["blank"]) == (0, 0, 1, ["d"])
    assert (report["pairs"], report["mirrored"], report["photographs"], report["most_shown"]) == (1, 1, 1, 3)
    assert report["disagreeing"] == 1  # a is male, b and e are female
    main(["report", "--data", str(utkface)])
    text = " ".join(capsys.readouterr().out.split())
    assert "2 faces went to the split of a near-duplicate" in text
    assert "did not find 1" in text
    assert "1 photographs are shown more than once (one 3 times), 1 of them with more than one gender" in text
    assert "Blank: d." in text


def test_cut_faces_are_kept_and_taken_from_the_users_cache(
    utkface: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[Path | None] = []
    known = module.load_utkface(utkface, None)
    monkeypatch.setattr(module, "load_utkface", lambda path, cache: kept.append(cache) or known)
    monkeypatch.setattr(module, "user_cache", lambda: tmp_path / "usual")
    main(["report", "--data", str(utkface), "--json"])
    main(["report", "--data", str(utkface), "--json", "--cache", str(tmp_path / "other")])
    capsys.readouterr()
    assert kept == [tmp_path / "usual", tmp_path / "other"]


def test_options_of_the_other_set_are_refused(table: Path) -> None:
    with pytest.raises(UsageError, match=r"--cache is for UTKFace"):
        main(["report", "--data", str(table), "--cache", str(table.parent / "cache")])
    with pytest.raises(UsageError, match=r"--labels ferplus8 is for FER-2013"):
        main(["report", "--data", "utkface.zip", "--labels", "ferplus8"])
    with pytest.raises(UsageError, match=r"no FER\+ votes"):
        main(["report", "--data", str(table), "--labels", "ferplus8"])
    with pytest.raises(UsageError, match=r"absent\.zip does not exist"):
        main(["report", "--data", str(table.parent / "absent.zip")])
    with pytest.raises(UsageError, match="Missing command"):
        main([])


def test_the_table_of_repeats_fits_80_columns(data: Fer2013) -> None:
    counts = count_by_split(duplicates(data), data.usage, UTKFACE_SPLITS)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(repeats_table(counts))
    shown = console.export_text()
    assert shown.count("validation") == 3  # two columns and a row
    assert "…" not in shown
