"""Manifests and ONNX files."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from ferengine.classification.classifier import Classifier
from ferengine.models.registry import SHIPPED, load_model
from fuzzing.mutations import changed_json, damaged

_NAME = "dscnn"


class Manifests:
    """A shipped network with a changed manifest."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "case.onnx"
        self._path.write_bytes((SHIPPED / f"{_NAME}.onnx").read_bytes())
        self._whole: dict[str, Any] = json.loads((SHIPPED / f"{_NAME}.json").read_text())

    def run(self, chance: random.Random) -> None:
        manifest = self._whole
        for _ in range(chance.randint(1, 2)):
            manifest = changed_json(manifest, chance)
        data = json.dumps(manifest).encode(errors="surrogatepass")
        self._path.with_suffix(".json").write_bytes(damaged(data, chance) if chance.random() < 0.3 else data)
        _classify(self._path)

    def close(self) -> None: ...


class Networks:
    """Damaged ONNX files, with a manifest that gives their hash."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "case.onnx"
        self._whole = (SHIPPED / f"{_NAME}.onnx").read_bytes()
        self._manifest: dict[str, Any] = json.loads((SHIPPED / f"{_NAME}.json").read_text())

    def run(self, chance: random.Random) -> None:
        data = damaged(self._whole, chance)
        self._path.write_bytes(data)
        manifest = {**self._manifest, "sha256": hashlib.sha256(data).hexdigest()}
        self._path.with_suffix(".json").write_text(json.dumps(manifest))
        _classify(self._path)

    def close(self) -> None: ...


def _classify(path: Path) -> None:
    load_model(path)
    classifier = Classifier(path, backend="ort")
    side = classifier.input_size
    scores = classifier.scores(np.zeros((2, side, side), np.uint8))
    assert scores.shape == (2, len(classifier.labels))
