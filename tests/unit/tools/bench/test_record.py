"""The records of ``ferengine bench``: written, read back, compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ferengine.errors import UsageError
from ferengine_tools.bench.record import OWN, Metric, Record, compared, differences, own_of, ratio, read_record
from ferengine_tools.bench.table import comparison, shown, tables

OURS = Metric("kcf", "80 px face", OWN, 250.0, "us", 0.02)
THEIRS = Metric("kcf", "80 px face", "OpenCV", 10_000.0, "us")
FAST = Metric("engine", "file", OWN, 600.0, "frames/s")
LOOP = Metric("engine", "file", "loop", 60.0, "frames/s")
RECORD = Record(
    {"processor": "A", "cores": 2}, {"python": "3.11"}, "demo", "2026-01-01", (OURS, THEIRS, FAST, LOOP), {"fer": "no"}
)


def text_of(item: object) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(item)
    return console.export_text()


def test_more_is_better_for_rates_and_less_for_costs() -> None:
    assert ratio(OURS, THEIRS) == pytest.approx(40)
    assert ratio(FAST, LOOP) == pytest.approx(10)
    assert ratio(LOOP, FAST) == pytest.approx(0.1)


def test_no_ratio_of_what_cannot_be_divided() -> None:
    assert ratio(OURS, FAST) is None
    dropped = Metric("engine", "camera", OWN, 0, "frames")
    assert ratio(dropped, dropped) is None


def test_what_a_figure_is_compared_with() -> None:
    assert own_of(RECORD.metrics, THEIRS) == OURS
    assert own_of(RECORD.metrics, replace(THEIRS, case="160 px face")) is None


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == RECORD


def test_two_records_are_compared_where_both_have_a_figure() -> None:
    now = replace(RECORD, metrics=(replace(OURS, value=125.0), replace(FAST, value=300.0), replace(LOOP, way="new")))
    rows = compared(now, RECORD)
    assert [(metric.key, before.value) for metric, before, _ in rows] == [(OURS.key, 250.0), (FAST.key, 600.0)]
    assert [better for *_, better in rows] == pytest.approx([2.0, 0.5])
    shown_table = text_of(comparison(now, RECORD))
    assert "2 x better" in shown_table
    assert "0.5 x better" in shown_table


def test_comparison_warns_of_another_machine_or_source() -> None:
    assert differences(RECORD, RECORD) == []
    other = replace(RECORD, machine={"processor": "B", "cores": 8}, source="talk.mp4")
    assert differences(RECORD, other) == [
        "processor: B then, A now", "cores: 8 then, 2 now", "source: talk.mp4 then, demo now"
    ]  # fmt: skip


def test_table_shows_the_ratio_to_each_alternative() -> None:
    kcf, engine = map(text_of, tables(RECORD))
    assert "40 x better" in kcf
    assert "10 x better" in engine
    assert engine.count("better") == 1  # ours is compared with nothing


@pytest.mark.parametrize(("value", "text"), [(0.0514, "0.05"), (7.66, "7.66"), (12.34, "12.3"), (10_718.2, "10718")])
def test_values_are_shown_with_three_digits(value: float, text: str) -> None:
    assert shown(replace(OURS, value=value)) == text


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("not JSON", "is not a record"),
        ("[]", "is not a record"),
        ('{"frames": 3}', "is not a record"),
        ('{"format": 99}', "has format 99"),
        ('{"format": 2}', "damaged record"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=named) as raised:
        read_record(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("change", [{"unit": "miles"}, {"value": "much"}, {"speed": 3}])
def test_a_damaged_figure_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "damaged.json"
    RECORD.write(path)
    data = json.loads(path.read_text())
    data["metrics"][0].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="damaged record"):
        read_record(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.json cannot be read: No such file"):
        read_record(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        RECORD.write(tmp_path / "nowhere" / "a.json")
