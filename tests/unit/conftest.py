"""A few synthetic faces, and a short training run on them."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
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
    from ferengine_tools.training.run import train

    train(config)
    return config.out / "checkpoint.safetensors"


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """40 faces like those of ``bars``, 112 x 112 in colour: 30 neutral, the others happy; every fifth is for validation."""
    from ferengine.vision import cv2

    folder = tmp_path / "wild"
    folder.mkdir()
    rng = np.random.default_rng(1)
    rows = ["file,label,annotator,person"]
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for number in range(40):
            name = "happy" if number % 4 == 0 else "neutral"
            image = rng.integers(80, 120, (112, 112))
            top = round(11.2 + (6 * LABELS.index(name) + 2) * 89.6 / 48)
            image[top : top + 11] += 120
            data = cv2.imencode(".png", np.repeat(image[..., None], 3, 2).astype(np.uint8))[1]
            archive.writestr(f"{number}.png", data.tobytes())
            rows.append(f"{number}.png,{name},a,{number:x}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class BarModels:
    """Writes networks that read the synthetic faces of ``bars``: logit n is ``gain`` times the mean of bar n's rows."""

    def write(self, folder: Path, *, labels: tuple[str, ...] = LABELS, gain: float = 1.0, **changes: Any) -> Path:
        """A ``.onnx`` file with its manifest; label n beyond the seven never wins."""
        weights = np.zeros((48, 48, len(labels)), np.float32)
        for number in range(min(7, len(labels))):
            weights[6 * number + 2 : 6 * number + 8, :, number] = gain / (6 * 48)
        name = changes.pop("name", "bars")
        data = self.linear(weights.reshape(48 * 48, -1))
        manifest = {
            "name": name,
            "file": f"{name}.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "network": "linear",
            "parameters": weights.size,
            "labels": labels,
            "input": {"size": 48, "mean": 100.0, "std": 50.0},
            "training": dict.fromkeys(("command", "dataset", "split", "machine"), "none") | {"epochs": 0, "seed": 0},
            "accuracy": {},
            "licence": "MIT",
            "intended_use": "tests",
            **changes,
        }
        path = folder / f"{name}.onnx"
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps(manifest))
        return path

    @staticmethod
    def linear(weights: Any) -> bytes:
        """(N, 1, 48, 48) -> flatten @ weights (2304, classes)."""
        from onnx import TensorProto, helper, numpy_helper

        graph = helper.make_graph(
            [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
            "bars",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, 48, 48))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", weights.shape[1]))],
            [numpy_helper.from_array(weights, "w")],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(scope="session")
def bar_models() -> BarModels:
    return BarModels()
