"""Identity on the demo's scenarios, with MTCNN on one frame in six and KCF between."""

from __future__ import annotations

import pytest

from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.sources.demo import OCCLUDED, DemoSource
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.matching import match
from ferengine.tracking.track import TrackedFace
from oracles.demo_truth import DemoFace, demo_truth

pytest.importorskip("skimage", reason="the demo's portraits: pip install 'ferengine[demo]'")
pytest.importorskip("matplotlib", reason="the demo's portraits: pip install 'ferengine[demo]'")

Seen = list[tuple[list[DemoFace], list[TrackedFace]]]


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector(min_face=60, factor=0.6)


def watch(detector: MtcnnDetector, scenario: str, frames: range) -> Seen:
    """The true and the tracked faces of each frame; the first, and each sixth from it, is detected."""
    source = DemoSource(scenario=scenario, frames=frames.stop)
    source.open()
    source.skip(frames.start)
    tracker = FaceTracker()
    seen: Seen = []
    for index in frames:
        captured = source.read()
        assert captured is not None
        detect = (index - frames.start) % 6 == 0
        if not detect:
            tracker.advance(captured.image, captured.timestamp)
        if detect or tracker.wants_detection:
            tracker.correct(captured.image, detector.detect(captured.image), captured.timestamp)
        seen.append((demo_truth(source, index), tracker.faces))
    return seen


def ids_by_person(seen: Seen) -> list[dict[int, int]]:
    """For each frame the id of each person whose face is tracked at an IoU of 0.5 and more."""
    answers = []
    for truth, faces in seen:
        pairs, _, _ = match([face.box for face in truth], [face.box for face in faces], 0.5)
        answers.append({truth[i].person: faces[j].id for i, j in pairs})
    return answers


def test_an_id_survives_five_occluded_frames(detector: MtcnnDetector) -> None:
    frames = range(OCCLUDED.start - 17, OCCLUDED.stop + 18)
    seen = watch(detector, "occlusion", frames)
    ids = ids_by_person(seen)
    first = ids[0][0]
    assert all(answer in ({}, {0: first}) for answer in ids)
    hidden = [ids[index - frames.start] for index in OCCLUDED]
    assert hidden[1:] == [{}] * (len(hidden) - 1)
    assert all(answer == {0: first} for answer in ids[OCCLUDED.stop - frames.start + 6 :])


def test_an_id_survives_a_turn_of_thirty_degrees(detector: MtcnnDetector) -> None:
    seen = watch(detector, "turn", range(72))
    assert max(abs(truth[0].angle) for truth, _ in seen) > 29
    assert all(answer == {0: 1} for answer in ids_by_person(seen))


@pytest.mark.parametrize("start", [0, 3])
def test_two_faces_that_pass_each_other_keep_their_ids(detector: MtcnnDetector, start: int) -> None:
    seen = watch(detector, "crossing", range(start, 160))
    sides = [truth[0].box[0] < truth[1].box[0] for truth, _ in seen]
    assert True in sides
    assert False in sides
    answers = ids_by_person(seen)
    assert answers[0].keys() == {0, 1}
    assert all(answer == answers[0] for answer in answers)


def test_detections_that_arrive_two_frames_late_keep_the_ids(detector: MtcnnDetector) -> None:
    source = DemoSource(scenario="crossing", frames=160)
    source.open()
    tracker = FaceTracker()
    seen: Seen = []
    held = None
    for index in range(160):
        captured = source.read()
        assert captured is not None
        tracker.advance(captured.image, captured.timestamp)
        if index % 6 == 0:
            held = captured.image.copy(), captured.timestamp, tracker.snapshot()
        elif index % 6 == 2 and held is not None:
            image, timestamp, snapshot = held
            tracker.correct(image, detector.detect(image), timestamp, snapshot)
        elif index > 2:
            seen.append((demo_truth(source, index), tracker.faces))
    answers = ids_by_person(seen)
    assert answers[0].keys() == {0, 1}
    assert all(answer == answers[0] for answer in answers)
