"""The live table."""

from __future__ import annotations

import io

from rich.console import Console

from ferengine.results import Expression, Face, FrameResult, Ledger, Scores
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
    return FrameResult(camera, frame, 0.0, 20.0 + frame, tuple(faces), Ledger(0, 0, 0, 0, 0))


def rows(table: LiveTable) -> dict[str, list[str]]:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(table.render())
    lines = [line.split("│")[1:-1] for line in console.export_text().splitlines() if line.startswith("│")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_rates_faces_latency_and_drops() -> None:
    clock = Clock()
    table = LiveTable(["door", "hall"], Console(file=io.StringIO()), clock)
    assert rows(table)["hall"] == ["-"] * 5
    for number in (5, 6, 8, 9, 10):
        clock.now = number / 10
        table.write(result("door", number, "happy", "happy", "sad", None))
    assert rows(table)["door"] == ["8.0", "5", "4: 2 happy, 1 sad", "28", "1"]
    clock.now = 60.0
    assert rows(table)["door"] == ["0.0", "5", "4: 2 happy, 1 sad", "-", "1"]
    table.write(result("new", 0))
    assert rows(table)["new"] == ["0.0", "1", "0", "20", "0"]


def test_it_is_drawn_on_a_terminal_and_taken_off() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    table = LiveTable(["door"], console, Clock())
    table.close()
    assert screen.getvalue() == ""
    table.flush_if_due()
    table.write(result("door", 0, "happy"))
    table.flush_if_due()
    assert "1 happy" in screen.getvalue()
    console.print("a line of the log")
    table.close()
    table.close()
    assert "a line of the log" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h") or "\x1b[2K" in screen.getvalue()
