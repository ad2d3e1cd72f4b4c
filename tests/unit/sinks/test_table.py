"""The live table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ferengine.results import Expression, Face, FrameResult, Scores, Timings
from ferengine.sinks.table import CameraState, LiveTable, clock_text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def result(camera: str, frame: int, *labels: str | None) -> FrameResult:
    faces = []
    for label in labels:
        scores = Scores(label, {label: 1.0}) if label else None
        expression = Expression(scores.label, scores.scores, scores) if scores else None
        faces.append(Face(1, (0, 0, 1, 1), 1.0, 1.0, "detected", None, expression))
    return FrameResult(camera, frame, 0.0, 20.0 + frame, tuple(faces), Timings(0, 0, 0, 0, 0))


def rows(table: LiveTable, width: int = 120) -> dict[str, list[str]]:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(table.render())
    lines = [line.split("│")[1:-1] for line in console.export_text().splitlines() if line.startswith("│")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_states_rates_faces_latency_and_drops() -> None:
    clock = Clock()
    seen = {"door": CameraState("running", 3), "hall": CameraState("opening", 0)}
    table = LiveTable(Console(file=io.StringIO(), width=120), lambda: seen, clock)
    assert rows(table)["hall"] == ["opening", "-", "-", "-", "-", "0"]
    for number in (5, 6, 8, 9, 10):
        clock.now = number / 10
        table.write(result("door", number, "happy", "happy", "sad", None))
    assert rows(table)["door"] == ["running", "8.0", "5", "4: 2 happy, 1 sad", "28", "3"]
    clock.now = 60.0
    seen["door"] = CameraState("disconnected", 4)
    assert rows(table)["door"] == ["disconnected", "0.0", "5", "4: 2 happy, 1 sad", "-", "4"]
    seen["new"] = CameraState("running", 0)
    table.write(result("new", 0))
    assert rows(table)["new"] == ["running", "-", "1", "0", "20", "0"]
    del seen["hall"]
    assert set(rows(table)) == {"door", "new"}


def test_results_that_come_all_at_once_are_no_rate() -> None:
    clock = Clock()
    table = LiveTable(Console(file=io.StringIO(), width=120), lambda: {"talk": CameraState("running", 0)}, clock)
    for number in range(15):
        table.write(result("talk", number))
        assert rows(table)["talk"][1] == "-"
        clock.now += 1e-5
    clock.now = 30.0
    for number in range(15, 90):
        table.write(result("talk", number))
        clock.now += 1e-5
    assert rows(table)["talk"][1] == "25.0"  # 75 in the last 3 s


def test_files_show_progress_and_the_time_left() -> None:
    clock = Clock()
    seen = {"talk": CameraState("opening", 0), "door": CameraState("running", 0)}
    table = LiveTable(Console(file=io.StringIO(), width=120), lambda: seen, clock)
    assert len(rows(table)["talk"]) == 6
    for number in range(11):
        clock.now = number / 10
        table.write(result("talk", 239 + number, "happy"))
        seen["talk"] = CameraState("running", 0, progress=(240 + number) / 1000)
        shown = rows(table)["talk"]
        assert (shown[1], shown[2] == "-") == (f"{24 + number // 10} %", number < 5)
    assert rows(table)["talk"] == ["running", "25 %", "1:15", "10.0", "11", "1: 1 happy", "264", "0"]
    assert rows(table)["door"] == ["running", "-", "-", "-", "-", "-", "-", "0"]
    seen["talk"] = CameraState("ended", 0, progress=1.0)
    assert rows(table)["talk"][:3] == ["ended", "100 %", "-"]


def test_the_time_left_follows_the_progress_of_the_last_seconds() -> None:
    """Half of the file took ten minutes, and then it goes ten times as fast."""
    clock = Clock()
    seen = {"talk": CameraState("running", 0, progress=0.0)}
    table = LiveTable(Console(file=io.StringIO(), width=120), lambda: seen, clock)
    table.write(result("talk", 0))
    for second in range(630):
        clock.now = second
        progress = min(second, 600) / 1200 + max(0, second - 600) / 120
        seen["talk"] = CameraState("running", 0, progress=progress)
        left = rows(table)["talk"][2]
    assert (seen["talk"].progress, left) == (pytest.approx(0.7417, abs=1e-4), "0:31")


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (120, "camera state progress left frames/s frames faces latency ms dropped"),
        (80, "camera progress left frames/s faces dropped"),
        (60, "camera progress left frames/s faces"),
        (48, "camera progress left frames/s faces"),
        (36, "camera progress faces"),
    ],
)
def test_a_narrow_terminal_leaves_out_what_matters_least(width: int, columns: str) -> None:
    clock = Clock()
    table = LiveTable(Console(file=io.StringIO(), width=width), lambda: {"talk": CameraState("running", 0, 0.5)}, clock)
    for number in range(3):
        clock.now = number / 30
        table.write(result("talk", number, "surprise", "neutral"))
    assert " ".join(str(column.header) for column in table.render().columns) == columns
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(table.render())
    text = console.export_text()
    assert ("1 neutral" in text) == (width >= 80)
    assert max(map(len, text.splitlines())) <= width


def test_the_table_keeps_its_width_when_labels_change() -> None:
    table = LiveTable(Console(file=io.StringIO(), width=120), lambda: {"talk": CameraState("running", 0)}, Clock())
    widths = set()
    for labels in (("surprise", "neutral"), ("happy",), (), ("sad", "sad")):
        table.write(result("talk", 0, *labels))
        console = Console(file=io.StringIO(), width=120, record=True)
        console.print(table.render())
        widths.add(max(map(len, console.export_text().splitlines())))
    assert len(widths) == 1


def test_a_narrow_terminal_still_shows_drops() -> None:
    table = LiveTable(Console(file=io.StringIO(), width=40), lambda: {"talk": CameraState("running", 7, 0.5)}, Clock())
    table.write(result("talk", 0, "surprise", "neutral"))
    assert "dropped" in [column.header for column in table.render().columns]


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.7, "1:00"), (3599, "59:59"), (7384, "2:03:04")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_it_is_drawn_on_a_terminal_and_taken_off() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    table = LiveTable(console, lambda: {"door": CameraState("running", 0)}, Clock())
    table.close()
    assert screen.getvalue() == ""
    table.flush_if_due()
    table.write(result("door", 0, "happy"))
    table.flush_if_due()
    assert "1 happy" in screen.getvalue()
    console.print("a line of the log")
    before = len(screen.getvalue())
    table.close()
    table.close()
    assert "a line of the log" in screen.getvalue()
    assert "\x1b[2K" in screen.getvalue()[before:]  # the lines of the table are erased
