"""The last words of a run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from ferengine.cli.report import print_summary, timeline
from ferengine.results import Expression, Face, FrameResult, Scores, Timings
from ferengine.runtime.metrics import Summary
from ferengine.seen import Seen

SUMMARY: dict[str, Any] = {
    "fps": 30.0, "frames": 100, "faces": 100, "dropped": {"track": {"skipped": 0}}, "latency_ms": {}, "batch": {"mean": 1.0},
    "blurred_whole": {}, "detector": {"name": "mtcnn", "reason": "as set"}, "prior": None, "startup_s": 1.0, "workers": {},
    "cameras": {"talk": {"prior": None}},
}  # fmt: skip


def seen(labels: list[str | None], tracks: int = 1) -> Seen:
    what = Seen()
    for number, label in enumerate(labels):
        scores = Scores(label or "", {})
        expression = Expression(scores.label, {}, scores) if label else None
        faces = [Face(1 + number % tracks, (0, 0, 1, 1), 1.0, 1.0, "detected", None, expression)] if label else []
        what.add(FrameResult("talk", number, number / 10, 1.0, tuple(faces), Timings(0, 0, 0, 0, 0)))
    return what


def all_lines(summary: dict[str, Any], what: dict[str, Seen], encoding: str = "utf-8", width: int = 80) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_summary(cast(Summary, summary), what, Console(file=file, width=width))
    file.seek(0)
    return file.read().splitlines()


def printed(what: dict[str, Seen], encoding: str = "utf-8", width: int = 80) -> list[str]:
    lines = all_lines(SUMMARY, what, encoding, width)
    return lines[next((i for i, line in enumerate(lines) if line.startswith(tuple(what))), len(lines)) :]


def test_people_fractions_and_timeline() -> None:
    lines = printed({"talk": seen(["happy"] * 5 + ["sad"] * 5 + [None] * 5 + ["sad"] * 10, tracks=2)})
    assert [line.rstrip() for line in lines] == [
        "talk: 2 people (by their tracks, at most 1 at once) in 20 of 25 frames, 0:02",
        "  sad    75 %       █████     ██████████",
        "  happy  25 %  █████",
    ]


def test_terminals_without_unicode() -> None:
    assert printed({"talk": seen(["happy"] * 3)}, "ascii") == ["talk: 1 person in 3 of 3 frames, 0:00",
                                                                "  happy 100 %  @@@"]  # fmt: skip


def test_rare_labels_share_a_line() -> None:
    lines = printed({"talk": seen(["happy"] * 300 + ["fear", "disgust"])})
    assert lines[1].startswith("  happy    99 %  ")
    assert lines[2:] == ["  below 1 %: fear, disgust"]


def test_what_each_camera_adapted_its_prior_to() -> None:
    adapted = {"prior": {"name": "adapt", "probabilities": {"happy": 0.25, "sad": 0.75}}}
    lines = all_lines({**SUMMARY, "prior": {"name": "adapt"}, "cameras": {"door": adapted, "hall": {"prior": None}}}, {})
    first = lines.index("class prior: adapt")
    assert lines[first + 1] == "  of door at the end: happy 25 %, sad 75 %"
    assert "hall" not in "".join(lines)


def test_no_face() -> None:
    assert printed({"talk": seen([None] * 3)}) == ["talk: no face in 3 frames, 0:00"]


def test_no_frame() -> None:
    assert printed({"talk": seen([])}) == ["talk: ended before its first frame was read"]


def test_many_cameras_get_a_line_each() -> None:
    lines = printed({f"camera{i}": seen(["happy"] * 3 + ["sad"]) for i in range(9)})
    assert len(lines) == 9
    assert lines[4].endswith("in 4 of 4 frames, 0:00; mostly happy (75 %)")


def test_the_timeline_shows_what_is_rare() -> None:
    assert timeline([0.0, 0.001, 0.5, 1.0, None]) == " ▁▄█ "


def test_priors_of_cameras_are_printed() -> None:
    adapted = {"name": "adapt", "probabilities": {"happy": 0.75, "neutral": 0.25}}
    console = Console(file=(file := io.StringIO()), width=100)
    print_summary(cast(Summary, {**SUMMARY, "prior": adapted, "cameras": {"talk": {"prior": adapted}}}), {}, console)
    text = file.getvalue()
    assert "class prior: adapt" in text
    assert "  of talk at the end: happy 75 %, neutral 25 %" in text


def test_a_narrow_terminal_gets_shorter_timelines_and_whole_names() -> None:
    screen = io.StringIO()
    worker = {"peak_mb": 100.0, "cpu_s": 1.0, "restarts": 0}
    summary = {**SUMMARY, "workers": {"capture-entrance-hall": worker}}
    console = Console(file=screen, width=36, force_terminal=True, color_system=None)
    print_summary(cast(Summary, summary), {"talk": seen((["happy"] * 30 + ["surprise"] * 30) * 4)}, console)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 36
    for line, label in zip(lines[-2:], ("happy", "surprise"), strict=True):
        assert re.fullmatch(rf"  {label:8}  50 %  [ ▁▂▃▄▅▆▇█]{{12,}}", line)
    assert "\N{HORIZONTAL ELLIPSIS}" not in screen.getvalue()


def test_only_what_was_chosen_has_a_reason_and_only_restarts_are_counted() -> None:
    workers = {"track-0": {"peak_mb": 100.0, "cpu_s": 1.0, "restarts": 0}}
    text = "\n".join(all_lines({**SUMMARY, "workers": workers}, {}))
    assert "detector: mtcnn\n" in text
    assert "restarts" not in text
    workers["track-0"]["restarts"] = 2
    chosen = {"name": "mtcnn", "reason": "retinaface would be too slow"}
    text = "\n".join(all_lines({**SUMMARY, "workers": workers, "detector": chosen}, {}))
    assert "detector: mtcnn (retinaface would be too slow)\n" in text
    assert re.search(r"restarts.*track-0 .* 2 ", text, re.DOTALL)


def test_standard_output_is_no_file_that_was_written() -> None:
    sink = {"written": 20, "dropped": 0, "cut": 0, "error": None}
    summary = {**SUMMARY, "sinks": {"events": sink, "csv": sink}}
    for files in ({"events": "-", "csv": None}, {"events": None, "csv": Path("-")}):
        file = io.StringIO()
        print_summary(cast(Summary, summary), {}, Console(file=file, width=200), files)
        assert "written" not in file.getvalue()
    file = io.StringIO()
    print_summary(cast(Summary, summary), {}, Console(file=file, width=200), {"events": "-", "csv": Path("faces.csv")})
    assert file.getvalue().endswith("written: faces.csv (20 frames)\n")


def test_the_files_of_a_run_are_named_with_what_is_in_them() -> None:
    whole = {"written": 100, "dropped": 0, "cut": 0, "error": None}
    sinks = {"video": whole, "events": {**whole, "written": 95, "dropped": 3, "cut": 2}, "table": whole}
    file = io.StringIO()
    files = {"video": Path("out.mp4"), "events": "faces.jsonl", "csv": None, "store": Path("faces.db")}
    print_summary(cast(Summary, {**SUMMARY, "sinks": sinks}), {"talk": seen(["happy"])}, Console(file=file, width=200), files)
    *_, written, first, label = file.getvalue().splitlines()
    assert written == "written: out.mp4 (100 frames), faces.jsonl (95 frames, 5 lost)"
    assert first.startswith("talk: 1 person")
    assert label.startswith("  happy")


def test_frames_that_were_blurred_as_a_whole_are_said() -> None:
    lines = all_lines({**SUMMARY, "blurred_whole": {"video": 5, "window": 0}}, {})
    assert [line.rstrip() for line in lines if "blurred" in line] == [
        "blurred as a whole, as no detection came in time: video 5 frames"
    ]
    assert not [line for line in all_lines({**SUMMARY, "blurred_whole": {"video": 0}}, {}) if "blurred" in line]
