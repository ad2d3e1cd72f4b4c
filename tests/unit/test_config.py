"""Settings: what is wrong is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ferengine.analyzer import Analyzer
from ferengine.cli.options import checked
from ferengine.cli.settings import RunSettings
from ferengine.config import TRACKED_THRESHOLDS, EngineConfig, make_config
from ferengine.detection.birth import BIRTH_SCORES
from ferengine.engine import Engine
from ferengine.errors import UsageError
from ferengine.models.settings import MTCNN_THRESHOLDS


def test_the_defaults_are_valid_and_frozen() -> None:
    config = make_config()
    assert config == EngineConfig.model_validate(config.model_dump())
    with pytest.raises(ValidationError):
        config.detect_every = 3


def test_values_arrive() -> None:
    config = make_config(detector="haar", thresholds=(0.1, 0.2, 0.3), align="eyes", smoothing=0)
    assert (config.detector, config.thresholds, config.align_eyes, config.smoothing) == ("haar", (0.1, 0.2, 0.3), True, 0)
    assert not make_config().align_eyes
    assert make_config(model=Path("a/b.onnx"), prior=Path("c.toml")) == make_config(model="a/b.onnx", prior="c.toml")


def test_an_unknown_setting_is_named_and_the_known_listed() -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'minface': did you mean 'min_face'\?"):
        make_config(minface=20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("detector", "yolo"),
        ("min_face", 3),
        ("min_face", float("nan")),
        ("pyramid_factor", 1.0),
        ("detect_every", 0),
        ("detect_every", 2.5),
        ("align", "nose"),
        ("model", None),
        ("smoothing", -1),
        ("max_batch", 0),
        ("batch_deadline", -0.1),
        ("deadline", 0),
        ("max_frames", 0),
        ("queue", 0),
        ("stuck_after", 0.5),
        ("restart_limit", -1),
    ],
)
def test_a_wrong_value_gives_one_sentence(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make_config(**{name: value})
    text = str(caught.value)
    with pytest.raises(UsageError) as caught:
        EngineConfig(**{name: value})
    assert str(caught.value) == text
    assert text.startswith(f"{name}: ")
    assert text.endswith(f", not {value!r}")
    assert "\n" not in text
    assert ";" not in text


def test_a_wrong_threshold_is_numbered() -> None:
    with pytest.raises(UsageError, match=r"thresholds\.1: .*, not 1\.5"):
        make_config(thresholds=(0.6, 1.5, 0.7))


def test_a_threshold_that_is_missing_is_numbered() -> None:
    with pytest.raises(UsageError) as caught:
        make_config(thresholds=(0.6,))
    assert str(caught.value) == "thresholds: number 2 is missing; thresholds: number 3 is missing"


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"detect_every: .*; unknown setting 'colour'"):
        make_config(detect_every=0, colour="blue")


def test_the_settings_of_a_subclass_are_named() -> None:
    class Coloured(EngineConfig):
        colour: int = 3

    mistyped: dict[str, Any] = {"colur": 4}
    with pytest.raises(UsageError, match="unknown setting 'colur': did you mean 'colour'"):
        Coloured(**mistyped)


def test_no_setting_is_called_self() -> None:
    given: dict[str, Any] = {"self": 1}
    for make in (make_config, Analyzer, partial(Engine, "demo")):
        with pytest.raises(UsageError, match="unknown setting 'self'"):
            make(**given)


@pytest.mark.parametrize("name", ["detect_every", "max_frames", "min_face", "smoothing"])
def test_no_number_is_a_boolean(name: str) -> None:
    for value in (True, False, np.True_):
        given: dict[str, Any] = {name: value}
        with pytest.raises(UsageError, match=f"^{name}: input should be a number, not {value}$"):
            make_config(**given)
    assert make_config(gender=True, max_frames=None).gender
    with pytest.raises(UsageError, match=r"^queue: input should be a number, not True; min_face: input should be less than"):
        make_config(queue=True, min_face=5000)


@pytest.mark.parametrize("given", ["thresholds", "new_track_scores"])
def test_scores_need_a_detector_that_is_named(given: str) -> None:
    values: dict[str, Any] = {given: (0.6, 0.5, 0.4)[: 3 if given == "thresholds" else 2]}
    with pytest.raises(UsageError, match=f"{given} hold for one detector: name it in place of auto"):
        make_config(detector="auto", **values)
    assert make_config(detector="mtcnn", **values).detector_name == "mtcnn"


def test_the_help_names_the_scores_that_are_in_force() -> None:
    """The numbers depend on the detector, and on whether faces are tracked: no default can show them."""
    p, r, tracked = TRACKED_THRESHOLDS
    assert (p, r) == MTCNN_THRESHOLDS[:2]
    thresholds, births = (EngineConfig.model_fields[name].description or "" for name in ("thresholds", "new_track_scores"))
    assert f"{p}, {r} and {tracked}, or {MTCNN_THRESHOLDS[2]} in single images" in thresholds
    mtcnn, retinaface = (BIRTH_SCORES[detector] for detector in ("mtcnn", "retinaface"))
    assert f"{mtcnn.once} and {mtcnn.twice} ({mtcnn.mean} on average) with mtcnn" in births
    assert f"{retinaface.once} and {retinaface.twice} with retinaface" in births
    assert retinaface.mean == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"detector": "auto", "thresholds": (0.5, 0.5, 0.5)}, "thresholds hold for one detector: name it in place of auto"),
        ({"gpu_detectors": 1, "detector": "haar"}, "gpu_detectors needs the detector mtcnn and the backend auto, "),
        ({"blur": True, "search": "near"}, "blur needs search full: "),
    ],
)
def test_settings_that_contradict_each_other_name_themselves(given: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_config(**given)
    assert str(caught.value).startswith(said)
    with pytest.raises(UsageError) as caught:
        checked(RunSettings, given)
    assert str(caught.value).startswith(said)
