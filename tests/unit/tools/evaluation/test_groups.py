"""Accuracy by group: the counts, Wilson's interval, the order of the groups, the table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine_tools.evaluation.groups import GroupAccuracy, age_group, by_group, group_table, read_groups


def wilson(correct: int, faces: int, z: float) -> tuple[float, float]:
    """The interval as Wilson wrote it: where |fraction - p| = z sqrt(p (1 - p) / n)."""
    fraction = correct / faces
    middle = (fraction + z * z / (2 * faces)) / (1 + z * z / faces)
    half = z / (1 + z * z / faces) * math.sqrt(fraction * (1 - fraction) / faces + z * z / (4 * faces * faces))
    return middle - half, middle + half


def test_counts_by_group() -> None:
    correct = [True, False, True, True, False, True]
    groups = ["Asian", "Asian", "White", "", "", "Asian"]
    asian, white = by_group(correct, groups)
    assert (asian.group, asian.correct, asian.faces) == ("Asian", 2, 3)
    assert (white.group, white.correct, white.faces, white.accuracy) == ("White", 1, 1, 1.0)
    assert asian.accuracy == pytest.approx(2 / 3)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    correct, faces = counts
    [row] = by_group(np.arange(faces) < correct, np.full(faces, "all"))
    assert (row.low, row.high) == pytest.approx(wilson(correct, faces, 1.959964), abs=1e-6)
    assert 0 <= row.low <= row.accuracy + 1e-12
    assert row.accuracy - 1e-12 <= row.high <= 1


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    correct = np.arange(100) < 90
    [usual], [wide] = (by_group(correct, np.full(100, "all"), confidence) for confidence in (0.95, 0.99))
    assert wide.low < usual.low < 0.9 < usual.high < wide.high
    assert (wide.low, wide.high) == pytest.approx(wilson(90, 100, 2.575829), abs=1e-6)


def test_ages_come_in_their_order() -> None:
    ages = [0, 2, 3, 9, 10, 19, 20, 45, 69, 70, 116]
    groups = [age_group(age) for age in ages]
    assert groups == ["0-2", "0-2", "3-9", "3-9", "10-19", "10-19", "20-29", "40-49", "60-69", "70+", "70+"]
    rows = by_group(np.ones(len(ages)), groups[::-1])
    assert [row.group for row in rows] == ["0-2", "3-9", "10-19", "20-29", "40-49", "60-69", "70+"]
    with pytest.raises(UsageError, match="not -1"):
        age_group(-1)


def test_the_table() -> None:
    rows = [GroupAccuracy("Indian", 9, 10, 0.9, 0.596, 0.982), GroupAccuracy("other", 1, 1, 1.0, 0.2065, 1.0)]
    assert group_table("ethnicity", rows).splitlines() == [
        "| ethnicity | faces | accuracy % |      interval |",
        "|-----------|------:|-----------:|--------------:|",
        "| Indian    |    10 |       90.0 |  59.6 to 98.2 |",
        "| other     |     1 |      100.0 | 20.6 to 100.0 |",
    ]


def test_answers_that_are_sure_enough_are_counted_apart() -> None:
    correct, groups = [True, False, True, False, True], ["0-2", "0-2", "0-2", "20-29", "20-29"]
    rows = by_group(correct, groups, answered=[True, True, False, False, False])
    assert [(row.answered, row.answered_correct) for row in rows] == [(2, 1), (0, 0)]
    assert group_table("age", rows).splitlines()[2:] == [
        "| 0-2   |     3 |       66.7 | 20.8 to 93.9 |            66.7 |             50.0 |",
        "| 20-29 |     2 |       50.0 |  9.5 to 90.5 |             0.0 |                - |",
    ]
    with pytest.raises(UsageError, match="each face needs one group"):
        by_group(correct, groups, answered=[True])


def test_no_faces_no_groups() -> None:
    assert by_group([], []) == []
    assert by_group([True], [""]) == []


@pytest.mark.parametrize(
    ("correct", "groups", "confidence", "message"),
    [
        ([True, False], ["a"], 0.95, r"\(2,\) answers, \(1,\) groups"),
        ([[True]], [["a"]], 0.95, "each face needs one group"),
        ([True], ["a"], 1.0, "between 0 and 1, not 1.0"),
    ],
)
def test_what_is_refused(correct: list[bool], groups: list[str], confidence: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        by_group(correct, groups, confidence)


def test_numbers_of_any_length_are_in_order() -> None:
    names = ["9" * 5000, "10", "9", "b", "a"]
    assert [row.group for row in by_group(np.ones(5), names)] == ["9", "10", "9" * 5000, "a", "b"]


def test_what_a_table_of_groups_leaves_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("file,site\nhappy/a.png,lab\nhappy/typo.png,lab\n")
    assert read_groups(table, ("happy/a.png", "sad/b.png"))["site"].tolist() == ["lab", ""]
    assert "1 of 2 rows name no face measured, such as happy/typo.png" in caplog.text
    assert "1 of 2 faces have no group in the column site" in caplog.text
    for header in ("file,site,site", "file,site,"):
        table.write_text(f"{header}\nhappy/a.png,lab,street\n")
        with pytest.raises(UsageError, match="a name of its own for each column"):
            read_groups(table, ("happy/a.png",))
