"""What a report counts, and that its file needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from command_help import command
from ferengine.errors import FerengineError, SourceError, UsageError
from ferengine.report import events
from ferengine.report.events import Recording
from ferengine.report.recordings import read_recording
from ferengine.report.screenshot import find_browser, screenshot
from ferengine.results import EPOCH_NUMBERS, CameraEvent, Expression, Face, FrameResult, Scores
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sinks.store import StoreSink
from results_help import face as shown
from results_help import result

figures = pytest.importorskip("ferengine.report.figures", reason="the extra `report` is not installed", exc_type=ImportError)

report_page = pytest.importorskip("ferengine.report.page", exc_type=ImportError).report_page

report = command("report")


def face(track: int, label: str | None, score: float = 0.75) -> dict[str, Any]:
    record: dict[str, Any] = {"track": track, "box": [1, 2, 80, 90], "score": 0.9, "track_confidence": 0.5, "expression": None}
    if label is None:
        return record | {"reason": "deadline"}
    scores = {"happy": 1 - score, "sad": 1 - score, label: score}
    record["expression"] = {"label": "sad", "scores": scores, "smoothed": {"label": label, "scores": scores}}
    return record


def frame(number: int, *faces: dict[str, Any], camera: str = "door", **more: Any) -> str:
    record = {"camera": camera, "frame": number, "timestamp": number / 8, "latency_ms": 5.0 + number % 2, "faces": faces}
    return json.dumps(record | more)


def lines() -> list[str]:
    """Person 1 is happy for 20 frames, 1/8 s each, then sad; person 2 has come with frame 10. 5 and 6 are missing."""
    found = []
    for number in (n for n in range(31) if n not in (5, 6)):
        faces = [face(1, "happy" if number < 20 else "sad")]
        if number >= 10:
            faces.append(face(2, None if number == 12 else "sad"))
        found.append(frame(number, *faces, prior="everyday", scene_cut=number == 10))
    return found


def recorded(found: list[str]) -> Recording:
    recording = Recording()
    for line in found:
        recording.add_line(line)
    return recording


def test_a_new_epoch_of_a_fleet_is_no_drop() -> None:
    recording = recorded([frame(epoch * EPOCH_NUMBERS + number) for epoch in (3, 5) for number in (0, 1, 3)])
    assert recording.cameras["door"].dropped == 2
    assert recording.cameras["door"].begun == 1


def test_counts() -> None:
    recording = recorded([*lines(), "no json", "[]", '{"camera": "door"}'])
    camera = recording.cameras["door"]
    assert (camera.frames, camera.faces, camera.dropped, camera.scene_cuts) == (29, 50, 2, 1)
    assert camera.unclassified == {"deadline": 1}
    assert recording.skipped == 3
    assert recording.priors == {"everyday"}
    one, two = recording.people[("door", 0, 1)], recording.people[("door", 0, 2)]
    assert one.seconds == pytest.approx({"happy": 2.5, "sad": 1.25})
    assert two.seconds == pytest.approx({"sad": 2.375})  # an eighth without a label is nobody's
    assert recording.transitions == {("happy", "sad"): 1}


def test_a_camera_that_begins_anew_has_new_people() -> None:
    recording = recorded([frame(0, face(1, "happy")), frame(1, face(1, "happy")), frame(0, face(1, "sad"))])
    assert list(recording.people) == [("door", 0, 1), ("door", 1, 1)]
    assert recording.cameras["door"].dropped == 0
    assert figures.name_of(("door", 1, 1)) == "#1 (run 2)"


def test_uncertain_faces_are_counted_and_their_quality_is_shown() -> None:
    read = face(1, "uncertain")
    scores = {"happy": 0.5, "sad": 0.25}
    read["expression"] = {"label": "uncertain", "scores": scores, "smoothed": {"label": "uncertain", "scores": scores}}
    read["expression"]["reason"] = "turned"
    read |= {"quality": {"sharpness": 0.5, "brightness": 90.0}, "pose": {"yaw": -60.0}}
    held = face(2, "sad")
    held["expression"]["smoothed"]["scores"] = {"happy": 0.6, "sad": 0.4}  # the label is held against a larger score
    recording = recorded([frame(0, read, held), frame(1, read | {"pose": {"yaw": -30.0}}, held)])
    assert recording.cameras["door"].uncertain == {"turned": 2}
    cells = recording.people[("door", 0, 1)].cells.values()
    assert [cell.mean("turned") for cell in cells] == [60.0, 30.0]
    assert [cell.confidence for cell in cells] == [0.5, 0.5]
    assert [cell.confidence for cell in recording.people[("door", 0, 2)].cells.values()] == [0.4, 0.4]
    titles = [title for title, _ in figures.quality(recording, "door")]
    assert "Degrees that the face is turned away" in titles
    assert len(titles) == 6
    assert len(figures.quality(recorded(lines()), "door")) == 3


def test_an_absence_lasts_a_second_at_most() -> None:
    recording = recorded([frame(0, face(1, "happy")), frame(600, face(1, "happy"))])
    assert recording.people[("door", 0, 1)].seconds == {"happy": 1.0}


def test_runs_are_those_of_the_label() -> None:
    person = recorded(lines()).people[("door", 0, 1)]
    found = list(figures.runs(person.cells, 0.125))
    assert [run[0] for run in found] == ["happy", "sad"]
    assert [run[1:3] for run in found] == [(0, 2.5), (2.5, 3.875)]
    assert found[0][3] == pytest.approx(0.75)


def test_a_timeline_has_a_bounded_number_of_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded([frame(number, face(1, "happy" if number % 40 < 24 else "sad")) for number in range(800)])
    assert sum(len(trace.x) for trace in figures.timeline(recording, "door").data) == 40
    monkeypatch.setattr(figures, "MAX_BARS", 30)
    shown = figures.timeline(recording, "door").data
    assert sum(len(trace.x) for trace in shown) <= 30
    assert sum(sum(trace.x) for trace in shown) == pytest.approx(100_000, rel=0.05)


def test_a_long_recording_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MAX_CELLS", 100)
    recording = recorded([frame(number, face(1, "happy" if number % 2 else "sad")) for number in range(0, 2000, 2)])
    camera, person = recording.cameras["door"], recording.people[("door", 0, 1)]
    assert len(person.cells) + len(camera.latencies) <= 100
    assert recording.width > 1
    assert sum(cell.n for cell in person.cells.values()) == camera.frames == 1000
    assert sum(camera.gaps.values()) == camera.dropped == 999
    assert sum(n for n, _, _ in camera.latencies.values()) == 1000
    assert person.seconds["sad"] == pytest.approx(249.75)


def test_the_file_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "events.jsonl", tmp_path / "report.html"
    event = {"camera": "door", "event": "disconnected", "timestamp": 1.0, "reason": "<script>alert(1)</script>"}
    hostile = frame(31, face(3, "<img src=x>"), camera="<b>attic</b>")
    source.write_text("\n".join([*lines(), json.dumps(event), hostile]))
    report([source, "--out", out])
    assert capsys.readouterr() == ("", f"written: {out} ({len(lines()) + 1} frames)\n")
    page = out.read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\w+:""", own)
    assert "<script>alert" not in page
    assert "<b>attic" not in own
    assert "&lt;b&gt;attic&lt;/b&gt;" in own
    assert "Timeline" in own
    assert page.count("Plotly.newPlot(") >= 8
    with pytest.raises(UsageError, match="exists already"):
        report([source, "--out", out])
    report([source, "--out", out, "--overwrite"])


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("hello\n")
    with pytest.raises(FerengineError, match=r"no result of a run in it, .*: name what --events, --store or --parquet wrote$"):
        report([tmp_path / "other.txt", "--out", tmp_path / "out.html"])
    with pytest.raises(SourceError, match="cannot be read"):
        read_recording([tmp_path / "missing"])
    with pytest.raises(UsageError, match="one of the files to read"):
        report([tmp_path / "other.txt", "--out", tmp_path / "other.txt", "--overwrite"])
    assert not (tmp_path / "out.html").exists()


def results() -> list[FrameResult]:
    """A minute of two people, 8 frames a second, of which two are missing; one changes twice, one is unclassified at times."""
    found = []
    for number in (n for n in range(480) if n not in (50, 51)):
        first = labelled(1, "happy" if number < 160 or number >= 320 else "sad")
        second = labelled(2, None if 200 <= number < 220 else "neutral")
        found.append(result(number, first, *([second] if number >= 80 else []), fps=8.0, cut=number == 80))
    return found


def labelled(track: int, label: str | None) -> Face:
    if label is None:
        return replace(shown(track, None), reason="deadline")
    scores = dict.fromkeys(("happy", "neutral", "sad"), 0.125) | {label: 0.75}
    return replace(shown(track, None), expression=Expression(label, scores, Scores(label, scores)))


def written(folder: Path, kind: str) -> Path:
    if kind == "lines":
        path = folder / "faces.jsonl"
        sink: Any = JsonlWriter(path, prior="office")
        note = sink.write
    elif kind == "store":
        path = folder / "faces.db"
        sink = StoreSink(path, 30, labels=("happy", "neutral", "sad"), prior="office")
        note = sink.write_camera_event
    else:
        parquet = pytest.importorskip("ferengine.sinks.parquet", reason="the extra `parquet` is not installed")
        path = folder / "faces"
        sink = parquet.ParquetSink(path, parquet.parquet_schema(("happy", "neutral", "sad"), prior="office"), 100, 60, "office")
        note = sink.write_camera_event
    note(CameraEvent("door", "started", 5.0))
    for each in results():
        sink.write(each)
    note(CameraEvent("door", "ended", 6.0, "over"))
    sink.close()
    return path


@pytest.mark.parametrize("kind", ["parquet", "store"])
def test_a_report_is_the_same_whatever_was_recorded(kind: str, tmp_path: Path) -> None:
    expected = read_recording([written(tmp_path, "lines")])
    found = read_recording([written(tmp_path, kind)])
    one, other = expected.cameras["door"], found.cameras["door"]
    for name in ("frames", "faces", "dropped", "scene_cuts", "events"):
        assert getattr(other, name) == getattr(one, name), name
    assert sum(n for n, _, _ in other.latencies.values()) == 478
    assert list(found.labels) == ["happy", "neutral", "sad"]
    assert found.transitions == expected.transitions == {("happy", "sad"): 1, ("sad", "happy"): 1}
    assert found.priors == expected.priors == {"office"}
    assert list(found.people) == list(expected.people)
    tolerance = 0.001 if kind == "parquet" else 2.0
    for key, person in expected.people.items():
        assert dict(found.people[key].seconds) == pytest.approx(dict(person.seconds), abs=tolerance)
        runs = [list(figures.runs(each.people[key].cells, each.width)) for each in (expected, found)]
        assert [run[0] for run in runs[0]] == [run[0] for run in runs[1]]
    if kind == "parquet":
        assert other.unclassified == one.unclassified == {"deadline": 20}
        assert found.width == expected.width
    else:
        assert 2 <= other.unclassified["deadline"] <= 3
        assert "one sample a second" in report_page(found, [tmp_path / "faces.db"])
    titles = [[title for title, _ in figures.quality(each, "door")] for each in (expected, found)]
    assert titles[0] == titles[1]


def test_a_store_that_goes_on_has_new_people(tmp_path: Path) -> None:
    for _ in range(2):
        path = written(tmp_path, "store")
    found = read_recording([path])
    assert list(found.people) == [("door", 0, 1), ("door", 0, 2), ("door", 1, 1), ("door", 1, 2)]
    assert found.cameras["door"].dropped == 4


def test_different_priors_are_said(tmp_path: Path) -> None:
    path = written(tmp_path, "store")
    StoreSink(path, 30, prior="uniform").close()
    page = report_page(read_recording([path]), [path])
    assert "Class prior: office, uniform." in page
    assert "different priors do not compare" in page
    other = tmp_path / "other.jsonl"
    sink = JsonlWriter(other)  # of a model that names no priors
    for each in results():
        sink.write(each)
    sink.close()
    StoreSink(written(tmp_path, "store"), 30).close()
    assert "Class prior" not in report_page(read_recording([other]), [other])
    for paths in ([other, written(tmp_path, "lines")], [path]):
        page = report_page(read_recording(paths), paths)
        assert ", none named." in page
        assert "different priors do not compare" in page
    with sqlite3.connect(path) as store:
        store.execute("DROP TABLE run")
        store.execute("PRAGMA user_version = 3")
    assert read_recording([path]).priors == set()


def test_databases_that_are_no_store_are_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SourceError, match="another program"):
        read_recording([tmp_path / "other.db"])
    path = written(tmp_path, "store")
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA user_version = 1")
    with pytest.raises(SourceError, match="version 1 of the schema"):
        read_recording([path])


def test_an_image_needs_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "lines")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FerengineError, match="--png needs Chromium or Chrome, and none is installed"):
        report([path, "--out", tmp_path / "a.html", "--png", tmp_path / "a.png"])
    assert not (tmp_path / "a.html").exists()
    with pytest.raises(UsageError, match="--out and --png name the same file"):
        report([path, "--out", tmp_path / "a.html", "--png", tmp_path / "a.html"])
    with pytest.raises(FerengineError, match="true has ended before it drew"):
        screenshot(path, "/bin/true")


@pytest.mark.browser
def test_the_image_shows_the_whole_page(tmp_path: Path) -> None:
    try:
        find_browser()
    except FerengineError:
        pytest.skip("Chromium is not installed")
    report([written(tmp_path, "lines"), "--out", tmp_path / "a.html", "--png", tmp_path / "a.png"])
    image = av.open(str(tmp_path / "a.png")).streams.video[0]
    assert image.width == 1220
    assert 2000 < image.height < 6000
