"""Results in the hands of other packages: tables of events, and detections of supervision."""

from __future__ import annotations

import builtins
import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np
import pytest

from ferengine import read_events
from ferengine.config import EngineConfig, EngineSettings
from ferengine.errors import MissingDependencyError, UsageError
from ferengine.models.manifest import Head
from ferengine.results import (
    CameraEvent,
    Face,
    FrameResult,
    HeadReading,
    Pose,
    Quality,
    Timings,
    make_expression,
    make_gender,
)
from ferengine.sinks.csv import CsvWriter
from ferengine.sinks.jsonl import JsonlWriter

LABELS = ("happy", "sad")
POINTS = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0))


def faces() -> tuple[Face, ...]:
    expression = make_expression(LABELS, (0.7, 0.3), (0.4, 0.6))
    gender = make_gender(("female", "male"), (0.9, 0.1), (0.8, 0.2))
    return (
        Face(
            1,
            (10, 20, 30, 40),
            0.9,
            1.0,
            "detected",
            POINTS,
            expression,
            gender=gender,
            pose=Pose(10.0, -5.0, 2.0, 0.1),
            quality=Quality(50.0, 0.4, 120.0, 30.0),
            changed_from="happy",
            zones=("hall", "stairs"),
        ),
        Face(2, (50, 60, 7.5, 8), 0.8, 0.5, "tracked", None, None, "deadline"),
    )


def results() -> list[FrameResult]:
    timings = Timings(0, 0, 0, 0, 0)
    return [FrameResult("door", 0, 0.0, 5.0, (), timings), FrameResult("door", 1, 0.04, 6.0, faces(), timings, scene_cut=True)]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "faces.jsonl"
    writer = JsonlWriter(path, prior="uniform")
    writer.write(CameraEvent("door", "started", 1.0))
    for result in results():
        writer.write(result)
    writer.close()
    return path


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_faces_become_rows_with_the_columns_of_csv(library: Any, events: Path, tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    table = read_events(events, library)
    rows: list[dict[str, Any]] = table.to_dict("records") if library == "pandas" else table.to_dicts()
    assert len(rows) == 2
    one, other = rows
    assert (one["camera"], one["frame"], one["timestamp"], one["track"], one["prior"]) == ("door", 1, 0.04, 1, "uniform")
    assert [one[name] for name in ("x", "y", "width", "height")] == [10, 20, 30, 40]
    assert (one["label"], one["smoothed_label"]) == ("happy", "sad")
    assert (one["score_happy"], one["smoothed_happy"]) == (0.7, 0.4)
    assert (one["gender"], one["smoothed_gender"], one["smoothed_gender_male"]) == ("female", "female", 0.2)
    assert (one["yaw"], one["pose_age"], one["size"], one["changed_from"]) == (10, 0.1, 50, "happy")
    assert one["zones"] == "hall;stairs"
    assert (one["nose_x"], one["nose_y"], one["scene_cut"]) == (5, 6, True)
    assert other["reason"] == "deadline"
    assert other["label"] is None or math.isnan(other["label"])
    writer = CsvWriter(tmp_path / "faces.csv", LABELS, gender_labels=("female", "male"), prior="uniform")
    writer.close()
    header = (tmp_path / "faces.csv").read_text().strip().split(",")
    assert set(header) <= set(rows[0])


def columns(table: Any) -> dict[str, str]:
    """The columns of a table and their types, in order."""
    found = table.dtypes.items() if hasattr(table.dtypes, "items") else table.schema.items()
    return {name: str(kind) for name, kind in found}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_of_lines_and_of_parquet_have_the_same_columns(library: Any, tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from ferengine.sinks.parquet import ParquetSink, parquet_schema

    heads = (
        Head(name="mood", kind="classes", labels=("calm", "upset")),
        Head(name="affect", kind="values", labels=("valence",), ranges={"valence": (-1, 1)}),
    )
    readings = {
        "mood": HeadReading("classes", {"calm": 0.75, "upset": 0.25}, {"calm": 0.5, "upset": 0.5}),
        "affect": HeadReading("values", {"valence": 0.25}, {"valence": 0.25}),
    }
    for case, given in {
        "all": [faces()[0], replace(faces()[1], heads=readings)],
        "few": [faces()[1]],
        "none": [],
    }.items():
        result = replace(results()[1], faces=tuple(given), scene_cut=False)
        genders = ("female", "male") if case == "all" else ()
        writer = JsonlWriter(tmp_path / f"{case}.jsonl", prior="uniform")
        schema = parquet_schema(LABELS if case == "all" else (), genders, "uniform", heads if case == "all" else ())
        sink = ParquetSink(tmp_path / case, schema, 100, 60, "uniform")
        for output in (writer, sink):
            output.write(result)
            output.close()
        lines, parquet = read_events(tmp_path / f"{case}.jsonl", library), read_events(tmp_path / case, library)
        assert len(lines) == len(parquet) == len(given)
        assert columns(parquet) == columns(lines)
        assert list(columns(lines))[:6] == ["camera", "frame", "timestamp", "latency_ms", "scene_cut", "track"]
        assert columns(lines)["frame"] == {"pandas": "int64", "polars": "Int64"}[library]
        assert columns(lines)["yaw"] == {"pandas": "float64", "polars": "Float64"}[library]
        assert columns(lines)["scene_cut"] == {"pandas": "bool", "polars": "Boolean"}[library]
        for name in columns(lines):
            one, other = (list(table[name]) for table in (lines, parquet))
            for a, b in zip(one, other, strict=True):
                assert a == b or (a is None and b is None) or a == pytest.approx(b, abs=1e-5, nan_ok=True), name


def test_lines_of_several_runs_are_one_table(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    path = tmp_path / "faces.jsonl"
    for name, labels in (("a", LABELS), ("b", ("calm", "upset"))):
        writer = JsonlWriter(tmp_path / name, prior="uniform")
        face = replace(faces()[0], expression=make_expression(labels, (0.7, 0.3), (0.4, 0.6)))
        writer.write(replace(results()[1], faces=(face,)))
        writer.close()
    path.write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a").read_bytes() + b"\r\n" + (tmp_path / "b").read_bytes())
    table = read_events(path)
    assert list(table["label"]) == ["happy", "calm"]
    assert list(table["score_happy"]) == pytest.approx([0.7, math.nan], nan_ok=True)
    assert list(table["score_calm"]) == pytest.approx([math.nan, 0.7], nan_ok=True)


def test_a_last_line_that_is_cut_off_is_left_out(events: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    whole = events.read_bytes()
    events.write_bytes(whole + whole.splitlines(keepends=True)[-1][:200])
    assert len(read_events(events)) == 2
    assert "the last line of" in caplog.text
    events.write_bytes(b"")
    assert len(read_events(events)) == 0
    assert "label" in read_events(events)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_what_other_programs_have_added_is_left_as_it_is(library: Any, tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    line = {"camera": "a", "frame": 1, "timestamp": 1, "latency_ms": 2.5}
    face = {"track": 1, "box": [1, 2, 3, 4], "score": 1, "track_confidence": 1.0, "origin": "detected", "landmarks": None}
    huge = 10**400
    added: list[dict[str, Any]] = [
        {
            "nested": {"a": 1},
            "list": [1, 2],
            "flag": True,
            "number": 1,
            "text": "x",
            "mixed": 1,
            "huge": huge,
            "pair": {"x": 9},
        },
        {"nested": {"b": "y"}, "list": [[]], "flag": None, "number": 2.5, "text": None, "mixed": "x", "huge": 1, "pair": 4},
        {},
    ]
    path = tmp_path / "faces.jsonl"
    path.write_text("".join(json.dumps({**line, "node": "n1", "load": {"cpu": 1}, "faces": [{**face, **each}]}) + "\n"
                            for each in added))  # fmt: skip
    table = read_events(path, library)
    assert list(table["x"]) == [1, 1, 1]
    assert list(table["node"]) == ["n1"] * 3
    assert list(table["load"]) == [{"cpu": 1}] * 3
    for name, values in {
        "nested": [{"a": 1}, {"b": "y"}, None],
        "list": [[1, 2], [[]], None],
        "flag": [True, None, None],
        "text": ["x", None, None],
        "mixed": [1, "x", None],
        "huge": [huge, 1, None],
        "pair": [{"x": 9}, 4, None],
    }.items():
        assert list(table[name]) == values, name
    assert list(table["number"])[:2] == [1.0, 2.5]
    assert columns(table)["number"] == {"pandas": "float64", "polars": "Float64"}[library]
    assert (columns(table)["frame"], columns(table)["score"]) == {
        "pandas": ("int64", "float64"),
        "polars": ("Int64", "Float64"),
    }[library]


@pytest.mark.parametrize(
    "wrong",
    [{"frame": 1.5}, {"frame": 2**63}, {"frame": True}, {"timestamp": "1"}, {"latency_ms": 10**400}, {"camera": 3},
     {"scene_cut": 1}, {"faces": [{"track": "1"}]}, {"faces": [{"track": 1, "box": ["a", 2, 3, 4]}]},
     {"faces": [{"track": 1, "score": {"x": 1}}]}, {"faces": [{"track": 1, "origin": [1]}]}],
)  # fmt: skip
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_value_of_another_kind_than_its_column_is_refused(library: Any, wrong: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    good = {"camera": "a", "frame": 1.0, "timestamp": 1, "latency_ms": 2, "faces": [{"track": 1}]}
    path = tmp_path / "faces.jsonl"
    path.write_text(json.dumps(good) + "\n")
    assert list(read_events(path, library)["frame"]) == [1]
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, **wrong})}\n")
    with pytest.raises(UsageError, match=r"line 2 of .*faces\.jsonl is not one that --events writes"):
        read_events(path, library)


@pytest.mark.parametrize(
    ("path", "said"), [("x" * 300, "File name too long"), ("a\0b.jsonl", "zero byte"), ("/x" * 2500, "too long")]
)
def test_a_path_that_cannot_be_is_named(path: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_events(path)
    assert len(str(caught.value)) < 400


def test_lines_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    for line in ("[1]", "{", '{"faces": 3}', '{"camera": "a", "faces": [{"box": [1, 2]}]}'):
        path.write_text(f'{{"camera": "a", "faces": []}}\n{line}\n')
        with pytest.raises(UsageError, match=r"line 2 of .*faces\.jsonl is not one that --events writes"):
            read_events(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_events(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="pandas or polars, not 'arrow'"):
        read_events(path, "arrow")  # type: ignore[call-overload]


def test_faces_as_supervision_takes_them() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    empty, full = (result.to_supervision() for result in results())
    assert len(empty) == 0
    assert isinstance(full, supervision.Detections)
    assert full.xyxy.tolist() == [[10, 20, 40, 60], [50, 60, 57.5, 68]]
    assert full.tracker_id.tolist() == [1, 2]
    assert full.data["class_name"].tolist() == ["sad", ""]
    assert full.data["class_score"][0] == pytest.approx(0.6)
    assert math.isnan(full.data["class_score"][1])
    assert full.class_id.tolist() == [3, 0]  # the second class, and not classified
    drawn = supervision.BoxAnnotator().annotate(np.zeros((80, 80, 3), np.uint8), full)  # with its usual colours, by class
    assert drawn.any()


def test_supervision_gets_the_score_of_a_label_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    held = make_expression(LABELS, (0.7, 0.3), (0.4, 0.6), label=0)
    shown = replace(results()[1], faces=(replace(faces()[0], expression=held),)).to_supervision()
    assert shown.data["class_name"].tolist() == ["happy"]
    assert shown.data["class_score"].tolist() == pytest.approx([0.4])
    unsure = make_expression(LABELS, (0.5, 0.5), (0.5, 0.5), reason="turned")
    shown = replace(results()[1], faces=(replace(faces()[0], expression=unsure),)).to_supervision()
    assert (shown.data["class_name"].tolist(), shown.class_id.tolist()) == (["uncertain"], [1])


@pytest.mark.parametrize("library", ["pandas", "polars", "supervision"])
def test_a_missing_library_is_named(library: Any, events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def absent(name: str, *rest: Any) -> ModuleType:
        if name == library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependencyError, match=f"needs the package {library}: .*install {library}"):
        results()[0].to_supervision() if library == "supervision" else read_events(events, library)


def test_type_checkers_know_every_setting() -> None:
    """``EngineSettings`` repeats the fields of ``EngineConfig``, which type checkers cannot read from a model."""
    hints = get_type_hints(EngineSettings)
    assert list(hints) == list(EngineConfig.model_fields)
    for name, field in EngineConfig.model_fields.items():
        known = {field.annotation, field.annotation | Path} if name in ("model", "prior", "engines") else {field.annotation}
        assert name in ("thresholds", "new_track_scores") or hints[name] in known, name
    assert not EngineSettings.__required_keys__
