"""What a report counts, and that its file needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from command_help import command
from ferengine.errors import FerengineError, SourceError, UsageError
from ferengine.report import events
from ferengine.report.events import Recording, read_recording

figures = pytest.importorskip("ferengine.report.figures", reason="the extra `report` is not installed", exc_type=ImportError)

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
    found = list(figures.runs(person, 0.125))
    assert [run[0] for run in found] == ["happy", "sad"]
    assert [run[1:3] for run in found] == [(0, 2.5), (2.5, 3.875)]
    assert found[0][3] == pytest.approx(0.75)


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


def test_the_file_stands_alone(tmp_path: Path) -> None:
    source, out = tmp_path / "events.jsonl", tmp_path / "report.html"
    event = {"camera": "door", "event": "disconnected", "timestamp": 1.0, "reason": "<script>alert(1)</script>"}
    hostile = frame(31, face(3, "<img src=x>"), camera="<b>attic</b>")
    source.write_text("\n".join([*lines(), json.dumps(event), hostile]))
    report([source, "--out", out])
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
    with pytest.raises(FerengineError, match="no line is a result"):
        report([tmp_path / "other.txt", "--out", tmp_path / "out.html"])
    with pytest.raises(SourceError, match="cannot be read"):
        read_recording([tmp_path / "missing"])
    with pytest.raises(UsageError, match="one of the files to read"):
        report([tmp_path / "other.txt", "--out", tmp_path / "other.txt", "--overwrite"])
    assert not (tmp_path / "out.html").exists()
