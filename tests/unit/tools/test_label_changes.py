"""``ferengine_tools.label_changes``: labels runs again, and says how soon a change is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferengine_tools.label_changes import LabelChanges, choose, main, measure, read_tracks


def write(path: Path, rows: list[tuple[float, float, float]], yaw: float = 0.0) -> Path:
    """One track at 25 frames/s, whose raw scores are ``rows``; its labels in the file mean nothing."""
    lines = [json.dumps({"camera": "talk", "event": "started", "timestamp": 0.0})]
    for number, row in enumerate(rows):
        face = {
            "track": 1,
            "box": [0, 0, 60, 60],
            "expression": {"label": "any", "scores": dict(zip(("happy", "sad", "neutral"), row, strict=True))},
            "pose": {"yaw": yaw, "pitch": 0.0, "roll": 0.0, "age": 0.0},
            "quality": {"size": 60, "sharpness": 1.0, "brightness": 120, "contrast": 40},
        }
        lines.append(json.dumps({"camera": "talk", "frame": number, "timestamp": number / 25, "faces": [face]}))
    path.write_text("\n".join(lines))
    return path


GLAD, CALM, UNSURE = (0.9, 0.05, 0.05), (0.05, 0.05, 0.9), (0.34, 0.33, 0.33)


def test_changes_are_counted_and_the_response_is_that_of_the_hold(tmp_path: Path) -> None:
    tracks = read_tracks(write(tmp_path / "talk.jsonl", [GLAD] * 25 + [CALM] * 5 + [GLAD] * 25 + [CALM] * 45))
    shorter, longer = (measure(tracks, hold, 0.25, 0.4) for hold in (0.1, 0.38))
    assert (shorter.changes, longer.changes) == (3, 1)
    assert longer.seconds == pytest.approx(99 / 25)
    assert (shorter.response_median, longer.response_median) == (0.08, 0.36)
    assert longer.response_p90 == 0.36


def test_uncertain_is_counted_of_frontal_faces(tmp_path: Path) -> None:
    rows = [GLAD] * 50 + [UNSURE] * 100
    seen = measure(read_tracks(write(tmp_path / "talk.jsonl", rows)), 0.38, 0.0, 0.6)
    assert (seen.changes, seen.uncertain_changes, seen.frontal, seen.frontal_uncertain) == (1, 1, 150, 90)
    assert seen.response_median is None  # one label alone was surely read
    turned = measure(read_tracks(write(tmp_path / "turned.jsonl", rows, yaw=50)), 0.38, 0.0, 0.6)
    assert (turned.changes, turned.frontal) == (0, 0)


def test_the_command_prints_a_row_for_each_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "talk.jsonl", [GLAD] * 50 + [CALM] * 50)
    assert main([str(file), "--hold", "0.1", "--hold", "0.38", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["hold"], row["changes"]) for row in rows] == [(0.1, 1), (0.38, 1)]
    assert main([str(file)]) == 0
    assert "| 0.38 | 0.25 |" in capsys.readouterr().out


def test_the_hold_with_the_fewest_changes_within_the_aims_is_chosen() -> None:
    def row(hold: float, changes: int, p90: float | None, uncertain: int = 0) -> LabelChanges:
        return LabelChanges(hold, 10.0, changes, 0, 100, uncertain, p90, p90)

    assert choose([row(0.5, 1, 0.48), row(0.2, 9, 0.2), row(0.38, 3, 0.4), row(0.3, 3, 0.3), row(0.1, 0, 0.1, 40)]).hold == 0.3
    assert choose([row(0.5, 1, None), row(0.4, 2, 0.44)]).hold == 0.4


def test_each_file_is_measured_with_the_hold_that_the_others_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = [GLAD] * 50 + [CALM] * 50
    nervous = ([GLAD] * 25 + [CALM] * 6) * 3
    files = [str(write(tmp_path / f"{name}.jsonl", rows)) for name, rows in (("slow", slow), ("nervous", nervous))]
    assert main([*files, "--hold", "0.1", "--hold", "0.3", "--leave-one-out", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["file"], row["hold"]) for row in rows] == [("slow.jsonl", 0.3), ("nervous.jsonl", 0.1)]
    assert rows[1]["changes"] == 5  # where both would do, as the slow file alone says, the shorter
    assert main([*files, "--leave-one-out"]) == 0
    assert "| slow.jsonl | 0.38 | 0.25 |" in capsys.readouterr().out
    assert main([files[0], "--leave-one-out"]) == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "talk.jsonl:1: "),
        ('{"timestamp": 0, "faces": [{"track": 1}]}', "talk.jsonl:1: "),
        ('{"timestamp": 0, "faces": []}', "holds no classified face"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (tmp_path / "talk.jsonl").write_text(text)
    assert main([str(tmp_path / "talk.jsonl")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
