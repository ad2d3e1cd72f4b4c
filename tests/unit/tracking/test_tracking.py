"""The names of the trackers: where they come from, and what choosing one brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ferengine import tracking
from ferengine.config import make_config
from ferengine.errors import MissingDependencyError, UsageError
from ferengine.tracking import KcfTracker, opencv_kcf, tracker_maker

LOADED = "import sys; from ferengine.tracking import KcfTracker; KcfTracker(); print('cv2' in sys.modules)"


def test_each_public_name_can_be_had() -> None:
    for name in tracking.__all__:
        assert getattr(tracking, name) is not None
        assert name in dir(tracking)
    with pytest.raises(AttributeError, match="'KfcTracker'"):
        tracking.KfcTracker  # noqa: B018


def test_the_native_tracker_comes_without_opencv() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "False\n"


def test_the_setting_names_the_tracker() -> None:
    assert tracker_maker(make_config().tracker) is KcfTracker
    assert tracker_maker("opencv") is opencv_kcf.OpenCvKcf
    with pytest.raises(UsageError, match="tracker"):
        make_config(tracker="mosse")
    with pytest.raises(UsageError, match="kcf or opencv, not mosse"):
        tracker_maker("mosse")  # type: ignore[arg-type]


def test_only_opencv_needs_the_contrib_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(opencv_kcf.cv2, "TrackerKCF")
    assert tracker_maker("kcf") is KcfTracker
    with pytest.raises(MissingDependencyError, match="opencv-contrib-python"):
        tracker_maker("opencv")
