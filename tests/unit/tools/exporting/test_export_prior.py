"""Which class frequencies an exported checkpoint answers under."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.classification.classifier import Classifier  # noqa: E402
from ferengine.errors import UsageError  # noqa: E402
from ferengine.inference.base import only_output  # noqa: E402
from ferengine.inference.onnxruntime import OrtRunner  # noqa: E402
from ferengine.models.registry import load_model  # noqa: E402
from ferengine.models.settings import FILE_ON_CPU  # noqa: E402
from ferengine_tools.data.fer2013 import LABELS  # noqa: E402
from ferengine_tools.evaluation.priors import known_priors, log_prior  # noqa: E402
from ferengine_tools.evaluation.sets import fer2013_faces, wild_faces  # noqa: E402
from ferengine_tools.evaluation.temperature import confidence_temperature, fit_temperature  # noqa: E402
from ferengine_tools.exporting.export import export  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402


def test_last_bias_holds_the_frequencies_unless_the_prior_is_uniform(config: TrainConfig, tmp_path: Path) -> None:
    train(replace(config, model="fast", out=tmp_path / "run", epochs=1))
    path = tmp_path / "run" / "checkpoint.safetensors"
    frequencies = [0.4, *[0.1] * 6]
    save_checkpoint(path, {**load_checkpoint(path), "priors": {"FER-2013": frequencies, "other": [1 / 7] * 7}})
    batch = np.random.default_rng(0).normal(size=(5, 1, 48, 48)).astype(np.float32)
    logits = {}
    for prior in ("data", "uniform"):
        export(path, tmp_path / f"{prior}.onnx", prior=prior)  # type: ignore[arg-type]
        logits[prior] = only_output(OrtRunner((tmp_path / f"{prior}.onnx").read_bytes()).run(batch))
    expected = np.log(frequencies) - np.log(frequencies).mean()
    assert list(load_model(tmp_path / "uniform.onnx").manifest.priors) == ["uniform", "fer2013", "everyday"]
    assert load_model(tmp_path / "data.onnx").manifest.priors == {}
    np.testing.assert_allclose(logits["data"] - logits["uniform"], np.tile(expected, (5, 1)), atol=1e-4)


def test_a_temperature_is_fitted_on_each_set(bar_models: Any, bars: Path, wild: Path, tmp_path: Path) -> None:
    source = bar_models.write(tmp_path, gain=6.0, priors=known_priors(LABELS), prior="everyday")
    both, _ = export(source, tmp_path / "both.onnx", data=bars, everyday=wild)
    classifier = Classifier(source, backend=FILE_ON_CPU)
    sets = {"fer2013": fer2013_faces(bars, "public"), "everyday": wild_faces(wild, "validation")}
    expected = {
        name: find(classifier.logits(sets[name].images), sets[name].labels, log_prior(name, LABELS))
        for name, find in (("fer2013", fit_temperature), ("everyday", confidence_temperature))
    }
    assert both.temperatures == pytest.approx(expected, abs=1e-3)
    assert both.temperatures["everyday"] != pytest.approx(both.temperatures["fer2013"], rel=0.01)
    alone, _ = export(source, tmp_path / "alone.onnx", data=bars)
    assert alone.temperatures == pytest.approx({"fer2013": expected["fer2013"]}, abs=1e-3)
    assert alone.temperature == alone.temperatures["fer2013"]
    again, _ = export(tmp_path / "both.onnx", tmp_path / "again-int8.onnx", precision="int8", data=bars)
    assert list(again.temperatures) == ["fer2013", "everyday"]
    assert again.temperatures["everyday"] == both.temperatures["everyday"]  # no data that it could be fitted on anew
    with pytest.raises(UsageError, match="--everyday needs --data"):
        export(source, tmp_path / "x.onnx", everyday=wild)
    with pytest.raises(UsageError, match="models of expression that answer under a uniform prior"):
        export(bar_models.write(tmp_path, name="plain"), tmp_path / "x.onnx", data=bars, everyday=wild)
