"""The label along a track: held against noise, quick to follow a real change, uncertain where a face cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ferengine.classification.labelling import Answer, Labeller, unreadable
from ferengine.classification.smoothing import Smoother
from ferengine.config import make_config
from ferengine.results import Pose, Quality, UncertainReason

GOOD = Quality(size=100, sharpness=0.4, brightness=120, contrast=40)


def vector(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)


def run(labeller: Labeller, rows: Iterable[np.ndarray], fps: float = 25) -> list[Answer]:
    """The answers for one track whose scores need no smoothing."""
    return [labeller.update(1, n / fps, row, row) for n, row in enumerate(rows)]


def labels(answers: Iterable[Answer]) -> list[int | None]:
    return [answer.label for answer in answers]


def frames_to_change(p: float, q: float, fps: float = 100) -> int:
    """How many frames with scores ``q``, ``p`` replace class 0, which one frame has set; 1000 if none do."""
    answers = run(Labeller(0.38), [vector(1, 0), *[vector(q, p)] * 1000], fps)
    return next((n for n, answer in enumerate(answers) if answer.label == 1), 1000)


@pytest.mark.parametrize(("p", "q"), [(0.99, 0.01), (0.6, 0.3), (0.5, 0.35), (0.4, 0.35), (0.3, 0.1), (0.5, 0.5), (0.3, 0.6)])
def test_evidence_adds_up_as_the_formula_says(p: float, q: float) -> None:
    rate = (p**4 - 3 * q**4) / (p**4 + q**4) * min(1, max(p, q) / 0.6)
    expected = 0.38 / rate * 100 if rate > 0 else 1000
    assert frames_to_change(p, q) == pytest.approx(expected, abs=1.01)


def test_a_change_names_the_label_before() -> None:
    answers = run(Labeller(0.38), [vector(0.9, 0.1)] * 10 + [vector(0.1, 0.9)] * 10)
    assert [(answer.label, answer.before) for answer in answers if answer.changed] == [(1, 0)]


def test_brief_changes_add_up_to_nothing() -> None:
    there, back = [vector(0.05, 0.95)] * 9, [vector(0.95, 0.05)] * 9
    assert labels(run(Labeller(0.38), [*back, *(there + back) * 50])) == [0] * 909


def test_one_frame_is_no_evidence_for_the_time_before_it() -> None:
    labeller = Labeller(0.38)
    labeller.update(1, 0.0, vector(1, 0), vector(1, 0))
    assert labeller.update(1, 9.0, vector(0, 1), vector(0, 1)).label == 0


def test_scores_of_zero_are_no_evidence() -> None:
    assert labels(run(Labeller(0.38), [vector(1, 0, 0), *[vector(0, 0, 1)] * 3])) == [0, 0, 0, 0]


def test_without_hold_the_largest_smoothed_score_decides() -> None:
    labeller = Labeller()
    for time, p in enumerate((0.6, 0.49, 0.51)):
        assert labeller.update(1, time, vector(0, 1), vector(p, 1 - p)).label == int(p < 0.5)


def test_a_new_track_and_a_clock_that_runs_back_start_anew() -> None:
    labeller = Labeller(0.38)
    labeller.update(1, 5.0, vector(0.7, 0.3), vector(0.7, 0.3))
    assert labeller.update(2, 5.1, vector(0.45, 0.55), vector(0.45, 0.55)) == Answer(1)
    assert labeller.update(1, 4.0, vector(0.45, 0.55), vector(0.45, 0.55)) == Answer(1)


def low_rate(score: float, threshold: float) -> float:
    """Evidence a second that a largest score is below the threshold."""
    x, y = ((1 - score) * threshold) ** 4, (score * (1 - threshold)) ** 4
    return (x - 3 * y) / (x + y)


@pytest.mark.parametrize("score", [0.39, 0.35, 0.33, 0.3, 0.2])
def test_a_track_becomes_uncertain_as_the_formula_says(score: float) -> None:
    rows = [vector(0.9, *[0.1 / 6] * 6), *[vector(score, *[(1 - score) / 6] * 6)] * 500]
    answers = run(Labeller(0.38, 0.4), rows, fps=100)
    rate = low_rate(score, 0.4)
    became = next((n for n, answer in enumerate(answers) if answer.reason == "low_score"), 1000)
    assert became == pytest.approx(0.38 / rate * 100 if rate > 0 else 1000, abs=1.01)


@pytest.mark.parametrize("score", [0.41, 0.45, 0.48, 0.6, 0.95])
def test_an_uncertain_track_has_a_label_again_as_the_formula_says(score: float) -> None:
    rows = [vector(*[1 / 7] * 7), *[vector((1 - score) / 2, score, *[(1 - score) / 10] * 5)] * 500]
    answers = run(Labeller(0.38, 0.4), rows, fps=100)
    rate = low_rate(1 - score, 0.6)  # as much as the rest is below what is left of the threshold
    labelled = next((n for n, answer in enumerate(answers) if answer.label == 1), 1000)
    assert labelled == pytest.approx(0.38 / rate * 100 if rate > 0 else 1000, abs=1.01)
    assert answers[0].reason == "low_score"


def test_scores_about_the_threshold_change_nothing() -> None:
    rows = [vector(p, *[(1 - p) / 6] * 6) for _ in range(200) for p in (0.36, 0.44)]
    assert not any(answer.changed for answer in run(Labeller(0.38, 0.4), rows))


def test_two_sure_labels_in_turn_are_uncertain_where_smoothing_says_so() -> None:
    rows = [vector(0.95, 0.05), vector(0.05, 0.95)] * 125
    smoother, labeller = Smoother(2.0, 2), Labeller(0.38, 0.6)
    smoothed = [smoother.update(1, n / 25, row) for n, row in enumerate(rows)]
    answers = [labeller.update(1, n / 25, row, row) for n, row in enumerate(smoothed)]
    assert (answers[0].label, answers[-1].reason) == (0, "low_score")


def test_frames_of_one_time_stamp_do_not_add_up() -> None:
    labeller, sure = Labeller(0.38, check_quality=True), vector(0.9, 0.1)
    answers = [labeller.update(1, 0.0, sure, sure, Pose(yaw, 0, 0)).reason for yaw in [0] + [60] * 30]
    assert answers == [None] * 31


def test_what_is_unreadable_for_a_moment_is_not_uncertain() -> None:
    labeller = Labeller(0.38, check_quality=True)
    yaws = [0] * 10 + [60] * 9 + [0] + [60] * 9 + [0] * 10
    answers = [labeller.update(1, n / 25, vector(1, 0), vector(1, 0), Pose(yaw, 0, 0)) for n, yaw in enumerate(yaws)]
    assert labels(answers) == [0] * len(yaws)


@pytest.mark.parametrize(
    ("pose", "quality", "reason"),
    [
        (Pose(39, 0, 90), GOOD, None),
        (Pose(-41, 0, 0), GOOD, "turned"),
        (Pose(0, 36, 0), GOOD, "turned"),
        (None, replace(GOOD, size=19), "small"),
        (None, replace(GOOD, contrast=9), "dark"),
        (None, replace(GOOD, sharpness=0.09), "blurred"),
        (None, None, None),
    ],
)
def test_what_cannot_be_read_is_uncertain(pose: Pose | None, quality: Quality | None, reason: UncertainReason | None) -> None:
    assert unreadable(pose, quality) == reason
    sure = vector(0.99, 0.01)
    assert Labeller(check_quality=True).update(1, 0.0, sure, sure, pose, quality) == Answer(None if reason else 0, reason)
    assert Labeller().update(1, 0.0, sure, sure, pose, quality) == Answer(0)


def test_a_turned_face_is_read_again_only_well_inside_the_threshold() -> None:
    labeller, sure = Labeller(0.38, check_quality=True), vector(0.9, 0.1)
    yaws = [yaw for yaw in (30, 41, 38, 35, 38) for _ in range(25)]
    answers = [labeller.update(1, n / 25, sure, sure, Pose(yaw, 0, 0)).reason for n, yaw in enumerate(yaws)]
    assert [answers[n] for n in range(24, 125, 25)] == [None, "turned", "turned", None, None]


@pytest.mark.parametrize("fps", [10, 15, 25, 60])
@pytest.mark.parametrize("after", [(0.15, 0.7, 0.15), (0.05, 0.9, 0.05), (0.2, 0.6, 0.2)])
def test_a_real_change_is_shown_within_0_4_seconds_of_media_time(fps: int, after: tuple[float, ...]) -> None:
    config = make_config()
    smoother, labeller = Smoother(config.smoothing, 3), Labeller(config.label_hold, config.min_confidence)
    rows = [vector(0.8, 0.1, 0.1)] * fps + [vector(*after)] * fps
    shown = [labeller.update(1, n / fps, row, smoother.update(1, n / fps, row)).label for n, row in enumerate(rows)]
    assert shown[:fps] == [0] * fps
    assert shown[fps:].index(1) / fps <= 0.4
    assert sum(a != b for a, b in pairwise(shown)) == 1


def test_scores_that_waver_change_no_label() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 1000)
    rows = [vector(p, 1 - p) for p in np.clip(0.5 + noise, 0.01, 0.99)]
    smoother, held, loose = Smoother(0.25, 2), Labeller(0.38), Labeller()
    assert sum(loose.update(1, n / 25, row, smoother.update(1, n / 25, row)).changed for n, row in enumerate(rows)) > 50
    assert sum(answer.changed for answer in run(held, rows)) <= 4


def test_tracks_that_are_gone_are_forgotten() -> None:
    labeller = Labeller()
    for track in range(200):
        labeller.update(track, float(track), vector(1, 0), vector(1, 0))
    assert len(labeller) < 70


def test_a_track_that_was_lost_and_found_holds_its_label_and_asks_for_as_much_evidence() -> None:
    """The time out of sight counts as a fifth of a second at most."""
    labeller = Labeller(0.38, 0.4, check_quality=True)
    before, after = vector(0.9, 0.1), vector(0.1, 0.9)
    times = [*(n / 25 for n in range(25)), *(4 + n / 25 for n in range(25))]
    answers = [
        labeller.update(1, time, row, row, None, GOOD) for time, row in zip(times, [before] * 25 + [after] * 25, strict=True)
    ]
    assert labels(answers[:25]) == [0] * 25
    changed = [time for time, answer in zip(times, answers, strict=True) if answer.changed]
    assert len(changed) == 1
    assert 0.38 - 0.2 <= changed[0] - 4 + 0.04 <= 0.45


def test_what_a_track_was_uncertain_for_holds_while_it_is_lost() -> None:
    labeller, sure = Labeller(0.38, 0.4, check_quality=True), vector(0.9, 0.1)
    times = [n / 25 for n in range(25)] + [3.5, 3.54, 3.58, 3.62, 3.66, 3.7, 3.74, 3.78, 3.82, 3.86]
    yaws = [60] * 25 + [0] * 10
    reasons = [labeller.update(1, t, sure, sure, Pose(yaw, 0, 0)).reason for t, yaw in zip(times, yaws, strict=True)]
    assert reasons[:25] == ["turned"] * 25
    assert reasons[25:29] == ["turned"] * 4
    assert reasons[-1] is None


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_varies_changes_a_label_after_as_much_time(seed: int) -> None:
    steps = np.random.default_rng(seed).choice([0.01, 0.02, 0.04, 0.1, 0.2], 400)
    times = np.cumsum(steps).tolist()
    labeller = Labeller(0.38)
    answers = [labeller.update(1, time, *[vector(*(0.9, 0.1) if time < 5 else (0.1, 0.9))] * 2) for time in times]
    last = max(time for time in times if time < 5)
    (changed,) = [time for time, answer in zip(times, answers, strict=True) if answer.changed]
    rate = (0.9**4 - 3 * 0.1**4) / (0.9**4 + 0.1**4)
    assert 0.38 / rate <= changed - last + 1e-6 <= 0.38 / rate + 0.2


def test_a_track_of_one_frame_has_the_label_of_that_frame() -> None:
    answer = Labeller(0.38, 0.4, check_quality=True).update(7, 3.0, vector(0.2, 0.8), vector(0.2, 0.8), None, GOOD)
    assert answer == Answer(1)


def test_a_prior_that_changes_at_run_time_changes_a_label_once() -> None:
    """Scores that cross each other slowly, as under a prior that follows the camera."""
    ratios = np.linspace(0.25, 4, 1500)
    rows = [vector(*(np.array([0.5, 0.5 * ratio]) / (0.5 + 0.5 * ratio))) for ratio in ratios]
    answers = run(Labeller(0.38, 0.4), rows)
    changes = [(n, answer.before, answer.label) for n, answer in enumerate(answers) if answer.changed]
    assert [(before, label) for _, before, label in changes] == [(0, 1)]
    assert ratios[changes[0][0]] > 1.32
