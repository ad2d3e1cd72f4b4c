"""No id is ever on two people where the demo cuts, hides one face behind another or behind a bar, and lets people in."""

from __future__ import annotations

import pytest

from ferengine.detection.birth import BIRTH_SCORES
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.sources.demo import DemoSource
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.matching import match

pytest.importorskip("skimage", reason="the demo's portraits: pip install 'ferengine[demo]'")
pytest.importorskip("matplotlib", reason="the demo's portraits: pip install 'ferengine[demo]'")


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector(min_face=60, thresholds=(0.6, 0.7, 0.5), factor=0.6)


def people_by_id(detector: MtcnnDetector, scenario: str, frames: range, fps: float = 30.0) -> tuple[dict[int, set[int]], int]:
    """Who was under each id, and how many visible faces were not found; one frame in six is detected, as in a run."""
    source = DemoSource(scenario=scenario, fps=fps, frames=frames.stop)
    source.open()
    source.skip(frames.start)
    tracker = FaceTracker(births=BIRTH_SCORES["mtcnn"])
    people: dict[int, set[int]] = {}
    missed = 0
    for index in frames:
        image, timestamp = (captured := source.read()).image, captured.timestamp
        tracker.look(image, timestamp)
        if index % 6:
            tracker.advance(image, timestamp)
        if index % 6 == 0 or tracker.wants_detection:
            tracker.correct(image, detector.detect(image), timestamp)
        truth, faces = source.truth(index), tracker.faces
        pairs, unseen, _ = match([face.box for face in truth], [face.box for face in faces], 0.5)
        for row, column in pairs:
            people.setdefault(faces[column].id, set()).add(truth[row].person)
        missed += sum(truth[row].hidden < 0.3 for row in unseen)
    return people, missed


@pytest.mark.parametrize(
    ("scenario", "frames", "ids"),
    [("hiding", range(130), 1), ("passing", range(60, 110), 2), ("entries", range(12, 130), 2), ("cuts", range(215), 4)],
)
def test_no_id_is_on_two_people(detector: MtcnnDetector, scenario: str, frames: range, ids: int) -> None:
    people, missed = people_by_id(detector, scenario, frames)
    assert all(len(who) == 1 for who in people.values())
    assert len(people) <= ids
    assert missed <= 4


@pytest.mark.parametrize("fps", [5, 12, 25, 60])
@pytest.mark.parametrize(
    ("scenario", "start", "end", "ids"), [("crossing", 0, 4.3, 2), ("occlusion", 0, 3, 1), ("passing", 2, 3.7, 2)]
)
def test_each_person_has_one_id_at_any_frame_rate(
    detector: MtcnnDetector, scenario: str, start: float, end: float, ids: int, fps: int
) -> None:
    people, missed = people_by_id(detector, scenario, range(int(start * fps), int(end * fps)), fps)
    assert len(people) == len(set.union(*people.values())) == ids
    assert all(len(who) == 1 for who in people.values())
    assert missed <= 3


def test_a_face_that_comes_out_further_on_keeps_its_id(detector: MtcnnDetector) -> None:
    """At 8 frames a second it is first found more than its own size beyond the place where it went behind the other."""
    people, _ = people_by_id(detector, "passing", range(8, 72), 8)
    assert people == {1: {1}, 2: {0}}
