"""The live table."""

from __future__ import annotations

import io

from rich.console import Console

from ferengine.results import Expression, Face, FrameResult, Scores, Timings
from ferengine.sinks.table import LiveTable


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


def rows(table: LiveTable) -> dict[str, list[str]]:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(table.render())
    lines = [line.split("│")[1:-1] for line in console.export_text().splitlines() if line.startswith("│")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_states_rates_faces_latency_and_drops() -> None:
    clock = Clock()
    seen = {"door": ("running", 3), "hall": ("opening", 0)}
    table = LiveTable(Console(file=io.StringIO()), lambda: seen, clock)
    assert rows(table)["hall"] == ["opening", "-", "-", "-", "-", "0"]
    for number in (5, 6, 8, 9, 10):
        clock.now = number / 10
        table.write(result("door", number, "happy", "happy", "sad", None))
    assert rows(table)["door"] == ["running", "8.0", "5", "4: 2 happy, 1 sad", "28", "3"]
    clock.now = 60.0
    seen["door"] = ("disconnected", 4)
    assert rows(table)["door"] == ["disconnected", "0.0", "5", "4: 2 happy, 1 sad", "-", "4"]
    seen["new"] = ("running", 0)
    table.write(result("new", 0))
    assert rows(table)["new"] == ["running", "0.0", "1", "0", "20", "0"]
    del seen["hall"]
    assert set(rows(table)) == {"door", "new"}


def test_it_is_drawn_on_a_terminal_and_taken_off() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    table = LiveTable(console, lambda: {"door": ("running", 0)}, Clock())
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
