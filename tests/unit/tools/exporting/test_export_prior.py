"""Which class frequencies an exported checkpoint answers under."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine.inference.base import only_output  # noqa: E402
from ferengine.inference.onnxruntime import OrtRunner  # noqa: E402
from ferengine_tools.exporting.export import export  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402


def test_the_first_sets_frequencies_are_in_the_last_bias_unless_a_uniform_prior_is_wanted(
    config: TrainConfig, tmp_path: Path
) -> None:
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
    np.testing.assert_allclose(logits["data"] - logits["uniform"], np.tile(expected, (5, 1)), atol=1e-4)
