"""The analyzer of single images: its thresholds, and what it holds open."""

from __future__ import annotations

from typing import Any

import pytest

import ferengine.analyzer
from ferengine.analyzer import Analyzer
from ferengine.errors import UsageError


@pytest.mark.parametrize(("settings", "expected"), [({}, (0.6, 0.7, 0.7)), ({"thresholds": (0.6, 0.7, 0.4)}, (0.6, 0.7, 0.4))])
def test_the_analyzer_keeps_the_thresholds_of_single_images(
    settings: dict[str, Any], expected: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    create = ferengine.analyzer.create_detector
    monkeypatch.setattr(ferengine.analyzer, "create_detector", lambda name, **more: made.append(more) or create(name, **more))
    with Analyzer(model="dscnn", **settings):
        assert [each["thresholds"] for each in made] == [expected]


def test_what_is_open_is_closed_where_a_model_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector and a classifier on a GPU would hold its memory until the garbage is collected."""
    closed: list[str] = []
    create = ferengine.analyzer.create_detector

    def watched(name: Any, **more: Any) -> Any:
        detector = create(name, **more)
        monkeypatch.setattr(detector, "close", lambda: closed.append("detector"), raising=False)
        return detector

    monkeypatch.setattr(ferengine.analyzer, "create_detector", watched)
    monkeypatch.setattr(ferengine.analyzer.Classifier, "close", lambda self: closed.append("classifier"))
    with pytest.raises(UsageError, match="no model 'absent'"):
        Analyzer(model="absent")
    assert closed == ["detector"]
    monkeypatch.setattr(ferengine.analyzer, "GENDER", "absent")
    with pytest.raises(UsageError, match="no model 'absent'"):
        Analyzer(model="dscnn", gender=True)
    assert closed == ["detector", "classifier", "detector"]
