"""Which files of an archive are read, where their results go, and what one task leaves behind; without a cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ferengine.errors import SinkError, UsageError
from ferengine.fleet.file_task import FileJob, FileOutcome, read_file
from ferengine.fleet.files import FilesPlan, FilesProgress, plan_files, read_files
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from video_help import write_video


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a/x.mp4", "a/deep/x.mp4", "a/notes.txt"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "archive"


def complete(job: FileJob) -> None:
    """Leave what a task leaves."""
    Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    Path(job.output).write_text("{}\n")
    Path(job.record).write_text(json.dumps({"size": job.size, "modified": job.modified, "settings": json.loads(job.settings)}))


def test_plan_mirrors_the_folders_of_the_archive(archive: Path, tmp_path: Path) -> None:
    plan = plan_files([f"{archive}/**/*.mp4"], tmp_path / "out")
    found = {Path(job.output).relative_to(tmp_path / "out").as_posix(): job for job in plan.jobs}
    assert sorted(found) == ["a/deep/x.mp4.jsonl", "a/x.mp4.jsonl", "b.mp4.jsonl"]
    job = found["a/x.mp4.jsonl"]
    assert (job.source, job.size) == (str(archive / "a" / "x.mp4"), len("a/x.mp4"))
    assert Path(job.record) == tmp_path / "out" / "a" / "x.mp4.json"
    assert not (tmp_path / "out").exists()


def test_plan_takes_relative_patterns(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive.parent)
    plan = plan_files(["archive/*/*.mp4", "archive/b.mp4"], "out")
    assert {(job.source, job.output) for job in plan.jobs} == {
        (str(archive / "a" / "x.mp4"), str(tmp_path / "out" / "a" / "x.mp4.jsonl")),
        (str(archive / "b.mp4"), str(tmp_path / "out" / "b.mp4.jsonl")),
    }


def test_plan_reads_a_file_once_that_several_patterns_and_links_name(archive: Path, tmp_path: Path) -> None:
    (archive / "link.mp4").symlink_to(archive / "b.mp4")
    plan = plan_files([str(archive / "b.mp4"), f"{archive}/*.mp4", f"{archive}/**"], tmp_path / "out")
    assert sorted(Path(job.source).name for job in plan.jobs) == ["b.mp4", "notes.txt", "x.mp4", "x.mp4"]


def test_plan_ignores_results_within_the_archive(archive: Path) -> None:
    out = archive / "results"
    for job in plan_files([f"{archive}/**/*.mp4"], out).jobs:
        complete(job)
    assert plan_files([f"{archive}/**"], out).kept == 3
    assert [Path(job.source).name for job in plan_files([f"{archive}/**"], out).jobs] == ["notes.txt"]


def test_plan_takes_names_with_brackets_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "[2024]" / "a[1].mp4"
    path.parent.mkdir()
    path.write_bytes(b"x")
    [job] = plan_files([str(path)], tmp_path / "out").jobs
    assert job.source == str(path)


def test_plan_goes_on_where_a_run_ended_and_reads_changed_files_again(archive: Path, tmp_path: Path) -> None:
    pattern, out = f"{archive}/**/*.mp4", tmp_path / "out"
    first = plan_files([pattern], out, min_face=50.0)
    complete(first.jobs[0])
    complete(first.jobs[1])
    Path(first.jobs[2].output).write_text("no record says that this is complete")
    second = plan_files([pattern], out, min_face=50.0)
    assert (second.jobs, second.kept, second.changed) == (first.jobs[2:], 2, ())
    os.utime(first.jobs[0].source, ns=(0, 1))
    third = plan_files([pattern], out, min_face=50.0)
    assert ([job.source for job in third.jobs], third.kept) == ([first.jobs[0].source, first.jobs[2].source], 1)
    assert third.changed == (first.jobs[0].source,)
    with pytest.raises(UsageError, match="was made with other settings: choose another folder, or pass --overwrite"):
        plan_files([pattern], out)
    assert len(plan_files([pattern], out, overwrite=True).jobs) == 3


def test_plan_refuses_results_under_a_prior_whose_file_was_changed(archive: Path, tmp_path: Path) -> None:
    """Half of an archive would be read under the one, half under the other, and all lines name the same file."""
    mine, out, labels = tmp_path / "mine.json", tmp_path / "out", load_model("standard").manifest.labels
    mine.write_text(json.dumps({label: 0.4 if label == "happy" else 0.1 for label in labels}))
    job = plan_files([f"{archive}/**/*.mp4"], out, prior=mine).jobs[0]
    complete(job)
    prior = choose_prior(load_model("standard").manifest, mine)
    assert prior is not None
    summary = {"prior": {"name": prior.name, "probabilities": prior.by_label()}}
    Path(job.record).write_text(json.dumps(json.loads(Path(job.record).read_text()) | {"summary": summary}))
    assert plan_files([f"{archive}/**/*.mp4"], out, prior=mine).kept == 1
    mine.write_text(json.dumps({label: 0.4 if label == "sad" else 0.1 for label in labels}))
    with pytest.raises(UsageError, match=r"was made when the prior .*mine\.json had other probabilities: .* pass --overwrite"):
        plan_files([f"{archive}/**/*.mp4"], out, prior=mine)
    assert len(plan_files([f"{archive}/**/*.mp4"], out, overwrite=True, prior=mine).jobs) == 3


def test_plan_refuses_a_prior_before_any_file_is_read(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^the model standard has no prior 'evryday': choose one of uniform, "):
        plan_files([f"{archive}/**/*.mp4"], tmp_path / "out", prior="evryday")
    with pytest.raises(UsageError, match=r"^prior .*mine\.json cannot be read: No such file"):
        plan_files([f"{archive}/**/*.mp4"], tmp_path / "out", prior=tmp_path / "mine.json")


def test_plan_refuses_two_files_for_the_same_results(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"would both have the results .*x\.mp4\.jsonl"):
        plan_files([f"{archive}/a/*.mp4", f"{archive}/a/deep/*.mp4"], tmp_path / "out")
    with pytest.raises(UsageError, match=r"--files: there is no file .*\.mkv"):
        plan_files([f"{archive}/**/*.mkv"], tmp_path / "out")


def test_task_writes_results_and_then_their_record(tmp_path: Path) -> None:
    video = write_video(tmp_path / "in" / "talk.mp4", frames=12)
    [job] = plan_files([str(video)], tmp_path / "out", min_face=50.0).jobs
    outcome = read_file(job)
    assert (outcome.source, outcome.error, outcome.truncated, outcome.frames) == (str(video), None, False, 12)
    lines = [json.loads(line) for line in Path(job.output).read_text().splitlines()]
    assert [line["frame"] for line in lines if "faces" in line] == list(range(12))
    record = json.loads(Path(job.record).read_text())
    assert (record["settings"], record["size"]) == ({"min_face": 50.0}, video.stat().st_size)
    assert record["summary"]["frames"] == 12
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["talk.mp4.json", "talk.mp4.jsonl"]
    assert plan_files([str(video)], tmp_path / "out", min_face=50.0) == FilesPlan((), 1, ())


def test_task_names_a_broken_file_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    [job] = plan_files([str(broken)], tmp_path / "out").jobs
    outcome = read_file(job)
    assert outcome.error is not None
    assert "broken.mp4" in outcome.error
    assert not list((tmp_path / "out").iterdir())


def test_task_names_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    outcome = read_file(FileJob(str(tmp_path / "x.mp4"), str(tmp_path / "out" / "x.jsonl"), "", 0, 0, "{}"))
    assert outcome.error is not None
    assert "x.jsonl cannot be written" in outcome.error


def test_progress_estimates_the_time_left_by_size() -> None:
    progress = FilesProgress(total=4, kept=1, bytes_total=100, seconds=10)
    assert progress.seconds_left is None
    progress.note(FileOutcome("a", frames=5, faces=2), 20)
    progress.note(FileOutcome("b", error="no video"), 5)
    progress.note(FileOutcome("c", truncated=True, frames=1), 25)
    assert progress.seconds_left == 10
    assert (progress.done, progress.frames, progress.faces) == (2, 6, 2)
    assert ([each.source for each in progress.failed], [each.source for each in progress.truncated]) == (["b"], ["c"])


def test_run_clears_parts_of_killed_runs_and_is_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / ".ferengine-123.part").write_text("half a line")

    def again(_: FilesProgress) -> None:
        raise AssertionError("nothing is to be read")

    assert read_files(FilesPlan((), 3, ()), out, report=again).total == 3
    assert not list((out / "a").iterdir())
    import fcntl

    with (out / ".ferengine-files.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run writes to"):
            read_files(FilesPlan((), 3, ()), out)
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        read_files(FilesPlan((), 0, ()), tmp_path / "file")
