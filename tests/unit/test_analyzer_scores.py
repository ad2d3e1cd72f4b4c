"""A single image has no second look: what counts as a face there is the detector's own threshold."""

from __future__ import annotations

from typing import Any

import pytest

import ferengine.analyzer
from ferengine.analyzer import Analyzer


@pytest.mark.parametrize(("settings", "expected"), [({}, (0.6, 0.7, 0.7)), ({"thresholds": (0.6, 0.7, 0.4)}, (0.6, 0.7, 0.4))])
def test_the_analyzer_keeps_the_thresholds_of_single_images(
    settings: dict[str, Any], expected: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    create = ferengine.analyzer.create_detector
    monkeypatch.setattr(ferengine.analyzer, "create_detector", lambda name, **more: made.append(more) or create(name, **more))
    with Analyzer(model="dscnn", **settings):
        assert [each["thresholds"] for each in made] == [expected]
