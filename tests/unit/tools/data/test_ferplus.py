"""FER+'s votes, from a folder's own listing or from FER+'s file beside the competition's, and its eighth class."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.vision import cv2
from ferengine_tools.data.fer2013 import LABELS, LABELS8, load_fer2013

ORDER = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown")  # FER+'s columns
USAGES = ("Training", "Training", "PublicTest", "PrivateTest", "Training")
EMOTIONS = (6, 0, 3, 1, 2)
BALLOTS = (  # contempt wins, ties, loses to unknown, loses to "not a face", and is not chosen
    {"contempt": 4, "neutral": 3, "anger": 3},
    {"contempt": 5, "anger": 5},
    {"contempt": 4, "unknown": 5, "happiness": 1},
    {"contempt": 3, "not_face": 4, "disgust": 3},
    {"fear": 10},
)


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def competition(folder: Path) -> Path:
    """fer2013.csv with FER+'s fer2013new.csv beside it."""
    pixels = " ".join(["7"] * 48 * 48)
    labels = zip(EMOTIONS, USAGES, strict=True)
    write(folder / "fer2013.csv", [{"emotion": emotion, "pixels": pixels, "Usage": usage} for emotion, usage in labels])
    rows = [
        {"Usage": usage, "Image name": f"fer{n}.png", **{name: ballot.get(name, 0) for name in ORDER},
         "NF": ballot.get("not_face", 0)}
        for n, (usage, ballot) in enumerate(zip(USAGES, BALLOTS, strict=True))
    ]  # fmt: skip
    write(folder / "fer2013new.csv", rows)
    return folder / "fer2013.csv"


def tiles(folder: Path) -> Path:
    rows = [
        {"row": n, "usage": usage, "emotion": emotion, **{name: ballot.get(name, 0) for name in (*ORDER, "not_face")}}
        for n, (usage, emotion, ballot) in enumerate(zip(USAGES, EMOTIONS, BALLOTS, strict=True))
    ]
    write(folder / "labels.csv", rows)
    assert cv2.imwrite(str(folder / "tiles-0.webp"), np.zeros((48, 64 * 48), np.uint8))
    return folder


@pytest.fixture(params=[competition, tiles])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(request.param(tmp_path))


def test_seven_classes(data: Path) -> None:
    fer = load_fer2013(data)
    assert fer.classes == LABELS
    assert fer.labels.tolist() == list(EMOTIONS)
    assert fer.votes is not None
    assert fer.votes.tolist() == [
        [3, 0, 0, 0, 0, 0, 3],
        [5, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 3, 0, 0, 0, 0, 0],
        [0, 0, 10, 0, 0, 0, 0],
    ]


def test_contempt_needs_more_votes_than_any_other_class(data: Path) -> None:
    fer = load_fer2013(data, labels="ferplus8")
    assert fer.classes == LABELS8 == (*LABELS, "contempt")
    assert fer.labels.tolist() == [7, *EMOTIONS[1:]]
    assert fer.votes is not None
    assert fer.votes[:, 7].tolist() == [4, 5, 4, 3, 0]
    np.testing.assert_array_equal(fer.votes[:, :7], load_fer2013(data).votes)


def test_without_votes_there_is_no_contempt(tmp_path: Path) -> None:
    path = competition(tmp_path)
    (tmp_path / "fer2013new.csv").unlink()
    assert load_fer2013(path).votes is None
    with pytest.raises(UsageError, match=r"no FER\+ votes.*put fer2013new\.csv beside"):
        load_fer2013(path, labels="ferplus8")
    with pytest.raises(UsageError, match="the labels are fer2013 or ferplus8, not ferplus"):
        load_fer2013(path, labels="ferplus")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NF", "other", r"fer2013new\.csv has no column not_face"),
        ("contempt", "other", r"fer2013new\.csv has no column contempt"),
        ("Usage", "other", r"fer2013new\.csv has no column Usage"),
        ("PublicTest", "Training", r"5 rows that do not follow the 5 of fer2013\.csv"),
        ("fer1.png,0", "fer1.png,many", r"fer2013new\.csv, row 3: the votes must be numbers"),
        ("fer1.png,0", "fer1.png,-1", r"fer2013new\.csv, row 3: the votes must be numbers from 0 on"),
        ("fer1.png,0", "fer1.png,nan", r"fer2013new\.csv, row 3: the votes must be numbers from 0 on"),
        ("fer1.png,0", "fer1.png,", r"fer2013new\.csv, row 3: the votes must be numbers"),
    ],
)
def test_wrong_votes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = competition(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace(old, new))
    with pytest.raises(UsageError, match=message):
        load_fer2013(path, labels="ferplus8")


def test_truncated_votes_are_refused(tmp_path: Path) -> None:
    path = competition(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text("".join(votes.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UsageError, match=r"has 3 rows that do not follow the 5 of fer2013\.csv: is one truncated"):
        load_fer2013(path)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(bytes(range(128, 256)) * 40)
    with pytest.raises(UsageError, match=r"fer2013\.csv is not a table of comma-separated values"):
        load_fer2013(path)


@pytest.mark.data
def test_the_real_votes(data_dir: Path) -> None:
    fer = load_fer2013(data_dir / "fer2013", labels="ferplus8")
    contempt = fer.labels == 7
    assert [int(contempt[fer.indices(split)].sum()) for split in ("training", "public", "private")] == [162, 24, 26]
    assert fer.votes is not None
    seven = load_fer2013(data_dir / "fer2013")
    assert (fer.votes[:, :7].argmax(axis=1) == seven.labels).mean() == pytest.approx(0.642, abs=0.001)
