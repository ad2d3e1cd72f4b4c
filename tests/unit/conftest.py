"""A few synthetic faces, and a short training run on them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """84 faces: class n is a bright horizontal bar at height 6 n, in noise; 56 to train on, 14 of either test."""
    path = tmp_path_factory.mktemp("bars") / "fer2013.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["emotion", "pixels", "Usage"])
        for number in range(84):
            image = rng.integers(80, 120, (48, 48))
            image[6 * (number % 7) + 2 : 6 * (number % 7) + 8] += 120
            usage = "Training" if number < 56 else "PublicTest" if number < 70 else "PrivateTest"
            writer.writerow([number % 7, " ".join(map(str, image.ravel())), usage])
    return path


@pytest.fixture(scope="session")
def config(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs")
    from ferengine_tools.training.config import TrainConfig

    return TrainConfig("dscnn", bars, out / "whole", epochs=2, batch=14, rate=2e-3, warm_up=0.5, device="cpu", threads=1)


@pytest.fixture(scope="session")
def whole(config: Any) -> Path:
    """The checkpoint of an uninterrupted run of two epochs."""
    from ferengine_tools.train import train

    train(config)
    return config.out / "checkpoint.safetensors"
