"""What a prior that follows the camera gains in made scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.models.settings import Prior
from ferengine_tools.data.fer2013 import LABELS
from ferengine_tools.evaluation import adaptation as module
from ferengine_tools.evaluation.adaptation import SCENES, adaptation, main
from ferengine_tools.evaluation.metrics import softmax
from ferengine_tools.evaluation.priors import known_priors


def test_a_scene_of_other_frequencies_is_read_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.classification.adaptive_prior._STEP", 1 / 200)
    labels = np.arange(1400) % 7
    rng = np.random.default_rng(0)
    logits = 1.8 * (rng.normal(size=(1400, 7)) + 1.8 * np.eye(7)[labels])
    start = Prior("even", LABELS, (1 / 7,) * 7)
    scores = softmax(logits.astype(np.float32)).astype(np.float32)
    happy = adaptation(scores, labels, start, [1, 1, 1, 20, 1, 1, 1], seconds=2000)
    assert happy.accuracy[1] > happy.accuracy[0] + 0.03
    assert happy.macro_f1[1] > happy.macro_f1[0]
    assert happy.found["happy"] == pytest.approx(4 / 7, abs=0.01)  # the limit
    with pytest.raises(UsageError, match="a class that has no faces"):
        adaptation(scores[labels > 0], labels[labels > 0], start, [1] * 7, seconds=10)


def test_the_command_prints_a_row_for_each_scene(
    bar_models: Any, wild: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "adaptation", lambda *given: module.Adaptation((0.5, 0.75), (0.25, 0.5), {"happy": 1.0}))
    model = bar_models.write(tmp_path, priors=known_priors(LABELS), prior="everyday")
    assert main(["--data", str(wild), "--model", str(model)]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {scene} | 50.0, 75.0 | 25.0, 50.0 | happy 100 |" in printed for scene in SCENES)
    assert main(["--data", str(wild), "--model", str(bar_models.write(tmp_path, name="plain"))]) == 2
