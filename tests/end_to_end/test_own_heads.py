"""A model of one's own beside the gender network: other crops, several heads, through the processes and into the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ferengine import Analyzer, Engine, read_events
from ferengine.classification.add_model import add_model
from ferengine.sinks.csv import CsvWriter
from ferengine.sinks.draw import draw_still
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.vision import cv2
from heads_help import AGE_GROUP, COLOUR, EXPRESSION, UNITS, write_heads

NAMES = ("colour", "action_units", "age_group")


def test_the_engine_reads_what_the_analyzer_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that it was added under, which the workers find too."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    from ferengine.sources.demo.portraits import ASTRONAUT

    portrait = ASTRONAUT.load()
    cv2.imwrite(str(tmp_path / "one.png"), portrait)
    model = add_model(write_heads(tmp_path, [EXPRESSION, COLOUR, UNITS, AGE_GROUP], size=32, order="bgr")).model.called
    assert model == "mine"
    with Analyzer(model=model, gender=True) as analyzer:
        [expected] = analyzer.analyze(portrait)
    with Engine(str(tmp_path / "one.png"), model=model, gender=True) as engine:
        assert [head.name for head in engine.heads] == list(NAMES)
        [result] = list(engine.results())
        table = CsvWriter(tmp_path / "faces.csv", engine.labels, gender_labels=engine.gender_labels, heads=engine.heads)
    [face] = result.faces
    assert face.expression is not None
    assert expected.expression is not None
    assert face.gender is not None
    assert expected.gender is not None
    assert face.expression.scores == pytest.approx(expected.expression.scores, abs=0.01)
    assert face.gender.scores == pytest.approx(expected.gender.scores, abs=0.01)
    for name in NAMES:
        assert face.heads[name].values == pytest.approx(expected.heads[name].values, rel=0.01, abs=0.01), name
    lines = JsonlWriter(tmp_path / "faces.jsonl")
    for writer in (lines, table):
        writer.write(result)
        writer.close()
    said = json.loads((tmp_path / "faces.jsonl").read_text())["faces"][0]["heads"]
    with (tmp_path / "faces.csv").open() as file:
        [row] = list(csv.DictReader(file))
    assert row["heads.age_group.label"] == said["age_group"]["label"]
    for name in NAMES:
        for part in ("values", "smoothed"):
            for label, value in said[name][part].items():
                assert float(row[f"heads.{name}.{part}.{label}"]) == value
    parquet = pytest.importorskip("pyarrow.parquet")
    from ferengine.sinks.parquet import ParquetSink, parquet_schema

    sink = ParquetSink(tmp_path / "rows", parquet_schema(engine.labels, engine.gender_labels, None, engine.heads), 100, 60)
    sink.write(result)
    sink.close()
    [stored] = parquet.read_table(next((tmp_path / "rows").glob("*.parquet"))).to_pylist()
    assert stored["heads.age_group.label"] == said["age_group"]["label"]
    assert stored["heads.colour.smoothed.red"] == pytest.approx(said["colour"]["smoothed"]["red"])
    drawn, plain = portrait.copy(), portrait.copy()
    draw_still(drawn, [face], ["heads"])
    draw_still(plain, [face])
    assert not np.array_equal(drawn, plain)


def test_read_events_has_the_columns_of_the_csv(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    reading = {"kind": "values", "values": {"age": 31.5}, "smoothed": {"age": 30.0}}
    face = {"track": 1, "box": [0, 0, 9, 9], "expression": None, "heads": {"years": reading}}
    line = {"camera": "a", "frame": 0, "timestamp": 0.0, "latency_ms": 1.0, "faces": [face]}
    (tmp_path / "e.jsonl").write_text(json.dumps(line) + "\n")
    table = read_events(tmp_path / "e.jsonl")
    assert isinstance(table, pandas.DataFrame)
    assert table["heads.years.values.age"].tolist() == [31.5]
    assert table["heads.years.smoothed.age"].tolist() == [30.0]
