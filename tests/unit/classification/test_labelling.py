"""The label along a track: held against noise, quick to follow a real change, uncertain where a face cannot be read."""

from __future__ import annotations

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


def test_a_class_is_held_until_another_leads() -> None:
    labeller = Labeller(0.2)
    given = [labeller.update(1, t, vector(p, 1 - p)) for t, p in enumerate((0.7, 0.45, 0.41, 0.39, 0.55, 0.62))]
    assert [answer.label for answer in given] == [0, 0, 0, 1, 1, 0]
    assert [(answer.changed, answer.before) for answer in given if answer.changed] == [(True, 0), (True, 1)]


def test_a_new_track_and_a_clock_that_runs_back_start_anew() -> None:
    labeller = Labeller(0.2)
    labeller.update(1, 5.0, vector(0.7, 0.3))
    assert labeller.update(2, 5.1, vector(0.45, 0.55)) == Answer(1)
    assert labeller.update(1, 4.0, vector(0.45, 0.55)) == Answer(1)


def test_uncertain_is_entered_below_and_left_above_the_threshold() -> None:
    labeller = Labeller(0.2, 0.4)
    given = [labeller.update(1, t, vector(p, *[(1 - p) / 6] * 6)) for t, p in enumerate((0.41, 0.36, 0.34, 0.42, 0.46, 0.36))]
    assert [answer.label for answer in given] == [0, 0, None, None, 0, 0]


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
    assert Labeller(check_quality=True).update(1, 0.0, sure, pose, quality) == Answer(None if reason else 0, reason)
    assert Labeller().update(1, 0.0, sure, pose, quality) == Answer(0)


def test_a_turned_face_is_read_again_only_well_inside_the_threshold() -> None:
    labeller = Labeller(0.2, check_quality=True)
    given = [labeller.update(1, t, vector(0.9, 0.1), Pose(yaw, 0, 0)) for t, yaw in enumerate((30, 41, 38, 35, 38))]
    assert [answer.reason for answer in given] == [None, "turned", "turned", None, None]


@pytest.mark.parametrize("fps", [15, 25, 60])
def test_a_real_change_is_shown_within_0_4_seconds_of_media_time(fps: int) -> None:
    config = make_config()
    smoother, labeller = Smoother(config.smoothing, 3), Labeller(config.label_lead, config.min_confidence)
    before, after = vector(0.8, 0.1, 0.1), vector(0.15, 0.7, 0.15)
    shown = [
        labeller.update(1, n / fps, smoother.update(1, n / fps, before if n < fps else after)).label for n in range(2 * fps)
    ]
    assert shown[:fps] == [0] * fps
    assert shown[fps:].index(1) / fps <= 0.4
    assert sum(a != b for a, b in pairwise(shown)) == 1


def test_scores_that_waver_change_no_label() -> None:
    noise = np.random.default_rng(0).normal(0, 0.08, 1000)
    smoother, held, loose = Smoother(0.25, 2), Labeller(0.2), Labeller()
    smoothed = [smoother.update(1, n / 25, vector(0.5 + x, 0.5 - x)) for n, x in enumerate(noise)]
    assert sum(loose.update(1, n / 25, row).changed for n, row in enumerate(smoothed)) > 50
    assert sum(held.update(1, n / 25, row).changed for n, row in enumerate(smoothed)) == 0


def test_tracks_that_are_gone_are_forgotten() -> None:
    labeller = Labeller()
    for track in range(200):
        labeller.update(track, float(track), vector(1, 0))
    assert len(labeller) < 70
