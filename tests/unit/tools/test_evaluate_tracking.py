"""``ferengine evaluate-tracking``: its counts on made sequences, its scores beside those of TrackEval, and its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_help import command
from ferengine.detection.base import Detections, Detector, Frame, Near
from ferengine.errors import UsageError
from ferengine.sources.base import CapturedFrame
from ferengine_tools.tracking.identity_scores import Overlaps, identity_scores
from ferengine_tools.tracking.lines import read_lines
from ferengine_tools.tracking.measures import Measures, measure
from ferengine_tools.tracking.pseudo_truth import pseudo_truth

main = command("evaluate-tracking")

Faces = dict[int, tuple[float, ...]]
HERE, THERE = (10.0, 10.0, 40.0, 50.0), (200.0, 10.0, 40.0, 50.0)


def write(path: Path, frames: list[Faces], *, camera: str = "demo", labels: dict[int, list[str]] | None = None) -> Path:
    """Lines at 10 frames/s; ``labels`` gives those of each track, one a frame."""
    lines = []
    for number, faces in enumerate(frames):
        shown: list[dict[str, Any]] = []
        for track, box in faces.items():
            face: dict[str, Any] = {"track": track, "box": box[:4]}
            if len(box) > 4:
                face["ignore"] = True
            if labels is not None:
                face["expression"] = {"label": "any", "smoothed": {"label": labels[track][number]}}
            shown.append(face)
        lines.append(json.dumps({"camera": camera, "frame": number, "timestamp": number / 10, "faces": shown}))
    path.write_text("\n".join(lines))
    return path


def measured(tmp_path: Path, truth: list[Faces], result: list[Faces], **more: Any) -> Measures:
    true = read_lines(write(tmp_path / "truth.jsonl", truth))["demo"]
    return measure([(true, read_lines(write(tmp_path / "result.jsonl", result, **more))["demo"])])


def test_a_perfect_run(tmp_path: Path) -> None:
    frames: list[Faces] = [{1: HERE, 2: THERE}] * 5
    got = measured(tmp_path, frames, frames)
    assert (got.recall, got.precision, got.scores.idf1, got.scores.hota) == (1.0, 1.0, 1.0, 1.0)
    assert (got.people, got.tracks, got.appearances, got.unseen, got.latencies) == (2, 2, 2, 0, [0.0, 0.0])
    assert got.wrong_continuations == got.shared_tracks == got.false_tracks == got.extra_tracks == 0


def test_an_id_that_goes_on_to_another_person(tmp_path: Path) -> None:
    got = measured(tmp_path, [{1: HERE}] * 4 + [{2: HERE}] * 6, [{7: HERE}] * 10)
    assert (got.wrong_continuations, got.shared_tracks, got.extra_tracks, got.tracks) == (1, 1, 0, 1)
    assert got.scores.idf1 == pytest.approx(0.6)


def test_extra_and_false_ids(tmp_path: Path) -> None:
    got = measured(tmp_path, [{1: HERE}] * 10, [{1: HERE}] * 5 + [{2: HERE, 3: THERE}] * 5)
    assert (got.extra_tracks, got.false_tracks, got.wrong_continuations) == (1, 1, 0)
    assert (got.recall, got.precision) == (1.0, pytest.approx(10 / 15))


def test_an_ignored_face_counts_for_nothing(tmp_path: Path) -> None:
    hidden = (*HERE, "ignored")
    got = measured(tmp_path, [{1: HERE}] * 3 + [{1: hidden}] * 3, [{1: HERE}] * 6)
    assert (got.true_faces, got.shown_faces, got.precision, got.recall) == (3, 3, 1.0, 1.0)


def test_latency_to_a_new_face(tmp_path: Path) -> None:
    nobody: Faces = {}
    truth: list[Faces] = [{1: HERE}] * 5 + [nobody] * 15 + [{1: HERE}] * 5 + [{2: THERE}] * 2
    result: list[Faces] = [nobody] * 2 + [{1: HERE}] * 3 + [nobody] * 15 + [{1: HERE}] * 7
    got = measured(tmp_path, truth, result)
    assert (got.appearances, got.unseen) == (3, 1)
    assert got.latencies == [pytest.approx(0.2), pytest.approx(0.0)]


def test_frames_that_one_file_lacks_are_counted(tmp_path: Path) -> None:
    got = measured(tmp_path, [{1: HERE}] * 6, [{1: HERE}] * 4)
    assert (got.missing_frames, got.unlabelled_frames, got.recall) == (2, 0, pytest.approx(4 / 6))
    got = measured(tmp_path, [{1: HERE}] * 4, [{1: HERE}] * 6)
    assert (got.missing_frames, got.unlabelled_frames, got.precision) == (0, 2, 1.0)


def test_label_changes_a_second(tmp_path: Path) -> None:
    labels = {1: ["sad", "sad", "happy", "happy", "sad", "sad"]}
    got = measured(tmp_path, [{1: HERE}] * 6, [{1: HERE}] * 6, labels=labels)
    assert got.label_changes_per_second == pytest.approx(2 / 0.5)
    assert measured(tmp_path, [{1: HERE}], [{1: HERE}]).label_changes_per_second is None


def random_frames(seed: int) -> list[Overlaps]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(60):
        people, tracks = (np.sort(rng.choice(5, rng.integers(0, 5), replace=False)) for _ in range(2))
        iou = rng.uniform(0, 1, (len(people), len(tracks))) ** 2
        iou[people[:, None] == tracks] = rng.uniform(0.3, 1.0, int((people[:, None] == tracks).sum()))
        frames.append(Overlaps(people, tracks, iou))
    return frames


def test_scores_are_those_of_trackeval() -> None:
    """Computed once by TrackEval 1.3.0."""
    got = identity_scores(random_frames(0))
    assert got.idf1 == pytest.approx(0.290456431535, abs=1e-9)
    assert (got.hota, got.detection, got.association) == pytest.approx(
        (0.177367976083, 0.286594033761, 0.110540535038), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(1, 6))
def test_scores_beside_trackeval(seed: int) -> None:
    pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    from trackeval.metrics.hota import HOTA
    from trackeval.metrics.identity import Identity

    frames = random_frames(seed)
    data = {
        "gt_ids": [frame.people for frame in frames],
        "tracker_ids": [frame.tracks for frame in frames],
        "similarity_scores": [frame.iou for frame in frames],
        "num_gt_ids": 5,
        "num_tracker_ids": 5,
        "num_gt_dets": sum(len(frame.people) for frame in frames),
        "num_tracker_dets": sum(len(frame.tracks) for frame in frames),
    }
    hota = HOTA().eval_sequence(data)
    identity = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    got = identity_scores(frames)
    assert got.idf1 == pytest.approx(float(identity["IDF1"]))
    assert (got.hota, got.detection, got.association) == pytest.approx(
        tuple(float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA"))
    )


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames: list[Faces] = [{1: HERE}] * 5
    truth, result = write(tmp_path / "truth.jsonl", frames, camera="a"), write(tmp_path / "result.jsonl", frames)
    main([result, "--truth", truth, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["demo"]["idf1"] == 1.0
    assert report["demo"]["label_changes_per_second"] is None
    main([result, "--truth", truth])
    assert "wrong continuations" in capsys.readouterr().out


def test_cameras_are_measured_apart_and_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, result = tmp_path / "truth.jsonl", tmp_path / "result.jsonl"
    for path, second in ((truth, {1: HERE}), (result, {1: THERE})):
        write(path, [{1: HERE}] * 4, camera="a")
        text = path.read_text()
        write(path, [second] * 4, camera="b")
        path.write_text(text + "\n" + path.read_text() + '\n{"camera": "a", "event": "ended", "timestamp": 1.0}\n')
    main([result, "--truth", truth, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [report[name]["idf1"] for name in ("a", "b", "all")] == [1.0, 0.0, 0.5]


def a_line(faces: str, frame: int = 0) -> str:
    return f'{{"camera": "a", "frame": {frame}, "timestamp": 0, "faces": [{faces}]}}'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "holds no frame"),
        ("{", r"bad\.jsonl:1: "),
        ('{"camera": "a", "frame": 0, "timestamp": 0}', r"bad\.jsonl:1: faces: field required"),
        (a_line('{"track": 1, "box": [0, 0, 5]}'), r"bad\.jsonl:1: faces\.0\.box"),
        (a_line('{"track": 1, "box": [0, 0, 0, 9]}'), "greater than 0, not 0"),
        (a_line('{"track": null, "box": [0, 0, 5, 5]}'), r"faces\.0\.track"),
        (a_line('{"track": 1, "box": [0, 0, 5, 5]}, {"track": 1, "box": [9, 0, 5, 5]}'), "a track is listed twice"),
        (a_line("") + "\n" + a_line(""), r"bad\.jsonl:2: frame 0 of a is there twice"),
        (a_line("", frame=99), "no frame of the truth is in the result"),
    ],
)
def test_bad_lines_are_named(text: str, error: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text)
    with pytest.raises(UsageError, match=error):
        main([bad, "--truth", write(tmp_path / "truth.jsonl", [{1: HERE}])])


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    result = write(tmp_path / "result.jsonl", [{1: HERE}])
    with pytest.raises(UsageError, match="either --truth FILE or --pseudo CLIP"):
        main([result])
    with pytest.raises(UsageError, match="--one-person is for --pseudo"):
        main([result, "--truth", result, "--one-person"])
    with pytest.raises(UsageError, match="--write-truth is for --pseudo and the demo"):
        main([result, "--truth", result, "--write-truth", tmp_path / "new.jsonl"])
    with pytest.raises(UsageError, match="no scenario 'rest'"):
        main([result, "--truth", "demo:rest"])
    with pytest.raises(UsageError, match=r"cannot read .*none\.jsonl"):
        main([tmp_path / "none.jsonl", "--truth", result])
    with pytest.raises(UsageError, match="clips that can be read again"):
        main([result, "--pseudo", "0"])
    other = write(tmp_path / "other.jsonl", [{1: HERE}], camera="b")
    other.write_text(other.read_text() + "\n" + result.read_text())
    with pytest.raises(UsageError, match="the truth is of the cameras b, demo, the result of demo"):
        main([result, "--truth", other])
    with pytest.raises(UsageError, match="--pseudo is for one"):
        main([other, "--pseudo", "demo:empty"])


class Script(Detector):
    """Finds in its n-th frame what it was given for it."""

    def __init__(self, frames: list[list[tuple[float, ...]]]) -> None:
        self._frames = iter(frames)

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        found = np.array(next(self._frames), np.float32).reshape(-1, 5)
        return Detections(found[:, :4], found[:, 4], None)


def searched(
    frames: list[list[tuple[float, ...]]], images: list[Frame] | None = None, one_person: bool = False
) -> list[list[int]]:
    grey = np.full((60, 80, 3), 90, np.uint8)
    captured = [CapturedFrame(grey if images is None else images[n], n / 10) for n in range(len(frames))]
    truth = pseudo_truth(captured, Script(frames), 0.95, one_person)
    return [list(seen.tracks) for seen in truth.values()]


def test_pseudo_truth_links_what_stays_in_place() -> None:
    here, there = (*HERE, 0.99), (*THERE, 0.99)
    weak, false = (*HERE, 0.6), (120.0, 30.0, 40.0, 40.0, 0.9)
    assert searched([[here, there], [weak], [here, false], [here, there], [false, there]]) == [[0, 1], [0], [0], [0, 1], [1]]


def test_pseudo_truth_ends_people_at_a_cut_unless_there_is_only_one() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 255, (60, 80, 3), np.uint8) for _ in range(2))
    frames, images = [[(*HERE, 0.99)]] * 6, [first] * 3 + [second] * 3
    assert searched(frames, images) == [[0]] * 3 + [[1]] * 3
    assert searched(frames, images, one_person=True) == [[0]] * 6


def test_pseudo_truth_of_the_demo_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage", reason="the demo's portraits: pip install 'ferengine[demo]'")
    result, truth = write(tmp_path / "result.jsonl", [{}] * 3), tmp_path / "truth.jsonl"
    folder = tmp_path / "images"
    folder.mkdir()
    from ferengine.sources.demo import DemoSource
    from ferengine.vision import cv2

    source = DemoSource(320, 240, frames=3, faces=1)
    source.open()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), source.read().image)
    main([result, "--pseudo", folder, "--write-truth", truth, "--json"])
    report = json.loads(capsys.readouterr().out)["demo"]
    assert (report["true_faces"], report["recall"], report["unseen"]) == (3, 0.0, 1)
    main([truth, "--truth", truth, "--json"])
    assert json.loads(capsys.readouterr().out)["demo"]["hota"] == 1.0
    with pytest.raises(UsageError, match=r"cannot write .*truth\.jsonl: File exists"):
        main([result, "--pseudo", folder, "--write-truth", truth])


def test_the_demo_knows_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, truth = write(tmp_path / "result.jsonl", [{}] * 60), tmp_path / "truth.jsonl"
    main([result, "--truth", "demo:passing", "--write-truth", truth, "--json"])
    report = json.loads(capsys.readouterr().out)["demo"]
    assert (report["frames"], report["people"], report["unseen"]) == (60, 2, 2)
    true = read_lines(truth)["demo"]
    assert [len(true[number].tracks) for number in (0, 59)] == [2, 2]
    main([result, "--truth", "demo:hiding", "--write-truth", tmp_path / "hiding.jsonl", "--json"])
    hiding = read_lines(tmp_path / "hiding.jsonl")["demo"]
    assert [(len(hiding[number].tracks), len(hiding[number].ignored)) for number in (0, 50)] == [(1, 0), (0, 1)]
