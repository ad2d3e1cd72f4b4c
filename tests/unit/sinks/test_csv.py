"""CSV files: a row a face."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.models.network_io import Head
from ferengine.results import (
    Box,
    CameraEvent,
    Expression,
    Face,
    FrameResult,
    Gender,
    HeadReading,
    Pose,
    Quality,
    Scores,
    Timings,
    make_gender,
)
from ferengine.sinks.csv import CsvWriter

LABELS = ("happy", "sad, or so")
TIMINGS = Timings(captured=1.0, tracked=1.01, queued=1.02, inferred=1.03, emitted=1.04)


def face(track: int = 1, box: Box = (10.126, 20.0, 30.0, 40.0), classified: bool = True) -> Face:
    smoothed = Scores("sad, or so", {"happy": 0.4, "sad, or so": 0.6})
    expression = Expression("happy", {"happy": 0.75, "sad, or so": 0.25}, smoothed) if classified else None
    return Face(track, box, 0.9, 1.0, "detected", None, expression, None if classified else "deadline")


def result(*faces: Face, frame: int = 7) -> FrameResult:
    return FrameResult('a "camera", in the hall', frame, 0.25, 12.3456, faces, TIMINGS)


def test_golden_rows(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    writer = CsvWriter(path, LABELS)
    writer.write(result(replace(face(), zones=("hall", "stairs")), face(2, classified=False)))
    writer.write(result(frame=8))
    writer.close()
    writer.close()
    assert path.read_bytes().decode() == (
        "camera,frame,timestamp,latency_ms,track,x,y,width,height,score,track_confidence,origin,label,smoothed_label,"
        "reason,changed_from,yaw,pitch,roll,pose_age,size,sharpness,brightness,contrast,zones,"
        'score_happy,"score_sad, or so",smoothed_happy,"smoothed_sad, or so"\n'
        '"a ""camera"", in the hall",7,0.25,12.346,1,10.13,20.0,30.0,40.0,0.9,1.0,detected,happy,"sad, or so",,'
        ",,,,,,,,,hall;stairs,0.75,0.25,0.4,0.6\n"
        '"a ""camera"", in the hall",7,0.25,12.346,2,10.13,20.0,30.0,40.0,0.9,1.0,detected,,,deadline,,,,,,,,,,,,,,\n'
    )


def test_a_text_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@now", "\t=1+1", "door=1", "'=1"]
    writer = CsvWriter(tmp_path / "out.csv", LABELS)
    for name in names:
        writer.write(replace(result(replace(face(box=(-3.5, 0, 1, 1)), zones=("=2", "b"))), camera=name))
    writer.close()
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [row["camera"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@now", "'\t=1+1", "door=1", "'=1"]
    assert {(row["x"], row["zones"]) for row in rows} == {("-3.5", "'=2;b")}  # a number stays one


def test_prior_is_the_last_column(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "out.csv", LABELS, prior="everyday")
    writer.write(result(face(), face(2, classified=False)))
    writer.close()
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header.endswith('"smoothed_sad, or so",prior')
    assert [row.rpartition(",")[2] for row in rows] == ["everyday", "everyday"]


def test_rows_equal_json_lines(tmp_path: Path) -> None:
    seen = result(face())
    writer = CsvWriter(tmp_path / "out.csv", LABELS)
    writer.write(seen)
    writer.close()
    with (tmp_path / "out.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    event = json.loads(json.dumps(seen.to_dict()))
    [written] = event["faces"]
    assert [float(row[name]) for name in ("x", "y", "width", "height")] == written["box"]
    assert {label: float(row[f"score_{label}"]) for label in LABELS} == written["expression"]["scores"]
    assert {label: float(row[f"smoothed_{label}"]) for label in LABELS} == written["expression"]["smoothed"]["scores"]
    assert (row["label"], row["smoothed_label"]) == (written["expression"]["label"], written["expression"]["smoothed"]["label"])
    assert (row["camera"], int(row["frame"]), row["reason"]) == (event["camera"], event["frame"], "")


def test_gender_has_columns_where_it_is_read(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "out.csv", LABELS, gender_labels=("a", "b"))
    gender = Gender("b", {"a": 0.1, "b": 0.9}, Scores("a", {"a": 0.6, "b": 0.4}))
    unsure = make_gender(("a", "b"), (0.5, 0.5), (0.5, 0.5), reason="low_score")
    writer.write(result(replace(face(), gender=gender), face(2, classified=False), replace(face(3), gender=unsure)))
    writer.close()
    with (tmp_path / "out.csv").open(newline="") as file:
        read, unread, unsurely = csv.DictReader(file)
    assert (read["gender"], read["smoothed_gender"], read["gender_reason"]) == ("b", "a", "")
    assert (unsurely["gender"], unsurely["gender_reason"]) == ("uncertain", "low_score")
    names = ("score_gender_a", "score_gender_b", "smoothed_gender_a", "smoothed_gender_b")
    assert [read[name] for name in names] == ["0.1", "0.9", "0.6", "0.4"]
    assert {unread[name] for name in ("gender", "smoothed_gender", "gender_reason", *names)} == {""}


def test_every_value_of_a_line_is_in_the_row_but_for_landmarks_and_cuts(tmp_path: Path) -> None:
    """Every number and text of the line is another one, so that a cell shows which it is."""
    seen = replace(
        face(), track=11, box=(1.0, 2.0, 3.0, 4.0), score=0.5, track_confidence=0.6, origin="tracked", changed_from="before",
        landmarks=((31, 32), (33, 34), (35, 36), (37, 38), (39, 40)), zones=("hall",),
        pose=Pose(5.0, 6.0, 7.0, 8.0), quality=Quality(21.0, 22.0, 23.0, 24.0),
        expression=Expression("raw", dict(zip(LABELS, (0.11, 0.12), strict=True)),
                              Scores("held", dict(zip(LABELS, (0.13, 0.14), strict=True))), "turned"),
        gender=Gender("a", {"a": 0.15, "b": 0.16}, Scores("b", {"a": 0.17, "b": 0.18}), "low_score"),
        heads={"units": HeadReading("classes", {"smile": 0.19, "frown": 0.2}, {"smile": 0.25, "frown": 0.22})},
    )  # fmt: skip
    made = FrameResult("door", 9, 0.26, 12.5, (seen,), TIMINGS, scene_cut=True)
    head = Head(name="units", kind="classes", labels=("smile", "frown"))
    writer = CsvWriter(tmp_path / "out.csv", LABELS, gender_labels=("a", "b"), heads=(head,))
    writer.write(made)
    writer.close()
    with (tmp_path / "out.csv").open(newline="") as file:
        [row] = csv.DictReader(file)

    def leaves(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for name, each in value.items():
                if name not in ("landmarks", "scene_cut", "changes", "kind"):
                    yield from leaves(each)
        elif isinstance(value, list | tuple):
            for each in value:
                yield from leaves(each)
        else:
            yield str(value)

    assert sorted(row.values()) == sorted([*leaves(made.to_dict()), "before"])


@pytest.mark.parametrize("prior", ["line\nbreak.json", "carriage\rreturn.json", 'quo"ted, both\r\n.json', "plain"])
def test_a_cell_of_several_lines_stays_one(prior: str, tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "out.csv", LABELS, prior=prior)
    writer.write(result(face(), face(2)))
    writer.close()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["track"], row["prior"]) for row in rows] == [("1", prior), ("2", prior)]


def test_the_header_is_there_without_a_face(tmp_path: Path) -> None:
    CsvWriter(tmp_path / "out.csv", LABELS).close()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1


def test_row_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no folder"):
        CsvWriter(tmp_path / "absent" / "out.csv", LABELS)
    writer = CsvWriter("/dev/full", LABELS, overwrite=True)
    writer.write(result(face(), face(2)))
    writer.write(result())
    with pytest.raises(SinkError, match="/dev/full cannot be written: No space left") as caught:
        writer.flush_if_due(1e12)
    assert caught.value.lost == 1  # one without faces has no rows
    writer.close()


@pytest.mark.parametrize("labels", ["happy", None, ["happy", "happy"], [1, 2], {"happy", "sad"}])
def test_labels_that_cannot_be_create_no_file(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^labels are a sequence of different texts, not "):
        CsvWriter(tmp_path / "out.csv", labels)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("labels", [("happy",), ("happy", "calm"), ("happy", "sad, or so", "calm")])
def test_a_face_of_another_model_is_refused(labels: tuple[str, ...], tmp_path: Path) -> None:
    with (
        CsvWriter(tmp_path / "out.csv", labels) as writer,
        pytest.raises(
            UsageError, match=f"^the columns are of {', '.join(labels)}, and a face has scores of happy, sad, or so$"
        ),
    ):
        writer.write(result(face()))
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1


def test_only_the_result_of_a_frame_has_rows(tmp_path: Path) -> None:
    event: Any = CameraEvent("door", "started", 1.0)
    with (
        CsvWriter(tmp_path / "out.csv", LABELS) as writer,
        pytest.raises(UsageError, match=r"^rows hold the faces of the result of a frame, not CameraEvent$"),
    ):
        writer.write(event)
    with pytest.raises(SinkError, match=r"out\.csv is already closed$"):
        writer.write(result(face()))
