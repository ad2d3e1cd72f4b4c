"""The int8 variant of a model: found beside it, taken where the processor computes it faster, or where it is requested."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.inference import precision as quantised
from ferengine.inference import select as choose
from ferengine.inference.conversion import is_quantised, to_int8
from ferengine.inference.precision import int8_is_faster, int8_variant, variant_for_cpu
from ferengine.inference.select import choose_variant
from ferengine.models.registry import list_models, load_model
from ferengine.models.settings import FILE_ON_CPU, BackendSettings


def noise(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)


@pytest.fixture
def model(bar_models: Any, tmp_path: Path) -> Path:
    """A small fp32 model without an int8 variant."""
    path: Path = bar_models.write(tmp_path, gain=3.0, accuracy={"public": 0.69})
    return path


@pytest.fixture
def pair(model: Path) -> tuple[Path, Path]:
    """A model and its int8 variant beside it, which loses 0.29 points."""
    source = load_model(model)
    data = to_int8(source.onnx, (noise(32, seed=0)[:, None].astype(np.float32) - 100) / 50)
    variant = model.with_name(f"{model.stem}-int8.onnx")
    variant.write_bytes(data)
    manifest = source.manifest.to_json()
    manifest.update(name=variant.stem, file=variant.name, precision="int8", temperature=1.5,
                    accuracy={"public": 0.6871},
                    sha256=hashlib.sha256(data).hexdigest(), source_sha256=source.manifest.sha256)  # fmt: skip
    variant.with_suffix(".json").write_text(json.dumps(manifest))
    return model, variant


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Another processor: its flags."""

    def pretend(*flags: str) -> None:
        path = tmp_path / "cpuinfo"
        path.write_text(f"processor\t: 0\nmodel name\t: some\nflags\t\t: fpu {' '.join(flags)} sse\n\nprocessor\t: 1\n")
        monkeypatch.setattr(quantised, "_CPUINFO", path)
        int8_is_faster.cache_clear()

    yield pretend
    int8_is_faster.cache_clear()


@pytest.mark.parametrize(
    ("flags", "faster"), [(["avx2"], True), (["avx2", "avx512f", "avx512_vnni"], True), (["sse4_2", "avx"], False)]
)
def test_the_processor_is_read_from_its_flags(cpuinfo: Any, flags: list[str], faster: bool) -> None:
    cpuinfo(*flags)
    assert int8_is_faster() == faster


def test_an_unknown_processor_has_none(monkeypatch: pytest.MonkeyPatch, cpuinfo: Any, tmp_path: Path) -> None:
    cpuinfo()
    (tmp_path / "cpuinfo").write_text("Features : asimd\n")
    assert not int8_is_faster()
    int8_is_faster.cache_clear()
    monkeypatch.setattr(quantised, "_CPUINFO", tmp_path / "absent")
    assert not int8_is_faster()


def test_auto_follows_the_processor(cpuinfo: Any, pair: tuple[Path, Path]) -> None:
    model, variant = pair
    cpuinfo("avx")
    assert variant_for_cpu(load_model(model), "auto").path == model
    cpuinfo("avx2")
    assert variant_for_cpu(load_model(model), "auto").path == variant
    assert variant_for_cpu(load_model(variant), "auto").path == variant


def set_accuracy(path: Path, public: float | None) -> None:
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "accuracy": {"public": public}}))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (0.69, 0.687, "it loses 0.30 points of accuracy, and 0.3 are too many"),
        (0.6, 0.597, "it loses 0.30 points"),  # 0.0030000000000000027 in binary, and 0.69 - 0.687 is less than 0.003
        (0.69, 0.6, "it loses 9.00 points"),
        (0.69, None, "bars-int8.onnx has no accuracy in its manifest (ferengine export-onnx measures it with --data)"),
        (None, 0.69, "bars.onnx has no accuracy in its manifest"),
        (None, None, "bars.onnx has no accuracy in its manifest"),
    ],
)
def test_auto_rejects_variants_that_lose_much_or_were_not_measured(
    cpuinfo: Any, pair: tuple[Path, Path], before: float | None, after: float | None, reason: str
) -> None:
    model, variant = pair
    cpuinfo("avx2")
    set_accuracy(model, before)
    set_accuracy(variant, after)
    reports: list[str] = []
    assert variant_for_cpu(load_model(model), "auto", reports.append).path == model
    [sentence] = reports
    assert sentence.startswith(f"bars-int8.onnx does not run in bars.onnx's place: {reason}")
    assert sentence.endswith("; --precision int8 takes it anyway")
    assert variant_for_cpu(load_model(model), "int8", reports.append).path == variant
    cpuinfo("avx")
    assert variant_for_cpu(load_model(model), "auto", reports.append).path == model
    assert len(reports) == 1


@pytest.mark.parametrize("after", [0.68701, 0.69, 0.75])
def test_auto_takes_a_variant_that_loses_little_or_nothing(cpuinfo: Any, pair: tuple[Path, Path], after: float) -> None:
    cpuinfo("avx2")
    set_accuracy(pair[1], after)
    reports: list[str] = []
    assert variant_for_cpu(load_model(pair[0]), "auto", reports.append).path == pair[1]
    assert reports == []


def test_classifier_reports_once_why_the_variant_does_not_run(
    cpuinfo: Any, pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    cpuinfo("avx2")
    set_accuracy(pair[1], 0.5)
    with caplog.at_level(logging.INFO):
        assert Classifier(pair[0], backend="ort").manifest.name == "bars"
    [record] = [record for record in caplog.records if "bars-int8.onnx" in record.message]
    assert record.levelno == logging.WARNING
    caplog.clear()
    assert Classifier(pair[0], backend=BackendSettings("ort", "int8")).manifest.name == "bars-int8"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_is_asked_for_is_taken(cpuinfo: Any, pair: tuple[Path, Path]) -> None:
    model, variant = pair
    cpuinfo("avx")
    assert variant_for_cpu(load_model(model), "int8").path == variant
    assert variant_for_cpu(load_model(variant), "int8").path == variant
    cpuinfo("avx2")
    for precision in ("fp32", "fp16"):
        assert choose_variant(load_model(model), BackendSettings("ort", precision)).path == model  # type: ignore[arg-type]


def test_a_model_without_a_variant_runs_as_it_is_or_is_refused_with_the_hint(cpuinfo: Any, model: Path) -> None:
    cpuinfo("avx2")
    loaded = load_model(model)
    assert variant_for_cpu(loaded, "auto") is loaded
    with pytest.raises(ModelError, match=rf"no int8 variant.*export-onnx --model {model} --precision int8 .*-int8\.onnx"):
        variant_for_cpu(loaded, "int8")


def test_a_variant_that_contradicts_its_model_is_refused(pair: tuple[Path, Path]) -> None:
    model, variant = pair
    manifest = json.loads(variant.with_suffix(".json").read_text())
    changes: dict[str, Any] = {"labels": manifest["labels"][::-1], "task": "gender", "input": {**manifest["input"], "mean": 1}}
    for name, value in changes.items():
        variant.with_suffix(".json").write_text(json.dumps({**manifest, name: value}))
        with pytest.raises(ModelError, match=f"bars-int8.onnx was made from bars.onnx, but its {name} differs"):
            int8_variant(load_model(model))
    variant.with_suffix(".json").write_text(json.dumps({**manifest, "precision": "fp32"}))
    with pytest.raises(ModelError, match="is no int8 model"):
        int8_variant(load_model(model))
    variant.with_suffix(".json").unlink()
    assert int8_variant(load_model(model)) is None


@pytest.mark.parametrize(
    ("backend", "precision", "name"),
    [
        ("tensorrt", "auto", "bars"),
        ("tensorrt", "fp16", "bars"),
        ("tensorrt", "int8", "bars-int8"),
        ("ort-cuda", "auto", "bars"),
    ],
)
def test_a_gpu_runs_the_variant_only_where_it_is_asked_for(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, backend: Any, precision: Any, name: str
) -> None:
    monkeypatch.setattr(choose, "choose_backend", lambda asked: (asked, "test"))
    settings = BackendSettings(backend, precision)
    assert choose_variant(load_model(pair[0]), settings).path.stem == name
    assert settings.engine_precision == ("fp16" if precision == "auto" else precision)


def test_int8_by_a_backend_without_it_is_refused(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "choose_backend", lambda asked: (asked, "test"))
    with pytest.raises(ModelError, match="not by ort-cuda"):
        choose_variant(load_model(pair[0]), BackendSettings("ort-cuda", "int8"))
    with pytest.raises(UsageError, match="the precision is auto, fp32, fp16, int8, not half"):
        BackendSettings("ort", "half")  # type: ignore[arg-type]


def test_the_hint_names_the_data_of_the_task_and_quotes(bar_models: Any, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    path = bar_models.write(folder, labels=("male", "female"), task="gender", name="mine")
    with pytest.raises(ModelError, match=r"export-onnx --model '.*my models/mine\.onnx' --precision int8 --data UTKFACE"):
        variant_for_cpu(load_model(path), "int8")
    with pytest.raises(ModelError, match="dscnn has no int8 variant: leave the precision at auto"):
        variant_for_cpu(load_model("dscnn"), "int8")


def test_a_variant_has_its_own_temperatures_in_its_heads_too(pair: tuple[Path, Path]) -> None:
    for path, temperature in zip(pair, (1.0, 1.5), strict=True):
        manifest = json.loads(path.with_suffix(".json").read_text())
        labels, priors = manifest["labels"], {"even": dict.fromkeys(manifest["labels"], 1 / len(manifest["labels"]))}
        head = {"name": "expression", "kind": "classes", "labels": labels, "temperature": temperature,
                "priors": priors, "prior": "even", "temperatures": {"even": temperature}}  # fmt: skip
        for name in ("labels", "temperature", "temperatures", "priors", "prior"):
            manifest.pop(name, None)
        path.with_suffix(".json").write_text(json.dumps(manifest | {"heads": [head]}))
    variant = int8_variant(load_model(pair[0]))
    assert variant is not None
    assert variant.manifest.temperature_under("even") == 1.5


def test_a_variant_of_another_file_is_not_taken(cpuinfo: Any, pair: tuple[Path, Path]) -> None:
    model, variant = pair
    cpuinfo("avx2")
    manifest = json.loads(variant.with_suffix(".json").read_text())
    variant.with_suffix(".json").write_text(json.dumps({**manifest, "source_sha256": "0" * 64}))
    assert variant_for_cpu(load_model(model), "auto").path == model
    variant.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        int8_variant(load_model(model))


def test_the_classifier_runs_the_variant_with_its_own_temperature(cpuinfo: Any, pair: tuple[Path, Path]) -> None:
    model, variant = pair
    cpuinfo("avx2")
    crops = noise(5, seed=1)
    automatic, named, plain = Classifier(model, backend="ort"), Classifier(variant), Classifier(model, backend=FILE_ON_CPU)
    assert automatic.manifest.name == variant.stem
    assert plain.manifest.name == model.stem
    np.testing.assert_array_equal(automatic.scores(crops), named.scores(crops))
    assert (automatic.manifest.temperature, plain.manifest.temperature) == (1.5, 1.0)
    assert np.abs(automatic.logits(crops) - plain.logits(crops)).max() < 0.05 < np.abs(plain.logits(crops)).max()


@pytest.mark.parametrize("manifest", [each for each in list_models() if each.precision == "int8"], ids=lambda each: each.name)
def test_a_shipped_variant_was_made_from_its_model_and_lost_little(manifest: Any) -> None:
    model = load_model(manifest.name.removesuffix("-int8"))
    variant = int8_variant(model)
    assert variant is not None
    assert variant.manifest == manifest
    assert variant.manifest.labels == model.manifest.labels
    assert is_quantised(variant.onnx)
    assert variant.manifest.accuracy.public is not None
    assert model.manifest.accuracy.public is not None
    assert variant.manifest.accuracy.public > model.manifest.accuracy.public - 0.003
